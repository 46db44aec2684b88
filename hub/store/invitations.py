"""Invitations in the database: one-time links, for the first administrator or to set a password."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select, update

from hub.domain.ids import UserId
from hub.domain.users import Invitation
from hub.store.tables import invitations
from hub.store.transaction import Transaction


class Invitations:
    """One-time links. Of a link's secret only the SHA-256 is kept, `digest`."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, user_id: UserId | None, purpose: str, digest: bytes, expires_at: datetime) -> None:
        """Record a link for a user, or for somebody who is none yet."""
        await self._db.execute(
            insert(invitations).values(digest=digest, user_id=user_id, purpose=purpose, expires_at=expires_at)
        )

    async def find(self, digest: bytes, purpose: str, now: datetime) -> Invitation | None:
        """The invitation, if it is neither used nor expired; it stays usable."""
        return _optional(await self._db.row(select(invitations).where(_usable(digest, purpose, now))))

    async def take(self, digest: bytes, purpose: str, now: datetime) -> Invitation | None:
        """Use the invitation up: it is given to one caller only, however many ask at the same time."""
        statement = update(invitations).where(_usable(digest, purpose, now)).values(used_at=now)
        return _optional(await self._db.row(statement.returning(*invitations.c)))

    async def withdraw(self, user_id: UserId | None, purpose: str = "") -> int:
        """Delete the unused links that a user (None: nobody yet) has for this purpose, or for any. How many."""
        of_user = invitations.c.user_id.is_(None) if user_id is None else invitations.c.user_id == user_id
        unused = delete(invitations).where(of_user, invitations.c.used_at.is_(None))
        return await self._db.count(unused.where(invitations.c.purpose == purpose) if purpose else unused)

    async def prune(self, before: datetime) -> int:
        """Delete links that expired before this time. How many."""
        return await self._db.count(delete(invitations).where(invitations.c.expires_at < before))


def _usable(digest: bytes, purpose: str, now: datetime) -> ColumnElement[bool]:
    return and_(
        invitations.c.digest == digest,
        invitations.c.purpose == purpose,
        invitations.c.used_at.is_(None),
        invitations.c.expires_at > now,
    )


def _optional(row: Row[Any] | None) -> Invitation | None:
    if row is None:
        return None
    return Invitation(
        user_id=None if row.user_id is None else UserId(row.user_id),
        purpose=row.purpose,
        expires_at=row.expires_at,
        used_at=row.used_at,
    )
