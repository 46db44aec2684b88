"""Wrong passwords and codes in the database, so that they count after a restart and at every hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from hub.store.tables import sign_in_failures
from hub.store.transaction import Transaction

Key = tuple[str, str]
"""What is counted by, and the SHA-256 in hexadecimal of whom or what: names that strangers type are not kept."""


@dataclass(frozen=True, slots=True)
class FailureCount:
    """How many failures in a row, and when the last one was."""

    count: int
    last_at: datetime


class SignInFailures:
    """Counts by key."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def find(self, keys: Iterable[Key]) -> Mapping[Key, FailureCount]:
        """The counts that there are of these keys; it locks nothing."""
        query = select(sign_in_failures).where(or_(*(_is(key) for key in keys)))
        return {
            (row.kind, row.key): FailureCount(row._mapping["count"], row.last_at) for row in await self._db.rows(query)
        }

    async def add(self, keys: Iterable[Key], at: datetime, forget: timedelta) -> Mapping[Key, int]:
        """Count one more failure for each key, from one again where the last is older than `forget`; the new counts."""
        insert = postgresql.insert if self._db.dialect == "postgresql" else sqlite.insert
        # In one order always, so that two hubs that count the same keys do not wait for each other.
        rows = [{"kind": kind, "key": key, "count": 1, "last_at": at} for kind, key in sorted(keys)]
        statement = insert(sign_in_failures).values(rows)
        kept = case((sign_in_failures.c.last_at < at - forget, 1), else_=sign_in_failures.c.count + 1)
        changed = statement.on_conflict_do_update(
            index_elements=["kind", "key"], set_={"count": kept, "last_at": at}
        ).returning(sign_in_failures.c.kind, sign_in_failures.c.key, sign_in_failures.c.count)
        return {(row.kind, row.key): row._mapping["count"] for row in await self._db.rows(changed)}

    async def forget(self, key: Key) -> None:
        """Forget the failures of one key."""
        await self._db.execute(delete(sign_in_failures).where(_is(key)))

    async def prune(self, before: datetime, most: int) -> int:
        """Delete what failed last before this time, and the oldest beyond `most` rows. How many."""
        gone = await self._db.count(delete(sign_in_failures).where(sign_in_failures.c.last_at < before))
        left = (await self._db.execute(select(func.count()).select_from(sign_in_failures))).scalar_one()
        if left <= most:
            return gone
        query = select(sign_in_failures.c.last_at).order_by(sign_in_failures.c.last_at.desc()).offset(most).limit(1)
        newest_to_go = (await self._db.execute(query)).scalar_one()
        return gone + await self._db.count(delete(sign_in_failures).where(sign_in_failures.c.last_at <= newest_to_go))


def _is(key: Key) -> ColumnElement[bool]:
    return and_(sign_in_failures.c.kind == key[0], sign_in_failures.c.key == key[1])
