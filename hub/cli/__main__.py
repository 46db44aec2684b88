"""``python -m hub.cli``: how the supervisor starts its children."""

from hub.cli import main

main()
