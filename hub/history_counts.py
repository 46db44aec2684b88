"""What is counted of the history, of lives kept in memory day by day where they cannot change any more.

A day that is over changes only while a life that began on it has not ended: what was open of a day when it was read
says whether it must be read again. So a view of a year asks the database for what is open and for the last days only,
and the rest is counted from memory, for everybody or for some. A life takes 14 bytes there; after a restart they are
read again, slowly, in the background.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import is_

from hub.domain.history import Outcome, Range, day_of, monday_of
from hub.errors import HubError
from hub.store.engine import Store
from hub.store.history import LifeCounted, LifeOpen, Of
from hub.store.unit import Unit
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

WARM_DAYS = 366
WARM_EVERY_SECONDS = 6 * 3600.0
_PAUSE_SECONDS = 0.2
_AT_ONCE = 31
"""Most days that are read by one query."""
_ALWAYS_READ = 2
"""So many days are read each time: today, and yesterday for a hub whose clock is behind."""
MEMBERS_SECONDS = 30.0
_SUMS_KEPT = 6
"""Sums that are kept: of the ranges that are looked at most."""
_NO_START = 0xFFFF
"""In place of tenths of a second, where a start did not succeed."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day's starts: how many were asked for, how many failed, and how many people asked."""

    day: int
    asked: int
    failed: int
    people: int


@dataclass(frozen=True, slots=True)
class Numbered:
    """Seconds and starts with a place for each person whose lives are in memory."""

    seconds: array[float]
    starts: array[int]


