"""What happens after a kernel's process has died, and when a spare may be started; pure decisions."""

from __future__ import annotations

import signal
from typing import NamedTuple

MOST_FAILED_STARTS = 3

QUIET_SECONDS = 8.0
"""Long enough for others who signed in at the same moment to have their first kernels first."""
SPARE_MEMORY_BYTES = 160 * 1024 * 1024
"""Memory that must be free for a spare to be started: twice what one takes."""


class Restarts(NamedTuple):
    """How many times a kernel that dies is started again by itself within how many seconds. With 0 it never is."""

    most: int = 3
    within_seconds: float = 60.0


DEFAULT_RESTARTS = Restarts()


class Deaths(NamedTuple):
    """The deaths of a kernel that count: when it was restarted by itself, and starts that failed in a row."""

    restarted_at: tuple[float, ...] = ()
    failed_starts: int = 0


def decide_after_death(
    deaths: Deaths, was_ready: bool, now: float, restarts: Restarts = DEFAULT_RESTARTS
) -> tuple[bool, Deaths]:
    """Whether to start the kernel again by itself after a death at `now` (monotonic), and what to remember.

    A process that dies before it answered is tried three times in a row, whatever `restarts` allows: nobody had
    anything in it. One that had answered is restarted as often as they allow.
    """
    if not was_ready:
        failed = deaths.failed_starts + 1
        return failed < MOST_FAILED_STARTS, deaths._replace(failed_starts=failed)
    recent = tuple(at for at in deaths.restarted_at if now - at < restarts.within_seconds)
    if len(recent) >= restarts.most:
        return False, Deaths(recent)
    return True, Deaths((*recent, now))


def words_for_death(return_code: int, out_of_memory: bool, limit_bytes: int | None) -> str:
    """Why a process ended, in words. `return_code` is negative for a signal."""
    if out_of_memory:
        return "out of memory" + (f" (limit {_words_for_bytes(limit_bytes)})" if limit_bytes else "")
    if return_code >= 0:
        return f"exited with status {return_code}"
    try:
        return f"killed by {signal.Signals(-return_code).name}"
    except ValueError:
        return f"killed by signal {-return_code}"


def _words_for_bytes(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB" if size >= 1024**3 else f"{size / 1024**2:.0f} MiB"


def decide_spare(
    *, wanted: int, kept: int, starting: int, busy: int, quiet_seconds: float, free_bytes: int | None
) -> bool:
    """Whether to start another spare now: one at a time, and only while nothing else needs the processor."""
    if kept >= wanted or starting or busy:
        return False
    if free_bytes is not None and free_bytes < SPARE_MEMORY_BYTES:
        return False
    return quiet_seconds >= QUIET_SECONDS
