"""What administrators have set while the hub runs, in the database."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from hub.domain.ids import UserId
from hub.store.tables import groups, hub_settings, memberships
from hub.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class StoredSetting:
    """A setting by its name: its value as JSON, and who changed it when."""

    name: str
    value: dict[str, Any]
    changed_at: datetime
    changed_by: str


class HubSettings:
    """Settings by name."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def list(self) -> builtins.list[StoredSetting]:
        """All settings, in order of their names."""
        rows = await self._db.rows(select(hub_settings).order_by(hub_settings.c.name))
        return [StoredSetting(row.name, dict(row.value), row.changed_at, row.changed_by) for row in rows]

    async def find(self, name: str) -> StoredSetting | None:
        """The setting of that name as it stands; in a unit that writes it stays so until the unit ends."""
        row = await self._db.row(self._db.locking(select(hub_settings).where(hub_settings.c.name == name)))
        return StoredSetting(row.name, dict(row.value), row.changed_at, row.changed_by) if row is not None else None

    async def save(self, setting: StoredSetting) -> None:
        """Write a setting, whether there was one of this name or not."""
        values = {"value": setting.value, "changed_at": setting.changed_at, "changed_by": setting.changed_by}
        changed = update(hub_settings).where(hub_settings.c.name == setting.name).values(values)
        if not await self._db.count(changed):
            await self._db.execute(
                insert(hub_settings).values(name=setting.name, **values),
                conflict="Somebody else has set this at the same moment; look at it again.",
            )

    async def members_of(self, names: Iterable[str]) -> dict[str, frozenset[UserId]]:
        """The ids of the members of groups, by the groups' names; a group that does not exist has none."""
        query = select(groups.c.name, memberships.c.user_id).join(memberships, memberships.c.group_id == groups.c.id)
        rows = await self._db.rows_for(names, lambda keys: query.where(groups.c.name.in_(keys)))
        found: dict[str, set[UserId]] = {}
        for row in rows:
            found.setdefault(row.name, set()).add(UserId(row.user_id))
        return {name: frozenset(ids) for name, ids in found.items()}

    async def delete(self, name: str) -> None:
        """Forget a setting; harmless if there is none."""
        await self._db.execute(delete(hub_settings).where(hub_settings.c.name == name))
