"""The frame of the child processes of this package: limits, one answer, and refusals as an exit status."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable

from hub.runs.notebooks import REFUSED

MEMORY_BYTES = 4 * 1024**3
CPU_SECONDS = 120


class Refused(Exception):
    """What was given cannot be used; the message says why."""


def answer(work: Callable[[bytes], bytes]) -> None:
    """Give `work` what is on stdin, write what it returns to stdout, and exit."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # libraries that print must not speak for us
    try:
        result, status = work(sys.stdin.buffer.read()), 0
    except Refused as refusal:
        result, status = str(refusal).encode("utf-8", "replace"), REFUSED
    out.write(result)
    out.flush()
    sys.exit(status)
