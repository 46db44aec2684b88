"""Memory of a paused container, given back to its machine: cgroup v2's ``memory.reclaim``. Blocks; run it in a thread.

What can be given back is what the container's own limits let go: always the files that it has read, and what its
processes keep to themselves only where it may use swap. Where there is no cgroup v2, or the engine is on another
machine, nothing is touched. Source: Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files".
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
RECLAIM_SECONDS = 5.0
PORTION_BYTES = 16 * 1024**2
"""Asked for at a time: a container that is thawed meanwhile waits for no more than that."""


def can_reclaim(cgroups: Path = CGROUPS) -> bool:
    """Whether this machine's control groups are version 2 with the controller for memory; `reclaim` gives 0 if not."""
    try:
        return "memory" in (cgroups / "cgroup.controllers").read_text().split()
    except OSError:
        return False


def ask_kernel(folder: Path, size_bytes: int) -> None:
    """Ask for so much of a control group's memory. Raises OSError: EAGAIN where less than that is to be had."""
    with (folder / "memory.reclaim").open("wb", buffering=0) as file:
        file.write(b"%d" % size_bytes)


def reclaim(
    pid: int,
    container_id: str,
    *,
    proc: Path = PROC,
    cgroups: Path = CGROUPS,
    ask: Callable[[Path, int], None] = ask_kernel,
) -> int:
    """Take memory of the frozen container whose first process is `pid`; how many bytes less it has. Never raises.

    It ends when there is nothing more to be had, after `RECLAIM_SECONDS`, or when the container goes on.
    """
    try:
        folder = folder_of(pid, container_id, proc=proc, cgroups=cgroups)
        return 0 if folder is None else _reclaim(folder, ask)
    except (OSError, ValueError):
        return 0


def folder_of(pid: int, container_id: str, *, proc: Path = PROC, cgroups: Path = CGROUPS) -> Path | None:
    """The control group of a container; None where there is none of version 2, or the pid is not the container's.

    A pid is believed only where the group's name holds the container's id: an engine may be on another machine, or
    count processes otherwise, and a number may have been given away anew. Raises OSError.
    """
    lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    parts = path.strip("/").split("/")
    own = next((number for number, part in enumerate(parts, 1) if container_id and container_id in part), 0)
    if not own or ".." in parts:
        return None
    folder = cgroups.joinpath(*parts[:own])
    return folder if (folder / "memory.reclaim").exists() else None


def _reclaim(folder: Path, ask: Callable[[Path, int], None]) -> int:
    before = _current(folder)
    deadline = time.monotonic() + RECLAIM_SECONDS
    left = before
    while left > 0 and _is_frozen(folder) and time.monotonic() < deadline:
        try:
            ask(folder, min(left, PORTION_BYTES))
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            break  # the kernel has tried, and found less than that
        left -= PORTION_BYTES
    return max(0, before - _current(folder))


def _current(folder: Path) -> int:
    return int((folder / "memory.current").read_text())


def _is_frozen(folder: Path) -> bool:
    return "frozen 1" in (folder / "cgroup.events").read_text().splitlines()