@dataclass(frozen=True, slots=True)
class GroupCount:
    """What a group's members used together, and how many of them used anything."""

    name: str
    seconds: float
    starts: int
    people: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted in some days. `tenths`: by day, how many starts took how many tenths of a second."""

    days: list[Day]
    tenths: dict[int, dict[int, int]]
    people_by_week: dict[int, int]
    seconds: dict[str, float] = field(repr=False)
    starts: dict[str, int] = field(repr=False)
    numbered: Numbered = field(repr=False, compare=False)

    @property
    def people(self) -> int:
        """How many different people started something."""
        return len(self.seconds)


@dataclass(frozen=True, slots=True)
class _Lives:
    """The lives of one day, one place of the arrays for each: who (by number), how long the start took and the life.

    `failed` are the people of those that failed, `open` what had not ended when this was read.
    """

    people: array[int]
    tenths: array[int]
    seconds: array[float]
    failed: array[int]
    open: frozenset[tuple[str, str]]

    def of(self, chosen: bytearray) -> _Lives:
        """Those of the people whose byte is 1."""
        mine = bytes(map(chosen.__getitem__, self.people))
        return _Lives(
            array("I", compress(self.people, mine)),
            array("H", compress(self.tenths, mine)),
            array("d", compress(self.seconds, mine)),
            array("I", filter(chosen.__getitem__, self.failed)),
            self.open,
        )


class _Sum:
    """Days added up in order: by person (`seconds` and `starts`, a place for each number), by day and by week.

    `of_days` and `chosen` say of what, so that it is known again.
    """

    def __init__(self, people: int, of_days: tuple[_Lives, ...] = (), chosen: bytearray | None = None) -> None:
        self.seconds = array("d", bytes(8 * people))
        self.starts = array("I", bytes(4 * people))
        self.weeks: dict[int, int] = {}
        self.days: list[Day] = []
        self.tenths: dict[int, dict[int, int]] = {}
        self._in_last_week: set[int] = set()
        self._of_days = of_days
        self._chosen = chosen

    def is_of(self, days: dict[int, _Lives], chosen: bytearray | None) -> bool:
        """Whether this is the sum of these very days, of these people."""
        if len(days) != len(self._of_days) or (chosen is None) != (self._chosen is None):
            return False
        return (chosen is None or chosen == self._chosen) and all(map(is_, days.values(), self._of_days))

    def copy(self, people: int) -> _Sum:
        """One of its own to add to, with room for so many people."""
        made, more = _Sum(0), people - len(self.seconds)
        made.seconds = self.seconds + array("d", bytes(8 * more))
        made.starts = self.starts + array("I", bytes(4 * more))
        made.weeks, made.days, made.tenths = dict(self.weeks), list(self.days), dict(self.tenths)
        made._in_last_week = set(self._in_last_week)
        return made

    def add(self, days: dict[int, _Lives], chosen: bytearray | None) -> None:
        """Add later days: of everybody, or of the people whose byte is 1."""
        seconds, starts = self.seconds, self.starts
        for day, every in days.items():
            lives = every if chosen is None else every.of(chosen)
            if not lives.people:
                continue
            people, monday = set(lives.people), monday_of(day)
            self._in_last_week = self._in_last_week | people if monday in self.weeks else people
            self.weeks[monday] = len(self._in_last_week)
            self.days.append(Day(day, len(lives.people), len(lives.failed), len(people)))
            for number, used in zip(lives.people, lives.seconds, strict=True):
                seconds[number] += used
                starts[number] += 1
            if tenths := _counted(lives.tenths):
                self.tenths[day] = tenths


class HistoryCounts:
    """Counts the history, for everybody or for some."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._days: dict[int, _Lives] = {}
        self._numbers: dict[str, int] = {}
        self._ids: list[str] = []
        self._sums: deque[_Sum] = deque(maxlen=_SUMS_KEPT)
        self._members: dict[str, tuple[str, array[int]]] | None = None
        self._members_until = 0.0

    async def run(self) -> None:
        """Read what will be looked at, now and again, until cancelled."""
        while True:
            try:
                for week in reversed(list(_pieces(Range.of_last(WARM_DAYS, self._clock.now()), 7))):
                    async with self._store.reading() as unit:
                        await self._read(unit, week, await unit.lives.open())
                    await asyncio.sleep(_PAUSE_SECONDS)
            except HubError as error:
                log.warning("the history was not counted: %s", error.message)
            await asyncio.sleep(WARM_EVERY_SECONDS)

    async def count(self, of: Of, span: Range) -> Counts:
        """What there is to count of some days. What runs counts for the time until now."""
        async with self._store.reading() as unit:
            opened = await unit.lives.open()
            days = await self._read(unit, span, opened)
            chosen = None if of.everybody else self._chosen(await unit.lives.people_of(of))
        over = day_of(self._clock.now()) - _ALWAYS_READ
        settled = self._settled({day: lives for day, lives in days.items() if day <= over}, chosen)
        found = settled.copy(len(self._ids))
        found.add({day: lives for day, lives in days.items() if day > over}, chosen)
        now = self._clock.now()
        for life in opened:
            number = self._numbers.get(life.user_id, -1)
            began = number >= 0 and found.starts[number] and span.first <= life.day <= span.last
            if began and life.started_at is not None:
                found.seconds[number] += max(0.0, (now - life.started_at).total_seconds())
        return Counts(
            found.days,
            found.tenths,
            found.weeks,
            dict(zip(compress(self._ids, found.starts), compress(found.seconds, found.starts), strict=True)),
            dict(zip(compress(self._ids, found.starts), filter(None, found.starts), strict=True)),
            Numbered(found.seconds, found.starts),
        )

    async def count_groups(self, of: Of, counts: Counts) -> list[GroupCount]:
        """What was counted by group: of all groups, or of those that `of` speaks of.

        Who is in which group is asked once in `MEMBERS_SECONDS`.
        """
        now = self._clock.monotonic()
        if self._members is None or now >= self._members_until:
            async with self._store.reading() as unit:
                groups = await unit.lives.members_by_group()
            known = self._numbers
            self._members = {
                group_id: (name, array("I", [known[user_id] for user_id in user_ids if user_id in known]))
                for group_id, name, user_ids in groups
            }
            self._members_until = now + MEMBERS_SECONDS
        seconds, starts = counts.numbered.seconds, counts.numbered.starts
        found = []
        for group_id, (name, members) in self._members.items():
            if not of.everybody and group_id not in (of.groups or ()):
                continue
            present = [number for number in members if number < len(starts) and starts[number]]
            if present:
                used, started = sum(map(seconds.__getitem__, present)), sum(map(starts.__getitem__, present))
                found.append(GroupCount(name, used, started, len(present)))
        return found

    def _settled(self, days: dict[int, _Lives], chosen: bytearray | None) -> _Sum:
        """The sum of days that are over, from memory if the same days of the same people were counted lately."""
        for known in self._sums:
            if known.is_of(days, chosen):
                return known
        made = _Sum(len(self._ids), tuple(days.values()), chosen)
        made.add(days, chosen)
        self._sums.append(made)
        return made

    async def _read(self, unit: Unit, span: Range, opened: Sequence[LifeOpen]) -> dict[int, _Lives]:
        """The lives of each of these days, in order; those that may have changed come from the database."""
        now_open: dict[int, set[tuple[str, str]]] = defaultdict(set)
        for life in opened:
            now_open[life.day].add((life.id, life.outcome))
        over = day_of(self._clock.now()) - _ALWAYS_READ
        wanted = range(span.first, span.last + 1)
        kept = {day: self._days[day] for day in wanted if day <= over and day in self._days}
        found = {day: lives for day, lives in kept.items() if lives.open == now_open.get(day, set())}
        for piece in _runs([day for day in wanted if day not in found]):
            by_day: dict[int, list[LifeCounted]] = defaultdict(list)
            for counted in await unit.lives.counted(piece):
                by_day[counted.day].append(counted)
            for day in range(piece.first, piece.last + 1):
                found[day] = self._packed(by_day.get(day, []), frozenset(now_open.get(day, ())))
                if day <= over:
                    self._days[day] = found[day]
        return {day: found[day] for day in wanted}

    def _packed(self, lives: Iterable[LifeCounted], opened: frozenset[tuple[str, str]]) -> _Lives:
        people, tenths, seconds, failed = array("I"), array("H"), array("d"), array("I")
        for life in lives:
            number = self._number(life.user_id)
            people.append(number)
            tenths.append(_NO_START if life.start_ms is None else min(life.start_ms // 100, _NO_START - 1))
            seconds.append(life.seconds or 0.0)
            if life.outcome == Outcome.FAILED:
                failed.append(number)
        return _Lives(people, tenths, seconds, failed, opened)

    def _number(self, user_id: str) -> int:
        number = self._numbers.get(user_id)
        if number is None:
            number = self._numbers[user_id] = len(self._ids)
            self._ids.append(user_id)
        return number

    def _chosen(self, user_ids: Iterable[str]) -> bytearray:
        """A byte for each person whose lives were read: 1 for these."""
        chosen = bytearray(len(self._ids))
        for user_id in user_ids:
            number = self._numbers.get(user_id)
            if number is not None:
                chosen[number] = 1
        return chosen


def _counted(tenths: array[int]) -> dict[int, int]:
    found = Counter(tenths)
    found.pop(_NO_START, None)
    return dict(found)


def _pieces(span: Range, days: int) -> Iterator[Range]:
    """The range in pieces of so many days."""
    for first in range(span.first, span.last + 1, days):
        yield Range(first, min(first + days - 1, span.last))


def _runs(days: Sequence[int]) -> Iterator[Range]:
    """Days that follow one another, as ranges of at most `_AT_ONCE`."""
    begin = 0
    for place in range(1, len(days) + 1):
        if place == len(days) or days[place] != days[place - 1] + 1:
            yield from _pieces(Range(days[begin], days[place - 1]), _AT_ONCE)
            begin = place
