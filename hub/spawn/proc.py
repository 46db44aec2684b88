"""Processes of this machine, named by pid and start time, which together are never reused (proc(5))."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import Iterator
from pathlib import Path

_STATE, _STARTED = 0, 19
"""Positions in /proc/<pid>/stat after the command's name: fields 3 and 22 of proc(5)."""


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[_STATE] in (b"Z", b"X") else int(fields[_STARTED])


def is_alive(pid: int, started: int) -> bool:
    """Whether exactly that process still runs."""
    return start_time(pid) == started


@contextlib.contextmanager
def pidfd(pid: int, started: int) -> Iterator[int]:
    """A descriptor of exactly that process, closed afterwards. Raises ProcessLookupError if it has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        if not is_alive(pid, started):
            raise ProcessLookupError(pid)
        yield descriptor
    finally:
        os.close(descriptor)


async def ended(descriptor: int, seconds: float) -> bool:
    """Wait until the process of a pidfd has ended, at most `seconds`; whether it has."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(descriptor, over.set)
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        return bool(select.select([descriptor], [], [], 0)[0])
    finally:
        loop.remove_reader(descriptor)
    return True


def with_variable(variable: str) -> list[tuple[int, int]]:
    """Pid and start time of every process that was started with ``NAME=value`` in its environment. Blocks."""
    needle = b"\0" + variable.encode() + b"\0"
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            environment = b"\0" + (folder / "environ").read_bytes()
            if needle in environment and (started := start_time(int(folder.name))) is not None:
                found.append((int(folder.name), started))
    return found
