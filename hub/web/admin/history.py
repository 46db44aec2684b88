"""``/hub/admin/history``: what ran when, how long starts took, what went wrong, and who used how much."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

from hub.domain.history import BUCKETS_MS, Range, date_of, histogram, percentile
from hub.domain.scopes import Scope
from hub.errors import NotFound
from hub.history_counts import Counts
from hub.http.permitted import Over
from hub.store.history import Of
from hub.web.admin.page import AdminPage
from hub.web.csv_export import Cell, send_csv
from hub.web.history_words import day_rows, in_seconds, most_used, most_used_by_group

TOP = 20
PAGE = 1000
CHOICES = (7, 30, 90)
_HEADERS = {
    "starts": (
        *("asked at (UTC)", "user", "user id", "profile", "image", "outcome", "start in ms", "started at", "ended at"),
        *("ran for seconds", "reason", "error", "kernels", "cpu seconds", "peak memory in bytes", "phases in ms"),
    ),
    "days": ("day (UTC)", "starts", "failed", "people", "median ms", "95 of 100 within ms"),
    "weeks": ("week from (UTC)", "people"),
    "failures": ("last at (UTC)", "outcome", "reason", "error", "profile", "times", "people"),
    "people": ("user", "user id", "hours", "starts"),
    "groups": ("group", "hours", "starts", "people"),
}


class HistoryBase(AdminPage):
    """What the page and its files share. Group owners see their groups' members."""

    active = "history"
    permission: ClassVar[Scope | None] = Scope.READ_HISTORY
    over: ClassVar[Over | None] = Over.SOME

    async def prepare(self) -> None:
        """See HubHandler; who is in charge of nobody has the own page instead."""
        await super().prepare()
        reach = self.identity.reach(Scope.READ_HISTORY)
        if not reach.everything and not reach.groups and reach.users <= {self.identity.user.id}:
            await self.refuse(Scope.READ_HISTORY)

    @property
    def of(self) -> Of:
        """Whose history the asker may see."""
        reach = self.identity.reach(Scope.READ_HISTORY)
        return Of() if reach.everything else Of(frozenset(reach.groups), frozenset(reach.users))

    @property
    def span(self) -> Range:
        """The days that are asked for."""
        ask = self.get_query_argument
        return Range.read(ask("days", ""), ask("from", ""), ask("to", ""), self.services.clock.now())


class HistoryPage(HistoryBase):
    """The page."""

    async def get(self) -> None:
        """Show what happened in the days that are asked for."""
        of, span = self.of, self.span
        counts = await self.services.history.count(of, span)
        async with self.services.store.reading() as unit:
            failures = await unit.lives.failures(of, span, TOP)
        people, groups = (
            await most_used(self.services.store, counts, TOP),
            await most_used_by_group(self.services.history, of, counts, TOP),
        )
        all_tenths = _all_tenths(counts)
        asked = sum(day.asked for day in counts.days)
        self.show(
            "history.html",
            span=span,
            first=date_of(span.first),
            last=date_of(span.last),
            choices=CHOICES,
            chosen=span.days if span.last == Range.of_last(1, self.services.clock.now()).last else 0,
            query=f"from={date_of(span.first)}&to={date_of(span.last)}",
            everybody=of.everybody,
            asked=asked,
            failed=sum(day.failed for day in counts.days),
            active_people=counts.people,
            hours=sum(counts.seconds.values()) / 3600,
            median=in_seconds(percentile(all_tenths, 0.5)),
            slow=in_seconds(percentile(all_tenths, 0.95)),
            charts={name: json.dumps(chart) for name, chart in _charts(span, counts, all_tenths).items()},
            days=day_rows(counts)[::-1],
            weeks=[(date_of(monday), people) for monday, people in sorted(counts.people_by_week.items())][::-1],
            failures=failures,
            people=people,
            groups=groups,
            top=TOP,
        )


