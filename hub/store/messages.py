"""Messages to users in the database."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from hub.domain.ids import UserId
from hub.domain.messages import Message
from hub.store.tables import messages
from hub.store.transaction import Transaction


class Messages:
    """What people were told, until it is dismissed or has expired."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, new: Iterable[Message]) -> None:
        """Record messages. Raises Conflict if a user does not exist any more."""
        rows = [
            {
                "id": message.id,
                "user_id": message.user_id,
                "sender_id": message.sender_id,
                "sender_name": message.sender_name,
                "text": message.text,
                "created_at": message.created_at,
                "expires_at": message.expires_at,
                "dismissed_at": message.dismissed_at,
            }
            for message in new
        ]
        if rows:
            await self._db.execute(insert(messages), rows, conflict="This user does not exist any more.")

    async def list_open(self, user_id: UserId, now: datetime, limit: int = 5) -> builtins.list[Message]:
        """What the user is still to be shown, the newest first."""
        query = select(messages).where(
            messages.c.user_id == user_id, messages.c.dismissed_at.is_(None), messages.c.expires_at > now
        )
        rows = await self._db.rows(query.order_by(messages.c.created_at.desc(), messages.c.id).limit(limit))
        return [_message(row) for row in rows]

    async def list_for(self, user_id: UserId, limit: int = 20) -> builtins.list[Message]:
        """The newest messages to the user, dismissed ones too."""
        query = select(messages).where(messages.c.user_id == user_id)
        rows = await self._db.rows(query.order_by(messages.c.created_at.desc(), messages.c.id).limit(limit))
        return [_message(row) for row in rows]

    async def dismiss(self, user_id: UserId, message_id: str, at: datetime) -> bool:
        """The user has read it. Whether there was such a message, not dismissed before."""
        mine = (messages.c.id == message_id) & (messages.c.user_id == user_id) & messages.c.dismissed_at.is_(None)
        return bool(await self._db.count(update(messages).where(mine).values(dismissed_at=at)))

    async def prune(self, before: datetime) -> int:
        """Delete messages that expired before this time. How many."""
        return await self._db.count(delete(messages).where(messages.c.expires_at < before))


def _message(row: Row[Any]) -> Message:
    return Message(
        id=row.id,
        user_id=UserId(row.user_id),
        sender_id=row.sender_id,
        sender_name=row.sender_name,
        text=row.text,
        created_at=row.created_at,
        expires_at=row.expires_at,
        dismissed_at=row.dismissed_at,
    )
