"""A program of the hub's that does one job in a process of its own: how it is started, and what holds within it.

What it reads may be made to exhaust who reads it: so it ends alone. Large bytes go by descriptors, not by the hub.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

NICENESS = 5


def start(module: str, job: bytes, descriptors: Sequence[int], seconds: float) -> subprocess.CompletedProcess[bytes]:
    """Run ``python -m module`` with `job` on its standard input and the descriptors (-1: none) as its arguments.

    Blocking. Raises subprocess.TimeoutExpired after `seconds`; the process is gone then.
    """
    return subprocess.run(
        [sys.executable, "-P", "-m", module, *map(str, descriptors)],
        input=job,
        capture_output=True,
        pass_fds=[fd for fd in descriptors if fd >= 0],
        timeout=seconds,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C.UTF-8"},
        cwd="/",
        check=False,
    )


def confine(*, memory_bytes: int, cpu_seconds: int, file_bytes: int) -> None:
    """Within the program: bound this process."""
    os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # when memory is short, this ends first, not the hub
    for limit, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))


def read_whole(fd: int) -> bytes:
    """Within the program: the whole file, which has less than the 2 GiB that a single read can give."""
    return os.pread(fd, os.fstat(fd).st_size, 0)
