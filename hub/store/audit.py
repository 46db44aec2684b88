"""The audit log in the database: it can be added to and read, nothing else.

Lines are added to a unit and written at its end, one after the other by all who write (SQLite has one writer; on
PostgreSQL a lock is held from here to the commit), because each line's digest covers the line before. Taken last and
held shortly, the lock waits for nobody who waits for it.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, String, and_, cast, func, insert, literal_column, or_, select, text

from hub.domain.audit import GENESIS, AuditEvent, Head, Link, digest_after
from hub.store.tables import audit_events
from hub.store.transaction import Transaction
from hub.store.types import loggable

MAX_TEXT_CHARS = 1000
"""Longest subject, and longest text in the details, that is kept: some of it is sent by strangers."""
MAX_SCANNED = 20_000
"""Most lines that one search looks at: what has no index of its own is looked for page by page."""
_CHAIN_LOCK = 0x6175646974  # "audit": any number that nobody else uses
_STRAGGLERS = 1000
"""So many places around a moment are looked at besides: clocks of several hubs differ."""


@dataclass(frozen=True, slots=True)
class AuditSearch:
    """What to look for; empty: everything. All that is given must hold.

    `person` is the id of a user who acted, was acted upon, or whose thing it was; `action` a whole name or, with a
    dot at its end, the beginning of names; `address` may end in ``*``; `text` is looked for in subject, actor, action
    and details.
    """

    person: str = ""
    action: str = ""
    subject: str = ""
    address: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """What was found, newest first. `next_before` is where to go on; None: there is no more.

    `looked_back_to`: the search was given up there for now, because it had looked at `MAX_SCANNED` lines.
    """

    events: tuple[AuditEvent, ...]
    next_before: int | None
    looked_back_to: datetime | None = None


class AuditEvents:
    """Who did what to what."""

    def __init__(self, db: Transaction) -> None:
        self._db = db
        self._pending: builtins.list[AuditEvent] = []

    async def add(self, event: AuditEvent) -> None:
        """Append an event at the end of this unit: its texts made fit to be recorded, and cut."""
        if not self._db.writes:
            raise RuntimeError("This unit only reads; use `store.unit()` to write.")
        self._pending.append(
            AuditEvent(
                at=event.at,
                action=event.action,
                actor=loggable(event.actor, MAX_TEXT_CHARS),
                subject=loggable(event.subject, MAX_TEXT_CHARS),
                address=loggable(event.address, MAX_TEXT_CHARS),
                details={name: _recorded(value) for name, value in event.details.items()},
            )
        )

    async def flush(self) -> None:
        """Write what was added, chained to the last line that anybody wrote. The unit's end calls it."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        head = await self._take_head()
        previous = head.digest if head is not None else GENESIS
        rows = []
        for event in pending:
            digest = digest_after(previous, event)
            rows.append(
                {
                    "at": event.at,
                    "action": event.action,
                    "actor": event.actor,
                    "subject": event.subject,
                    "address": event.address,
                    "details": event.details,
                    "person": event.person,
                    "previous": previous,
                    "digest": digest,
                }
            )
            previous = digest
        for row in rows:  # one by one: the order of their places is the order of the chain
            await self._db.execute(insert(audit_events).values(row))

    async def _take_head(self) -> Head | None:
        if self._db.dialect == "postgresql":
            await self._db.execute(text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_CHAIN_LOCK))
        return await self.head()

    async def head(self) -> Head | None:
        """The last line's place and digest; None in an empty log."""
        query = select(audit_events.c.id, audit_events.c.digest).order_by(audit_events.c.id.desc()).limit(1)
        row = await self._db.row(query)
        return Head(row.id, row.digest or GENESIS) if row is not None else None

    async def links(self, after: int, limit: int) -> builtins.list[Link]:
        """The lines whose place is above `after`, oldest first, with their digests."""
        await self.flush()
        query = select(audit_events).where(audit_events.c.id > after).order_by(audit_events.c.id).limit(limit)
        return [Link(_event(row), row.previous, row.digest, row.person) for row in await self._db.rows(query)]

    async def list(
        self,
        limit: int = 100,
        before: int | None = None,
        action_prefix: str = "",
        subject: str | None = None,
    ) -> builtins.list[AuditEvent]:
        """The latest events, newest first: at most `limit` of those whose id is below `before`.

        `action_prefix` (``"sign_in."``) and `subject` restrict them; `before` is the id of the last event of
        the page above, None for the first page.
        """
        await self.flush()
        query = select(audit_events).order_by(audit_events.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit_events.c.id < before)
        if action_prefix:
            query = query.where(audit_events.c.action.startswith(action_prefix, autoescape=True))
        if subject is not None:
            query = query.where(audit_events.c.subject == subject)
        return [_event(row) for row in await self._db.rows(query)]

    async def actions(self) -> builtins.list[str]:
        """The names of all actions that were ever recorded, in order; found by leaps through the index."""
        await self.flush()
        names: builtins.list[str] = []
        while True:
            query = select(func.min(audit_events.c.action)).where(audit_events.c.action > (names[-1] if names else ""))
            name = (await self._db.execute(query)).scalar_one()
            if name is None:
                return names
            names.append(name)

    async def search(self, wanted: AuditSearch, before: int | None = None, limit: int = 100) -> AuditPage:
        """A page of what is wanted, newest first, below the place `before` (None: from the newest on).

        Whatever is asked for, at most `MAX_SCANNED` lines are looked at.
        """
        await self.flush()
        bounds = await self._bounds(wanted, before)
        branches = await self._branches(wanted)
        rest = _conditions(wanted)
        found: dict[int, Row[Any]] = {}
        reached: builtins.list[int] = []
        for branch in branches:
            scanned = (
                select(audit_events)
                .where(*bounds, *branch)
                .order_by(audit_events.c.id.desc())
                .limit(max(1, MAX_SCANNED // len(branches)))
            ).subquery()
            query = select(scanned).where(*rest(scanned.c)).order_by(scanned.c.id.desc()).limit(limit + 1)
            rows = await self._db.rows(query)
            found.update((row.id, row) for row in rows)
            if len(rows) <= limit:
                end = (
                    await self._db.execute(
                        select(func.count().label("looked_at"), func.min(scanned.c.id).label("lowest"))
                    )
                ).one()
                if end.looked_at >= MAX_SCANNED // len(branches):
                    reached.append(int(end.lowest))
        floor = max(reached, default=0)  # below this not every branch was looked at
        rows = [found[number] for number in sorted(found, reverse=True) if number >= floor]
        if len(rows) > limit:
            return AuditPage(tuple(_event(row) for row in rows[:limit]), rows[limit - 1].id)
        events = tuple(_event(row) for row in rows)
        if not floor:
            return AuditPage(events, None)
        at = (await self._db.execute(select(audit_events.c.at).where(audit_events.c.id == floor))).scalar_one()
        return AuditPage(events, floor, at)

    async def _branches(self, wanted: AuditSearch) -> Sequence[tuple[ColumnElement[bool], ...]]:
        """The ways in which an index leads to what is wanted; a line may be on several."""
        c = audit_events.c
        if wanted.person:
            return [(c.actor == wanted.person,), (c.subject == wanted.person,), (c.person == wanted.person,)]
        if wanted.subject:
            return [(c.subject == wanted.subject,)]
        if wanted.address and not wanted.address.endswith("*"):
            return [(c.address == wanted.address,)]
        if wanted.action.endswith("."):
            names = [name for name in await self.actions() if name.startswith(wanted.action)]
            return [(c.action == name,) for name in names]
        if wanted.action:
            return [(c.action == wanted.action,)]
        return [()]

    async def _bounds(self, wanted: AuditSearch, before: int | None) -> builtins.list[ColumnElement[bool]]:
        """Between which places the lines are: those of a moment are found by an index."""
        c = audit_events.c
        bounds: builtins.list[ColumnElement[bool]] = []
        if before is not None:
            bounds.append(c.id < before)
        if wanted.since is not None:
            first = await self._db.row(select(c.id).where(c.at >= wanted.since).order_by(c.at).limit(1))
            bounds.append(c.id >= first.id - _STRAGGLERS if first is not None else c.id < 0)
        if wanted.until is not None:
            last = await self._db.row(select(c.id).where(c.at < wanted.until).order_by(c.at.desc()).limit(1))
            bounds.append(c.id <= last.id + _STRAGGLERS if last is not None else c.id < 0)
        return bounds


def _conditions(wanted: AuditSearch) -> Any:
    """What must hold of the columns `c` of a line."""

    def of(c: Any) -> builtins.list[ColumnElement[bool]]:
        conditions: builtins.list[ColumnElement[bool]] = []
        if wanted.action:
            name = wanted.action
            prefix = c.action.startswith(name, autoescape=True)
            conditions.append(prefix if name.endswith(".") else c.action == name)
        if wanted.subject:
            conditions.append(c.subject == wanted.subject)
        if wanted.address:
            beginning = wanted.address.rstrip("*")
            whole = beginning == wanted.address
            conditions.append(c.address == beginning if whole else c.address.startswith(beginning, autoescape=True))
        if wanted.since is not None:
            conditions.append(c.at >= wanted.since)
        if wanted.until is not None:
            conditions.append(c.at < wanted.until)
        if wanted.text:
            # Letters of other scripts are kept as escapes in SQLite's JSON, and as themselves in PostgreSQL's.
            texts = (c.subject, c.actor, c.action, c.address, cast(c.details, String))
            escaped = wanted.text.encode("ascii", "backslashreplace").decode()
            spellings = {wanted.text, escaped}
            conditions.append(
                or_(*(column.icontains(text_, autoescape=True) for column in texts for text_ in spellings))
            )
        return conditions or [and_(literal_column("1") == literal_column("1"))]

    return of


def _recorded(value: str | int | float | bool | None) -> str | int | float | bool | None:
    return loggable(value, MAX_TEXT_CHARS) if isinstance(value, str) else value


def _event(row: Row[Any]) -> AuditEvent:
    return AuditEvent(
        id=row.id,
        at=row.at,
        action=row.action,
        actor=row.actor,
        subject=row.subject,
        address=row.address,
        details=dict(row.details),
    )
