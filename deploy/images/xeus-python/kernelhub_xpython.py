"""Starts xeus' Python kernel with an "interrupt" that interrupts.

The kernel leaves SIGINT to the C library's default, which ends it and with it all variables (jupyter-xeus/xeus#272).
With a handler of Python's, set before each cell, a running cell gets its KeyboardInterrupt; between cells the signal
is ignored.
"""

import signal
import sys

from xeus_python_shell.shell import XPythonShell
from xpython import launch

_make = XPythonShell.__init__


def _make_interruptible(shell, *args, **kwargs):
    _make(shell, *args, **kwargs)
    shell.events.register("pre_run_cell", lambda info: signal.signal(signal.SIGINT, signal.default_int_handler))
    shell.events.register("post_run_cell", lambda result: signal.signal(signal.SIGINT, signal.SIG_IGN))


XPythonShell.__init__ = _make_interruptible
arguments, sys.argv = sys.argv[:], sys.argv[:1]
launch(arguments)
