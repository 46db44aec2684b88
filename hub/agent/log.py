"""The agent's log: one JSON object a line on stderr, like those of hub and proxy, for the container engine to keep."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time
from typing import Any

MAX_LINE_BYTES = 4096
"""A pipe that can be written to takes so many at once (PIPE_BUF), and no line is worth waiting for a reader."""
SAID = ("kernel_id", "name", "job_id", "program", "signal")
"""Arguments of a request that tell what it is about, and hold nothing of the user's."""
QUIET = frozenset({"hello", "ping", "status", "watch", "kernelspec.resource", "kernel.executions", "journal.sync",
                   "journal.note", "terminal.input", "terminal.resize", "job.read"})  # fmt: skip
"""Operations that change nothing, or come with every key that is pressed."""


def asked(op: str, args: dict[str, Any], cause: str, refused: str = "") -> None:
    """Note what was asked for: `cause` is the id of the request in proxy and hub, `refused` the code if it was."""
    if op in QUIET and not refused:
        return
    fields = {"request": cause, **{name: args[name] for name in SAID if isinstance(args.get(name), str)}}
    fields["code"] = refused
    write("info", f"{op} was refused" if refused else op, {name: value for name, value in fields.items() if value})


def write(level: str, message: str, fields: dict[str, Any]) -> None:
    """Write one line; it is left out when nobody reads, for the agent must not wait for its log."""
    seconds = time.time()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}+00:00"
    entry = {"time": moment, "level": level, "logger": "agent", "process": "agent", "message": message, **fields}
    line = (json.dumps(entry) + "\n").encode()
    with contextlib.suppress(OSError, ValueError):
        out = sys.stderr.fileno()
        if len(line) <= MAX_LINE_BYTES and select.select([], [out], [], 0)[1]:
            os.write(out, line)
