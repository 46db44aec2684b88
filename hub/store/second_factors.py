"""Second factors in the database: authenticator apps, passkeys and recovery codes."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from hub.domain.ids import UserId
from hub.store.tables import second_factors
from hub.store.transaction import Transaction


class FactorKind(StrEnum):
    """What a second factor is."""

    APP = "app"
    PASSKEY = "passkey"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """One of a user's second factors. `data` holds a sealed seed, a public key and counter, or digests of codes."""

    id: str
    user_id: UserId
    kind: FactorKind
    name: str
    data: Mapping[str, Any] = field(repr=False)
    created_at: datetime
    credential_id: bytes | None = None
    last_used_at: datetime | None = None


class SecondFactors:
    """Second factors of all users."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, factor: SecondFactor) -> None:
        """Record one. Raises Conflict if the passkey is somebody's already."""
        await self._db.execute(
            insert(second_factors).values(
                id=factor.id,
                user_id=factor.user_id,
                kind=factor.kind.value,
                name=factor.name,
                credential_id=factor.credential_id,
                data=dict(factor.data),
                created_at=factor.created_at,
                last_used_at=factor.last_used_at,
            ),
            conflict="This passkey was added already.",
        )

    async def list(self, user_id: UserId) -> builtins.list[SecondFactor]:
        """All of a user's, the oldest first; in a unit that writes they stay as they are until it ends."""
        query = select(second_factors).where(second_factors.c.user_id == user_id)
        query = query.order_by(second_factors.c.created_at, second_factors.c.id)
        return [_factor(row) for row in await self._db.rows(self._db.locking(query))]

    async def find_passkey(self, credential_id: bytes) -> SecondFactor | None:
        """The passkey with this id, whosever it is, or None."""
        query = select(second_factors).where(second_factors.c.credential_id == credential_id)
        row = await self._db.row(query)
        return None if row is None else _factor(row)

    async def with_some(self, user_ids: Iterable[UserId]) -> set[UserId]:
        """Those of the users who have an authenticator app or a passkey."""
        kinds = second_factors.c.kind != FactorKind.RECOVERY.value
        query = select(second_factors.c.user_id).where(kinds).distinct()
        rows = await self._db.rows_for(user_ids, lambda keys: query.where(second_factors.c.user_id.in_(keys)))
        return {UserId(row.user_id) for row in rows}

    async def used(self, factor_id: str, at: datetime, data: Mapping[str, Any]) -> None:
        """Remember when it was used, and what has changed with that."""
        statement = update(second_factors).where(second_factors.c.id == factor_id)
        await self._db.execute(statement.values(last_used_at=at, data=dict(data)))

    async def rename(self, user_id: UserId, factor_id: str, name: str) -> bool:
        """Give one of a user's another name. Whether it is theirs."""
        mine = (second_factors.c.id == factor_id, second_factors.c.user_id == user_id)
        return bool(await self._db.count(update(second_factors).where(*mine).values(name=name)))

    async def remove(self, user_id: UserId, factor_id: str) -> bool:
        """Take one of a user's away. Whether it was theirs."""
        mine = (second_factors.c.id == factor_id, second_factors.c.user_id == user_id)
        return bool(await self._db.count(delete(second_factors).where(*mine)))

    async def remove_all(self, user_id: UserId, kind: FactorKind | None = None) -> int:
        """Take all of a user's away, or those of one kind. How many."""
        statement = delete(second_factors).where(second_factors.c.user_id == user_id)
        if kind is not None:
            statement = statement.where(second_factors.c.kind == kind.value)
        return await self._db.count(statement)


def _factor(row: Row[Any]) -> SecondFactor:
    return SecondFactor(
        id=row.id,
        user_id=UserId(row.user_id),
        kind=FactorKind(row.kind),
        name=row.name,
        data=dict(row.data),
        created_at=row.created_at,
        credential_id=row.credential_id,
        last_used_at=row.last_used_at,
    )
