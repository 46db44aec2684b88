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
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress

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
class Counts:
    """What was counted in some days. `tenths`: by day, how many starts took how many tenths of a second."""

    days: list[Day]
    tenths: dict[int, dict[int, int]]
    people_by_week: dict[int, int]
    seconds: dict[str, float] = field(repr=False)
    starts: dict[str, int] = field(repr=False)

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


class HistoryCounts:
    """Counts the history, for everybody or for some."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._days: dict[int, _Lives] = {}
        self._numbers: dict[str, int] = {}
        self._ids: list[str] = []

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
        if chosen is not None:
            days = {day: lives.of(chosen) for day, lives in days.items()}
        days = {day: lives for day, lives in days.items() if lives.people}
        seconds, starts = self._by_person(days.values())
        now = self._clock.now()
        for life in opened:
            if life.user_id in seconds and life.started_at is not None and span.first <= life.day <= span.last:
                seconds[life.user_id] += max(0.0, (now - life.started_at).total_seconds())
        weeks: dict[int, set[int]] = defaultdict(set)
        counted = []
        for day, lives in days.items():
            people = set(lives.people)
            weeks[monday_of(day)] |= people
            counted.append(Day(day, len(lives.people), len(lives.failed), len(people)))
        tenths = {day: found for day, lives in days.items() if (found := _counted(lives.tenths))}
        return Counts(counted, tenths, {monday: len(people) for monday, people in weeks.items()}, seconds, starts)

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

    def _by_person(self, days: Iterable[_Lives]) -> tuple[dict[str, float], dict[str, int]]:
        """Seconds and starts of each person who has any."""
        seconds, starts = [0.0] * len(self._ids), Counter[int]()
        for lives in days:
            starts.update(lives.people)
            for number, used in zip(lives.people, lives.seconds, strict=True):
                seconds[number] += used
        ids = self._ids
        return {ids[number]: seconds[number] for number in starts}, {ids[n]: count for n, count in starts.items()}


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
