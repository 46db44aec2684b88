"""Runs one program, in a process of its own: ``python3 -I -B <folder of the installed agent> git_pull``."""

from __future__ import annotations

import importlib
import json
import sys

from hub.agent.programs import PROGRAMS


def run(name: str) -> int:
    """Run the program `name` with the arguments on stdin; return its exit status."""
    if name not in PROGRAMS:
        print(f"There is no program {name}.", file=sys.stderr)
        return 2
    arguments = json.loads(sys.stdin.buffer.read())
    status: int = importlib.import_module(f"hub.agent.programs.{name}").main(arguments)
    return status
