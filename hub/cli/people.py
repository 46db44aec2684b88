"""``kernelhub user`` with all its commands, which are in modules of their own."""

from __future__ import annotations

from hub.cli import import_people, leaving
from hub.cli.users import command

__all__ = ["command", "import_people", "leaving"]
