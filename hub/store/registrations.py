"""People who asked for an account and wait for an administrator's word, in the database."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select

from hub.store.tables import registrations
from hub.store.transaction import Transaction
from hub.store.types import loggable

MAX_ADDRESS_CHARS = 100


@dataclass(frozen=True, slots=True)
class Registration:
    """A wish for an account. Everything but `password_hash` is a stranger's words."""

    id: str
    name: str
    password_hash: str = field(repr=False)
    display_name: str
    email: str
    message: str
    address: str
    created_at: datetime


class Registrations:
    """Wishes for accounts."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, wish: Registration) -> None:
        """Record one. Raises Conflict if another waits for that name."""
        await self._db.execute(
            insert(registrations).values(
                id=wish.id,
                name=wish.name,
                password_hash=wish.password_hash,
                display_name=wish.display_name,
                email=wish.email,
                message=wish.message,
                address=loggable(wish.address, MAX_ADDRESS_CHARS),
                created_at=wish.created_at,
            ),
            conflict=f"Somebody waits for the name {wish.name!r} already; choose another.",
        )

    async def find(self, registration_id: str) -> Registration | None:
        """The wish with this id, or None."""
        query = select(registrations).where(registrations.c.id == registration_id)
        row = await self._db.row(self._db.locking(query))
        return None if row is None else _registration(row)

    async def list(self, offset: int = 0, limit: int = 100) -> builtins.list[Registration]:
        """Those who wait, the longest first."""
        query = select(registrations).order_by(registrations.c.created_at, registrations.c.id)
        return [_registration(row) for row in await self._db.rows(query.offset(offset).limit(limit))]

    async def count(self) -> int:
        """How many wait."""
        return int((await self._db.execute(select(func.count()).select_from(registrations))).scalar_one())

    async def remove(self, registration_id: str) -> bool:
        """Forget one. Whether it was there."""
        return bool(await self._db.count(delete(registrations).where(registrations.c.id == registration_id)))


def _registration(row: Row[Any]) -> Registration:
    return Registration(
        id=row.id,
        name=row.name,
        password_hash=row.password_hash,
        display_name=row.display_name,
        email=row.email,
        message=row.message,
        address=row.address,
        created_at=row.created_at,
    )
