"""What is counted of the history, kept in memory where it cannot change any more.

Everybody's lives are counted week by week. What began before the oldest life that still lasts has ended, so a week
before that is counted once and kept; a view of a year asks the database for the last weeks only. What is kept is small
(eight bytes for each person and week) and is made anew after a restart, in the background.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from hub.domain.history import Range, day_of, monday_of
from hub.errors import HubError
from hub.store.engine import Store
from hub.store.history import Day, Of
from hub.store.unit import Unit
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

WARM_DAYS = 366
WARM_EVERY_SECONDS = 6 * 3600.0
_PAUSE_SECONDS = 0.05
EVERYBODY = Of()


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
class _Week:
    days: list[Day]
    tenths: dict[int, dict[int, int]]
    people: array[int]
    seconds: array[float]
    starts: array[int]


class HistoryCounts:
    """Counts the history, for everybody or for some."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._weeks: dict[int, _Week] = {}
        self._numbers: dict[str, int] = {}
        self._ids: list[str] = []

    async def run(self) -> None:
        """Count what will be looked at, now and again, until cancelled."""
        while True:
            try:
                span = Range.of_last(WARM_DAYS, self._clock.now())
                for week in _weeks(span):
                    await self._week(week, await self._settled_before())
                    await asyncio.sleep(_PAUSE_SECONDS)
            except HubError as error:
                log.warning("the history was not counted: %s", error.message)
            await asyncio.sleep(WARM_EVERY_SECONDS)

    async def count(self, of: Of, span: Range) -> Counts:
        """What there is to count of some days. What runs counts for the time until now."""
        if of.everybody:
            settled = await self._settled_before()
            weeks = [(week.first, await self._week(week, settled)) for week in _weeks(span)]
        else:
            async with self._store.reading() as unit:
                weeks = [(span.first, await self._ask(unit, of, span))]
                by_week = await unit.lives.people_by_week(of, span)
        seconds: dict[str, float] = {}
        starts: dict[str, int] = {}
        for _, week in weeks:
            for number, used, count in zip(week.people, week.seconds, week.starts, strict=True):
                user_id = self._ids[number]
                seconds[user_id] = seconds.get(user_id, 0.0) + used
                starts[user_id] = starts.get(user_id, 0) + count
        async with self._store.reading() as unit:
            for user_id, more in (await unit.lives.running_seconds(of, span, self._clock.now())).items():
                seconds[user_id] = seconds.get(user_id, 0.0) + more
        if of.everybody:
            by_week = {monday_of(first): len(week.people) for first, week in weeks if week.people}
        days = [day for _, week in weeks for day in week.days]
        tenths = {day: counts for _, week in weeks for day, counts in week.tenths.items()}
        return Counts(days, tenths, by_week, seconds, starts)

    async def _settled_before(self) -> int:
        """Before this day nothing can change any more."""
        now: datetime = self._clock.now()
        async with self._store.reading() as unit:
            oldest = await unit.lives.oldest_open()
        return day_of(min(oldest, now) if oldest is not None else now)

    async def _week(self, span: Range, settled_before: int) -> _Week:
        """A week, or what a range has of it."""
        keeps = span.days == 7 and span.last < settled_before
        known = self._weeks.get(span.first) if keeps else None
        if known is not None:
            return known
        async with self._store.reading() as unit:
            week = await self._ask(unit, EVERYBODY, span)
        if keeps:
            self._weeks[span.first] = week
        return week

    async def _ask(self, unit: Unit, of: Of, span: Range) -> _Week:
        used = await unit.lives.use_by_person(of, span)
        people, seconds, starts = array("L"), array("d"), array("L")
        for user_id, ran, count in used:
            if user_id not in self._numbers:
                self._numbers[user_id] = len(self._ids)
                self._ids.append(user_id)
            people.append(self._numbers[user_id])
            seconds.append(ran)
            starts.append(count)
        return _Week(await unit.lives.days(of, span), await unit.lives.start_times(of, span), people, seconds, starts)


def _weeks(span: Range) -> Iterator[Range]:
    """The weeks of a range, Monday to Sunday; the first and the last may be parts."""
    first = span.first
    while first <= span.last:
        last = min(monday_of(first) + 6, span.last)
        yield Range(first, last)
        first = last + 1
