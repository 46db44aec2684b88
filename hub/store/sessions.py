"""Jupyter's sessions in the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, insert, select, update

from hub.domain.ids import KernelId, SessionId, UserId
from hub.domain.kernels import Session
from hub.errors import NotFound
from hub.store.tables import sessions
from hub.store.transaction import Transaction

_TAKEN = "There is a session for this path already, or its kernel does not exist any more."


class Sessions:
    """Which kernel belongs to which notebook; at most one session for each user and path."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, session: Session) -> None:
        """Record a new session. Raises Conflict if the user has one for this path, or the kernel is gone."""
        await self._db.execute(
            insert(sessions).values(
                id=session.id, user_id=session.user_id, created_at=session.created_at, **_changeable(session)
            ),
            conflict=_TAKEN,
        )

    async def find(self, session_id: SessionId) -> Session | None:
        """The session with this id, or None."""
        return await self._one(sessions.c.id == session_id)

    async def find_by_path(self, user_id: UserId, path: str) -> Session | None:
        """The user's session for this path, or None."""
        return await self._one((sessions.c.user_id == user_id) & (sessions.c.path == path))

    async def list_all(self) -> list[Session]:
        """Everybody's sessions, oldest first."""
        return await self._many(select(sessions))

    async def list_for(self, user_id: UserId) -> list[Session]:
        """The user's sessions, oldest first."""
        return await self._many(select(sessions).where(sessions.c.user_id == user_id))

    async def save(self, session: Session) -> None:
        """Write path, name, type and kernel of a session.

        Raises Conflict like `add`, and NotFound if the session was deleted meanwhile.
        """
        statement = update(sessions).where(sessions.c.id == session.id).values(**_changeable(session))
        if not await self._db.count(statement, conflict=_TAKEN):
            raise NotFound("This session does not exist any more.")

    async def delete(self, session_id: SessionId) -> bool:
        """Delete a session; its kernel stays. Whether there was one."""
        return bool(await self._db.count(delete(sessions).where(sessions.c.id == session_id)))

    async def delete_for_kernel(self, kernel_id: KernelId) -> int:
        """Delete all sessions of a kernel. How many."""
        return await self._db.count(delete(sessions).where(sessions.c.kernel_id == kernel_id))

    async def _many(self, query: Select[Any]) -> list[Session]:
        rows = await self._db.rows(query.order_by(sessions.c.created_at, sessions.c.id))
        return [as_session(row) for row in rows]

    async def _one(self, condition: ColumnElement[bool]) -> Session | None:
        row = await self._db.row(self._db.locking(select(sessions).where(condition)))
        return None if row is None else as_session(row)


def _changeable(session: Session) -> dict[str, Any]:
    return {
        "kernel_id": session.kernel_id,
        "path": session.path,
        "name": session.name,
        "type": session.type,
    }


def as_session(row: Row[Any]) -> Session:
    """The session that a row of the table stands for."""
    return Session(
        id=SessionId(row.id),
        user_id=UserId(row.user_id),
        kernel_id=KernelId(row.kernel_id),
        path=row.path,
        name=row.name,
        type=row.type,
        created_at=row.created_at,
    )