class HistoryFile(HistoryBase):
    """``/hub/admin/history/<what>.csv``."""

    async def get(self, what: str) -> None:
        """Send the rows of the days that are asked for, all of them."""
        if what not in _HEADERS:
            raise NotFound("There is no such file.")
        name = f"kernelhub-{what}-{date_of(self.span.first)}-{date_of(self.span.last)}.csv"
        pieces = self._starts() if what == "starts" else self._counted(what)
        await send_csv(self, name, _HEADERS[what], pieces)

    async def _starts(self) -> AsyncIterator[Sequence[Sequence[Cell]]]:
        of, span, after = self.of, self.span, ""
        while True:
            async with self.services.store.reading() as unit:
                lives = await unit.lives.list(of, span, PAGE, after)
                names = await unit.lives.names_of({life.user_id for life in lives})
            if not lives:
                return
            after = lives[-1].id
            yield [
                (
                    *(life.asked_at, names.get(life.user_id, ""), life.user_id, life.profile, life.image),
                    *(str(life.outcome), life.start_ms, life.started_at, life.ended_at, life.seconds),
                    *(life.reason, life.code, life.kernels_started, life.cpu_seconds, life.peak_memory_bytes),
                    " ".join(f"{phase}={ms}" for phase, ms in life.phases.items()),
                )
                for life in lives
            ]

    async def _counted(self, what: str) -> AsyncIterator[Sequence[Sequence[Cell]]]:
        of, span = self.of, self.span
        if what == "failures":
            async with self.services.store.reading() as unit:
                found = await unit.lives.failures(of, span, PAGE)
            yield [(f.last_at, str(f.outcome), f.reason, f.code, f.profile, f.count, f.people) for f in found]
            return
        counts = await self.services.history.count(of, span)
        if what == "days":
            yield [(day.isoformat(), *rest) for day, *rest in day_rows(counts, 1000)]
        elif what == "weeks":
            yield [(date_of(monday).isoformat(), people) for monday, people in sorted(counts.people_by_week.items())]
        elif what == "people":
            everyone = await most_used(self.services.store, counts, len(counts.seconds))
            yield [(one.name, one.user_id, round(one.hours, 3), one.starts) for one in everyone]
        else:
            everyone = await most_used_by_group(self.services.history, of, counts, 100_000)
            yield [(one.name, round(one.hours, 3), one.starts, one.people) for one in everyone]


def _all_tenths(counts: Counts) -> dict[int, int]:
    total: dict[int, int] = {}
    for tenths in counts.tenths.values():
        for tenth, count in tenths.items():
            total[tenth] = total.get(tenth, 0) + count
    return total


def _charts(span: Range, counts: Counts, all_tenths: dict[int, int]) -> dict[str, dict[str, Any]]:
    """What hub/web/static/charts.js draws: `x` are seconds since 1970, or labels."""
    by_day = {row[0]: row for row in day_rows(counts)}
    days = [date_of(day) for day in range(span.first, span.last + 1)]
    rows = [by_day.get(day) for day in days]
    at = [day * 86400 for day in range(span.first, span.last + 1)]
    weeks = sorted(counts.people_by_week.items())
    tops = [f"≤ {top / 1000:g} s" for top in BUCKETS_MS] + ["longer"]
    return {
        "starts": {
            "x": at,
            "series": [
                {"label": "Starts", "values": [row[1] if row else 0 for row in rows], "tone": "accent", "bars": True},
                {"label": "Failed", "values": [row[2] if row else 0 for row in rows], "tone": "bad", "bars": True},
            ],
        },
        "times": {
            "x": at,
            "unit": "s",
            "series": [
                {"label": "Half within", "values": [row[4] if row else None for row in rows], "tone": "accent"},
                {"label": "95 of 100 within", "values": [row[5] if row else None for row in rows], "tone": "warn"},
            ],
        },
        "spread": {
            "labels": tops,
            "series": [
                {
                    "label": "Starts",
                    "values": histogram({tenth * 100: count for tenth, count in all_tenths.items()}),
                    "tone": "accent",
                    "bars": True,
                }
            ],
        },
        "people": {
            "x": at,
            "series": [
                {"label": "People", "values": [row[3] if row else 0 for row in rows], "tone": "good", "bars": True}
            ],
        },
        "weeks": {
            "x": [monday * 86400 for monday, _ in weeks],
            "series": [{"label": "People", "values": [people for _, people in weeks], "tone": "good", "bars": True}],
        },
    }
