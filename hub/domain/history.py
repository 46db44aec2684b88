"""The history of containers: what one life of a container was, and what is counted of many. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from hub.domain.workspace import (
    Event,
    ObservedGone,
    ObservedRunning,
    Started,
    StartFailed,
    Workspace,
    WorkspaceState,
)

LONGEST_RANGE = timedelta(days=731)
HUB_WAS_DOWN = "unknown: the hub was down when it ended"
BUCKETS_MS = (500, 1000, 1500, 2000, 3000, 5000, 7500, 10_000, 15_000, 20_000, 30_000, 60_000, 120_000)
"""Upper ends of what starts are counted in; those that took longer are counted together."""
_EPOCH = date(1970, 1, 1)


class Outcome(StrEnum):
    """How a life stands, or how it ended.

    `ended`: somebody or the culler stopped it; `died`: it ended by itself; `failed`: it never ran; `lost`: it ended
    while no hub looked.
    """

    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    DIED = "died"
    FAILED = "failed"
    LOST = "lost"


OPEN = (Outcome.STARTING, Outcome.RUNNING)


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a container, from the wish to have it to its end."""

    id: str
    workspace_id: str
    user_id: str
    profile: str
    image: str
    asked_at: datetime
    outcome: Outcome
    started_at: datetime | None = None
    ended_at: datetime | None = None
    start_ms: int | None = None
    phases: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    code: str | None = None
    ended_by: str | None = None
    seconds: float | None = None
    kernels_started: int = 0
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None

    def lasted(self, now: datetime) -> timedelta:
        """How long it has run, or ran."""
        if self.started_at is None:
            return timedelta(0)
        return max(timedelta(0), (self.ended_at or now) - self.started_at)


@dataclass(frozen=True, slots=True)
class Begin:
    """A life begins; `found`: the container was found running, its start was not seen."""

    found: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """The container runs; `ms` is how long the start took, by phases."""

    phases: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class End:
    """The life is over. `code` is that of the error, if it was one."""

    outcome: Outcome
    reason: str | None
    code: str | None = None


Change = Begin | Run | End


def change_of(before: Workspace, event: Event, after: Workspace, *, hub_was_down: bool = False) -> Change | None:
    """What an event of a workspace means to the life of its container; None: nothing.

    `hub_was_down`: the hub has just begun to look, so that what it finds ended has ended at some time before.
    """
    was, now = before.state, after.state
    match event:
        case Started(phases=phases) if now is WorkspaceState.RUNNING:
            return Run(phases)
        case ObservedRunning() if was is WorkspaceState.STARTING:
            return Run({})
        case ObservedRunning() if was is WorkspaceState.STOPPED:
            return Begin(found=True)
    if now is WorkspaceState.STARTING and was is WorkspaceState.STOPPED:
        return Begin()
    if now is not WorkspaceState.STOPPED or was is WorkspaceState.STOPPED:
        return None
    if isinstance(event, StartFailed) or was is WorkspaceState.STARTING:
        code = event.code if isinstance(event, StartFailed) else None
        return End(Outcome.LOST if hub_was_down else Outcome.FAILED, after.stop_reason, code)
    asked_for = was is WorkspaceState.STOPPING or before.stop_reason is not None
    if isinstance(event, ObservedGone) and not asked_for:
        return End(Outcome.LOST, HUB_WAS_DOWN) if hub_was_down else End(Outcome.DIED, after.stop_reason)
    return End(Outcome.ENDED, after.stop_reason)


def day_of(moment: datetime) -> int:
    """The day of a moment in UTC, counted from 1970."""
    return (moment.astimezone(UTC).date() - _EPOCH).days


def date_of(day: int) -> date:
    """The date of a day that `day_of` gave."""
    return _EPOCH + timedelta(days=day)


@dataclass(frozen=True, slots=True)
class Range:
    """Whole days in UTC, the first and the last included, as `day_of` counts them."""

    first: int
    last: int

    @property
    def days(self) -> int:
        """How many days these are."""
        return self.last - self.first + 1

    @classmethod
    def of_last(cls, days: int, now: datetime) -> Range:
        """The last `days` days, today included."""
        today = day_of(now)
        return cls(today - max(1, min(days, LONGEST_RANGE.days)) + 1, today)

    @classmethod
    def read(cls, days: str, since: str, until: str, now: datetime) -> Range:
        """A range as people choose it: a number of days, or the first and last date. Whatever is wrong is 30 days.

        Dates win over the number, the later of two wrongly ordered dates is the last, and nothing is longer than
        `LONGEST_RANGE`.
        """
        first, last = _read_date(since), _read_date(until)
        if first is None and last is None:
            return cls.of_last(int(days) if days.isascii() and days.isdigit() and len(days) < 5 else 30, now)
        today = day_of(now)
        end = min(last if last is not None else today, today)
        begin = first if first is not None else end - 29
        begin, end = min(begin, end), max(begin, end)
        return cls(max(begin, end - LONGEST_RANGE.days + 1), end)


def _read_date(text: str) -> int | None:
    try:
        return (date.fromisoformat(text[:10]) - _EPOCH).days if text else None
    except ValueError:
        return None


def percentile(counts: Mapping[int, int], share: float) -> int | None:
    """The nearest-rank percentile of values that occurred so many times, None of none."""
    rank = max(1, math.ceil(sum(counts.values()) * share))
    for value in sorted(counts):
        rank -= counts[value]
        if rank <= 0:
            return value
    return None


def histogram(counts: Mapping[int, int]) -> list[int]:
    """Starts by bucket of `BUCKETS_MS`, of counts by milliseconds."""
    found = [0] * (len(BUCKETS_MS) + 1)
    for ms, count in counts.items():
        found[next((number for number, top in enumerate(BUCKETS_MS) if ms <= top), len(BUCKETS_MS))] += count
    return found


def monday_of(day: int) -> int:
    """The Monday on or before a day (the first day of 1970 was a Thursday)."""
    return day - (day + 3) % 7
