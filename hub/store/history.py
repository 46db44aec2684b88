"""Lives of containers in the database, and what is counted of them.

Everything that is counted reads one index (day, user, outcome, milliseconds of the start, seconds that it ran), so
that a year of a busy hub is a matter of milliseconds and not of the rows themselves.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, func, insert, or_, select, text, update

from hub.domain.history import OPEN, Change, End, Life, Outcome, Range, Run, day_of
from hub.domain.ids import new_id
from hub.domain.workspace import Workspace
from hub.store.tables import FAILED, container_lives, groups, memberships, users, workspaces
from hub.store.transaction import Transaction
from hub.store.types import loggable

MAX_REASON_CHARS = 500
SEPARATOR = ","
"""Between ids that the database joins; none holds it."""
_c = container_lives.c
_OPEN = [outcome.value for outcome in OPEN]


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
class LifeOpen:
    """A life that has not ended."""

    id: str
    user_id: str
    day: int
    started_at: datetime | None
    outcome: str


class LifeCounted(NamedTuple):
    """What is counted of a life; there are many, so that they are as small as can be."""

    day: int
    user_id: str
    outcome: str
    start_ms: int | None
    seconds: float | None


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

    async def failures(self, of: Of, span: Range, limit: int = 50) -> builtins.list[Failure]:
        """What went wrong, by reason, the newest first."""
        last = func.max(_c.asked_at)
        columns = (_c.outcome, _c.reason, _c.code, _c.profile)
        counts = (func.count().label("times"), func.count(_c.user_id.distinct()).label("people"), last.label("last_at"))
        query = (
            select(*columns, *counts)
            .where(*_within(of, span), text(FAILED))
            .group_by(*columns)
            .order_by(last.desc())
            .limit(limit)
        )
        return [
            Failure(Outcome(row.outcome), row.reason or "", row.code, row.profile, row.times, row.people, row.last_at)
            for row in await self._db.rows(query)
        ]

    async def counted(self, span: Range) -> Iterable[LifeCounted]:
        """All lives of some days, in order of the days, of one index alone."""
        query = select(_c.day, _c.user_id, _c.outcome, _c.start_ms, _c.seconds).where(*_within(Of(), span))
        return map(LifeCounted._make, await self._db.rows(query.order_by(_c.day)))

    async def open(self) -> builtins.list[LifeOpen]:
        """The lives that have not ended."""
        query = select(_c.id, _c.user_id, _c.day, _c.started_at, _c.outcome).where(_c.ended_at.is_(None))
        return [
            LifeOpen(row.id, row.user_id, row.day, row.started_at, row.outcome) for row in await self._db.rows(query)
        ]

    async def people_of(self, of: Of) -> builtins.list[str]:
        """The ids of the people whose lives these are. Raises ValueError for everybody's.

        The database joins the ids of a group's members: 25,000 rows would take ten times as long.
        """
        if of.everybody:
            raise ValueError("everybody's ids are not listed")
        ids = func.aggregate_strings(memberships.c.user_id, SEPARATOR).label("ids")
        query = select(ids).group_by(memberships.c.group_id)
        rows = await self._db.rows_for(of.groups or (), lambda keys: query.where(memberships.c.group_id.in_(keys)))
        return [*(of.users or ()), *(user_id for row in rows for user_id in row.ids.split(SEPARATOR))]

    async def count_open_by_profile(self) -> dict[str, int]:
        """How many containers of each profile start or run."""
        query = select(_c.profile, func.count().label("open")).where(_c.ended_at.is_(None)).group_by(_c.profile)
        return {row.profile: int(row.open) for row in await self._db.rows(query)}

    async def names_of(self, user_ids: Collection[str]) -> dict[str, str]:
        """The names of those of these people who are there, by their ids."""
        query = select(users.c.id, users.c.name)
        rows = await self._db.rows_for(user_ids, lambda keys: query.where(users.c.id.in_(keys)))
        return {row.id: row.name for row in rows}

    async def members_by_group(self) -> builtins.list[tuple[str, str, builtins.list[str]]]:
        """Id and name of each group, and the ids of all its members."""
        ids = func.aggregate_strings(memberships.c.user_id, SEPARATOR).label("ids")
        query = select(groups.c.id, groups.c.name, ids).join(memberships, memberships.c.group_id == groups.c.id)
        rows = await self._db.rows(query.group_by(groups.c.id, groups.c.name))
        return [(row.id, row.name, row.ids.split(SEPARATOR)) for row in rows]

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
    # Not by the index of people, which SQLite would take: the days leave fewer lives than people have.
    user_id = _c.user_id.concat("")
    return [or_(user_id.in_(_members(of.groups or ())), user_id.in_(sorted(of.users or ())))]


def _members(group_ids: Collection[str]) -> Select[Any]:
    return select(memberships.c.user_id).where(memberships.c.group_id.in_(sorted(group_ids)))


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
