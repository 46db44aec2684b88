"""The audit log in the database: it can be added to and read, nothing else."""

from __future__ import annotations

import builtins
from typing import Any

from sqlalchemy import Row, insert, select

from hub.domain.audit import AuditEvent
from hub.store.tables import audit_events
from hub.store.transaction import Transaction
from hub.store.types import loggable

MAX_TEXT_CHARS = 1000
"""Longest subject, and longest text in the details, that is kept: some of it is sent by strangers."""


class AuditEvents:
    """Who did what to what."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, event: AuditEvent) -> None:
        """Append an event: its texts made fit to be recorded, and cut; the database gives the `id`."""
        await self._db.execute(
            insert(audit_events).values(
                at=event.at,
                action=event.action,
                actor=loggable(event.actor, MAX_TEXT_CHARS),
                subject=loggable(event.subject, MAX_TEXT_CHARS),
                address=loggable(event.address, MAX_TEXT_CHARS),
                details={name: _recorded(value) for name, value in event.details.items()},
            )
        )

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
        query = select(audit_events).order_by(audit_events.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit_events.c.id < before)
        if action_prefix:
            query = query.where(audit_events.c.action.startswith(action_prefix, autoescape=True))
        if subject is not None:
            query = query.where(audit_events.c.subject == subject)
        return [_event(row) for row in await self._db.rows(query)]


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
