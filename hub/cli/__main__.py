"""``python -m hub.cli``: how the supervisor starts its children."""

import logging
import os
import sys

from hub.cli import main

try:
    main()
except SystemExit as ended:
    # All is closed. To take the interpreter apart takes seconds on a busy machine, and Ctrl-C would last as long.
    if "--supervised" in sys.argv and (ended.code is None or isinstance(ended.code, int)):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code or 0)
    raise
