"""Lives of containers in the database, and what is counted of them.

Everything that is counted reads one index (day, user, outcome, milliseconds of the start, seconds that it ran), so
that a year of a busy hub is a matter of milliseconds and not of the rows themselves.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, insert, or_, select, update

from hub.domain.history import OPEN, Change, End, Life, Outcome, Range, Run, day_of
from hub.domain.ids import new_id
from hub.domain.workspace import Workspace
from hub.store.tables import container_lives, groups, memberships, users, workspaces
from hub.store.transaction import Transaction
from hub.store.types import loggable

MAX_REASON_CHARS = 500
_MANY = 3000
_c = container_lives.c
_OPEN = [outcome.value for outcome in OPEN]
_FAILURES = (Outcome.FAILED.value, Outcome.DIED.value, Outcome.LOST.value)


@dataclass(frozen=True, slots=True)
class Of:
    """Whose lives are counted: everybody's, or those of some people and of the members of some groups, by their ids.

    `groups` None and `users` None: everybody's. Otherwise who is in neither is not counted.
    """

    groups: frozenset[str] | None = None
    users: frozenset[str] | None = None

    @property
    def everybody(self) -> bool:
        """Whether nothing is left out."""
        return self.groups is None and self.users is None


@dataclass(frozen=True, slots=True)
class Day:
    """A day's starts: how many were asked for, how many failed, and how many people asked."""

    day: int
    asked: int
    failed: int
    people: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Failures of one reason: how often, and when last."""

    outcome: Outcome
    reason: str
    code: str | None
    profile: str
    count: int
    people: int
    last_at: datetime


class Lives:
    """What ran when."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def record(
        self, before: Workspace, after: Workspace, change: Change | None, actor: str, at: datetime
    ) -> None:
        """Write what a change of a workspace means to its container's life."""
        if change is None:
            return
        current = await self.find_open(before.id)
        if isinstance(change, End):
            if current is not None:
                await self._end(current, change, actor, at)
        elif isinstance(change, Run):
            if current is not None:
                ms = max(0, int((at - current.asked_at).total_seconds() * 1000))
                values = {"start_ms": ms, "phases": dict(change.phases), "started_at": at}
                await self._update(current, outcome=Outcome.RUNNING.value, **values)
        else:
            if current is not None:
                await self._end(current, End(Outcome.LOST, "unknown: another start followed"), "hub", at)
            started = (after.started_at or at) if change.found else None
            await self._add(after, at, started)

    async def kernel_started(self, workspace_id: str) -> None:
        """Count a kernel that was started in a container that runs."""
        await self._db.execute(
            update(container_lives)
            .where(_c.workspace_id == workspace_id, _c.outcome.in_(_OPEN))
            .values(kernels_started=_c.kernels_started + 1)
        )

    async def used(self, workspace_id: str, cpu_seconds: float | None, peak_memory_bytes: int | None) -> None:
        """Note what the container that runs has used until now; None: not known."""
        values: dict[str, Any] = {}
        if cpu_seconds is not None:
            values["cpu_seconds"] = cpu_seconds
        if peak_memory_bytes is not None:
            values["peak_memory_bytes"] = peak_memory_bytes
        if values:
            open_ones = and_(_c.workspace_id == workspace_id, _c.outcome.in_(_OPEN))
            await self._db.execute(update(container_lives).where(open_ones).values(values))

    async def close_lost(self, reason: str, at: datetime) -> int:
        """End the lives whose container is not there any more, as the database knows: nobody saw them end."""
        stands = select(workspaces.c.id).where(workspaces.c.state != "stopped")
        query = select(container_lives).where(_c.ended_at.is_(None), _c.workspace_id.not_in(stands))
        lost = [_life(row) for row in await self._db.rows(query)]
        for life in lost:
            await self._end(life, End(Outcome.LOST, reason), "hub", at)
        return len(lost)

    async def find_open(self, workspace_id: str) -> Life | None:
        """The life of a workspace's container that has not ended, or None."""
        query = select(container_lives).where(_c.workspace_id == workspace_id, _c.outcome.in_(_OPEN))
        row = await self._db.row(query.order_by(_c.asked_at.desc()).limit(1))
        return _life(row) if row is not None else None

    async def list_for(self, user_id: str, limit: int = 20, before: datetime | None = None) -> builtins.list[Life]:
        """A user's lives, newest first, that began before a moment."""
        query = select(container_lives).where(_c.user_id == user_id).order_by(_c.asked_at.desc()).limit(limit)
        if before is not None:
            query = query.where(_c.asked_at < before)
        return [_life(row) for row in await self._db.rows(query)]

    async def list_between(self, user_id: str, since: datetime, until: datetime) -> builtins.list[Life]:
        """A user's lives that ran at some time between two moments, those that run still included."""
        ran = (_c.user_id == user_id) & (_c.started_at < until) & (_c.ended_at.is_(None) | (_c.ended_at > since))
        return [_life(row) for row in await self._db.rows(select(container_lives).where(ran))]

    async def list(self, of: Of, span: Range, limit: int, after: str = "") -> builtins.list[Life]:
        """Lives of some days in order of their ids (which grow with time), from the one after `after` on."""
        query = select(container_lives).where(*_within(of, span), _c.id > after).order_by(_c.id).limit(limit)
        return [_life(row) for row in await self._db.rows(query)]

    async def days(self, of: Of, span: Range) -> builtins.list[Day]:
        """Starts and people of each day on which there were any."""
        # First by day and person, which is the order of the index; counting distinct people would sort every row.
        failed = func.sum(_one_if(_c.outcome == Outcome.FAILED.value))
        people = (
            select(_c.day, _c.user_id, func.count().label("asked"), failed.label("failed"))
            .where(*_within(of, span))
            .group_by(_c.day, _c.user_id)
            .subquery()
        )
        query = (
            select(
                people.c.day,
                func.sum(people.c.asked).label("asked"),
                func.sum(people.c.failed).label("failed"),
                func.count().label("people"),
            )
            .group_by(people.c.day)
            .order_by(people.c.day)
        )
        rows = await self._db.rows(query)
        return [Day(row.day, int(row.asked), int(row.failed), int(row.people)) for row in rows]

    async def people_by_week(self, of: Of, span: Range) -> dict[int, int]:
        """How many people started something, by the Monday of the week."""
        monday = _c.day - (_c.day + 3) % 7
        people = select(monday.label("monday"), _c.user_id).where(*_within(of, span)).distinct().subquery()
        query = select(people.c.monday, func.count().label("people")).group_by(people.c.monday)
        return {int(row.monday): int(row.people) for row in await self._db.rows(query)}

    async def start_times(self, of: Of, span: Range) -> dict[int, dict[int, int]]:
        """How long starts that succeeded took: by day, how many took how many tenths of a second."""
        tenth = (_c.start_ms // 100).label("tenth")
        query = (
            select(_c.day, tenth, func.count().label("starts"))
            .where(*_within(of, span), _c.start_ms.is_not(None))
            .group_by(_c.day, tenth)
            .order_by(_c.day, tenth)
        )
        found: dict[int, dict[int, int]] = {}
        for row in await self._db.rows(query):
            found.setdefault(row.day, {})[row.tenth] = row.starts
        return found

    async def failures(self, of: Of, span: Range, limit: int = 50) -> builtins.list[Failure]:
        """What went wrong, by reason, the newest first."""
        last = func.max(_c.asked_at)
        columns = (_c.outcome, _c.reason, _c.code, _c.profile)
        counts = (func.count().label("times"), func.count(_c.user_id.distinct()).label("people"), last.label("last_at"))
        query = (
            select(*columns, *counts)
            .where(*_within(of, span), _c.outcome.in_(_FAILURES))
            .group_by(*columns)
            .order_by(last.desc())
            .limit(limit)
        )
        return [
            Failure(Outcome(row.outcome), row.reason or "", row.code, row.profile, row.times, row.people, row.last_at)
            for row in await self._db.rows(query)
        ]

    async def use_by_person(self, of: Of, span: Range) -> builtins.list[tuple[str, float, int]]:
        """Of each person: seconds that containers ran until they ended, and starts. What runs is not counted."""
        query = (
            select(_c.user_id, func.coalesce(func.sum(_c.seconds), 0.0).label("seconds"), func.count().label("starts"))
            .where(*_within(of, span))
            .group_by(_c.user_id)
        )
        return [(row.user_id, float(row.seconds), int(row.starts)) for row in await self._db.rows(query)]

    async def running_seconds(self, of: Of, span: Range, now: datetime) -> dict[str, float]:
        """Seconds until now of what runs, by user."""
        # The days are compared here: asked for them, SQLite would read all lives of those days.
        query = select(_c.user_id, _c.day, _c.started_at).where(_c.ended_at.is_(None), *_whose(of))
        found: dict[str, float] = {}
        for row in await self._db.rows(query):
            if row.started_at is not None and span.first <= row.day <= span.last:
                found[row.user_id] = found.get(row.user_id, 0.0) + max(0.0, (now - row.started_at).total_seconds())
        return found

    async def oldest_open(self) -> datetime | None:
        """When the oldest life began that has not ended; None: all have."""
        query = select(func.min(_c.asked_at).label("oldest")).where(_c.ended_at.is_(None))
        row = await self._db.row(query)
        found: datetime | None = row.oldest if row is not None else None
        return found

    async def count_open_by_profile(self) -> dict[str, int]:
        """How many containers of each profile start or run."""
        query = select(_c.profile, func.count().label("open")).where(_c.ended_at.is_(None)).group_by(_c.profile)
        return {row.profile: int(row.open) for row in await self._db.rows(query)}

    async def names_of(self, user_ids: Collection[str]) -> dict[str, str]:
        """The names of those of these people who are there, by their ids."""
        query = select(users.c.id, users.c.name)
        rows = await self._db.rows_for(user_ids, lambda keys: query.where(users.c.id.in_(keys)))
        return {row.id: row.name for row in rows}

    async def groups_of(self, user_ids: Collection[str]) -> builtins.list[tuple[str, str, str]]:
        """Id and name of the groups of each of these people, with the person's id."""
        query = select(groups.c.id, groups.c.name, memberships.c.user_id)
        query = query.join(memberships, memberships.c.group_id == groups.c.id)
        # With many people, all memberships are read at once: that is quicker than asking for each.
        if len(user_ids) > _MANY:
            rows: Any = await self._db.rows(query)
            return [(row.id, row.name, row.user_id) for row in rows if row.user_id in user_ids]
        rows = await self._db.rows_for(user_ids, lambda keys: query.where(memberships.c.user_id.in_(keys)))
        return [(row.id, row.name, row.user_id) for row in rows]

    async def _add(self, ws: Workspace, at: datetime, started: datetime | None) -> None:
        await self._db.execute(
            insert(container_lives).values(
                id=new_id(),
                workspace_id=ws.id,
                user_id=ws.user_id,
                profile=ws.profile,
                image=ws.image,
                day=day_of(at),
                asked_at=at,
                started_at=started,
                outcome=(Outcome.STARTING if started is None else Outcome.RUNNING).value,
                phases={},
                kernels_started=0,
            )
        )

    async def _end(self, life: Life, end: End, actor: str, at: datetime) -> None:
        ended = replace(life, ended_at=at)
        await self._update(
            life,
            outcome=end.outcome.value,
            ended_at=at,
            seconds=ended.lasted(at).total_seconds(),
            reason=loggable(end.reason, MAX_REASON_CHARS) if end.reason else None,
            code=end.code,
            ended_by=actor,
        )

    async def _update(self, life: Life, **values: Any) -> None:
        await self._db.execute(update(container_lives).where(_c.id == life.id).values(values))


def _within(of: Of, span: Range) -> builtins.list[ColumnElement[bool]]:
    return [_c.day >= span.first, _c.day <= span.last, *_whose(of)]


def _whose(of: Of) -> builtins.list[ColumnElement[bool]]:
    if of.everybody:
        return []
    return [or_(_c.user_id.in_(_members(of.groups or ())), _c.user_id.in_(sorted(of.users or ())))]


def _members(group_ids: Collection[str]) -> Select[Any]:
    return select(memberships.c.user_id).where(memberships.c.group_id.in_(sorted(group_ids)))


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _life(row: Row[Any]) -> Life:
    return Life(
        id=row.id,
        workspace_id=row.workspace_id,
        user_id=row.user_id,
        profile=row.profile,
        image=row.image,
        asked_at=row.asked_at,
        outcome=Outcome(row.outcome),
        started_at=row.started_at,
        ended_at=row.ended_at,
        start_ms=row.start_ms,
        phases=dict(row.phases),
        reason=row.reason,
        code=row.code,
        ended_by=row.ended_by,
        seconds=row.seconds,
        kernels_started=row.kernels_started,
        cpu_seconds=row.cpu_seconds,
        peak_memory_bytes=row.peak_memory_bytes,
    )
