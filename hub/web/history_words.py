"""Counts of the history as rows: days, people and groups, for the page, its files and the REST API."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import date

from hub.domain.history import date_of, percentile
from hub.history_counts import Counts, HistoryCounts
from hub.store.engine import Store
from hub.store.history import Of


@dataclass(frozen=True, slots=True)
class Used:
    """Hours of a person or a group. `name` empty: a deleted user."""

    name: str
    user_id: str
    hours: float
    starts: int
    people: int = 1


async def most_used(store: Store, counts: Counts, limit: int) -> list[Used]:
    """Who used most, first."""
    ranked = heapq.nsmallest(limit, counts.seconds.items(), key=lambda item: (-item[1], item[0]))
    async with store.reading() as unit:
        names = await unit.lives.names_of([user_id for user_id, _ in ranked])
    return [
        Used(names.get(user_id, ""), user_id, seconds / 3600, counts.starts.get(user_id, 0))
        for user_id, seconds in ranked
    ]


async def most_used_by_group(history: HistoryCounts, of: Of, counts: Counts, limit: int) -> list[Used]:
    """Which groups' members used most; who is in several counts in each."""
    found = [
        Used(each.name, "", each.seconds / 3600, each.starts, each.people)
        for each in await history.count_groups(of, counts)
    ]
    return heapq.nsmallest(limit, found, key=lambda used: (-used.hours, used.name))


def in_seconds(tenths: int | None) -> float | None:
    """Seconds of tenths of them."""
    return None if tenths is None else tenths / 10


def day_rows(counts: Counts, scale: int = 1) -> list[tuple[date, int, int, int, float | None, float | None]]:
    """Each day's starts, failures, people, and how long half and 95 of 100 starts took at most.

    Times are in seconds, or in milliseconds with a `scale` of 1,000.
    """
    rows = []
    for day in counts.days:
        tenths = counts.tenths.get(day.day, {})
        middle, slow = in_seconds(percentile(tenths, 0.5)), in_seconds(percentile(tenths, 0.95))
        rows.append(
            (
                *(date_of(day.day), day.asked, day.failed, day.people),
                None if middle is None else middle * scale,
                None if slow is None else slow * scale,
            )
        )
    return rows
