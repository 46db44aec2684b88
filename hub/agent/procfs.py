"""Memory and processor time of processes, from /proc."""

from __future__ import annotations

import os
from typing import NamedTuple

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """What the processes of one session use together; pages that they share count in each."""

    rss_bytes: int = 0
    cpu_seconds: float = 0.0


class Stat(NamedTuple):
    """The fields of ``/proc/<pid>/stat`` that matter here."""

    session: int
    ticks: int
    pages: int


def parse_stat(line: str) -> Stat | None:
    """Read one ``/proc/<pid>/stat``. The name in it may contain anything, spaces and parentheses too."""
    fields = line.rpartition(")")[2].split()
    try:
        # Counted from the state, field 3 of proc(5): utime, stime, cutime, cstime are fields 14 to 17.
        return Stat(int(fields[3]), sum(int(ticks) for ticks in fields[11:15]), max(0, int(fields[21])))
    except (ValueError, IndexError):
        return None


def usage_by_session() -> dict[int, Usage]:
    """Session id → what its processes use, for all processes that can be seen."""
    totals: dict[int, Usage] = {}
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                stat = parse_stat(file.read(4096))
        except OSError:
            continue  # it has just ended
        if stat is not None:
            so_far = totals.get(stat.session, Usage())
            totals[stat.session] = Usage(so_far.rss_bytes + stat.pages * _PAGE, so_far.cpu_seconds + stat.ticks / _TICK)
    return totals


def own_rss_bytes() -> int:
    """Resident memory of this process."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0
