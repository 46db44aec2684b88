"""Every sealed text in the database (hub.auth.secrets), so that all of them can be sealed anew.

A test holds this list against the code: whoever seals something new adds its place here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Table, select, update

from hub.store.tables import lti_keys, second_factors, sign_ins
from hub.store.transaction import Transaction

IN_JSON: tuple[tuple[Table, str, str], ...] = (
    (second_factors, "data", "seed"),
    (sign_ins, "provider_data", "id_token"),
)
"""Table, JSON column, and the member that is sealed where it is there."""
IN_COLUMNS: tuple[tuple[Table, str], ...] = ((lti_keys, "private"),)
"""Table and column."""


class Sealed:
    """The sealed texts of all tables."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def change_all(self, seal_anew: Callable[[str], str]) -> int:
        """Put what `seal_anew` gives in the place of each; how many there were."""
        count = 0
        for table, column, member in IN_JSON:
            for row in await self._db.rows(select(table.c.id, table.c[column]).where(table.c[column].is_not(None))):
                value: dict[str, Any] | None = row._mapping[column]
                if value and isinstance(value.get(member), str):
                    await self._set(table, row.id, column, {**value, member: seal_anew(value[member])})
                    count += 1
        for table, column in IN_COLUMNS:
            for row in await self._db.rows(select(table.c.id, table.c[column])):
                await self._set(table, row.id, column, seal_anew(row._mapping[column]))
                count += 1
        return count

    async def _set(self, table: Table, key: str, column: str, value: Any) -> None:
        await self._db.execute(update(table).where(table.c.id == key).values({column: value}))
