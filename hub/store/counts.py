"""How many there are of what: the figures that monitoring asks for, one statement each."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Table, func, select

from hub.store.tables import kernels, users, workspaces
from hub.store.transaction import Transaction


class Counts:
    """Counts over whole tables, by index or by one pass in the database."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def workspaces(self) -> dict[str, int]:
        """Workspaces by state; states that none is in are left out."""
        return await self._by_state(workspaces)

    async def kernels(self) -> dict[str, int]:
        """Kernels by state; states that none is in are left out."""
        return await self._by_state(kernels)

    async def users_active_since(self, moment: datetime) -> int:
        """Users whose last activity was then or later."""
        query = select(func.count()).select_from(users).where(users.c.last_activity_at >= moment)
        return int((await self._db.execute(query)).scalar_one())

    async def _by_state(self, table: Table) -> dict[str, int]:
        query = select(table.c.state, func.count().label("number")).group_by(table.c.state)
        return {row.state: row.number for row in await self._db.rows(query)}
