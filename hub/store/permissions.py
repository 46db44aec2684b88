"""What permissions are worked out from: who is in which groups, and which ids names stand for now."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from hub.domain.ids import GroupId, UserId
from hub.domain.users import Group, MemberRole
from hub.store.tables import groups, memberships, users
from hub.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Place:
    """A group that somebody is in, whether they own it, and who has put them there."""

    group: Group
    owns: bool
    source: str


class Permissions:
    """Questions about memberships and names; nothing is changed here."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def places(self, user_id: UserId) -> builtins.list[Place]:
        """The groups that a user is in."""
        query = select(groups, memberships.c.role.label("member_role"), memberships.c.source.label("member_source"))
        query = query.join(memberships, memberships.c.group_id == groups.c.id)
        rows = await self._db.rows(query.where(memberships.c.user_id == user_id))
        return [Place(_group(row), row.member_role == MemberRole.OWNER, row.member_source) for row in rows]

    async def groups_of(self, user_ids: Iterable[UserId]) -> dict[UserId, frozenset[GroupId]]:
        """The ids of the groups that each of these users is in."""
        query, wanted = select(memberships.c.user_id, memberships.c.group_id), list(user_ids)
        rows = await self._db.rows_for(wanted, lambda keys: query.where(memberships.c.user_id.in_(keys)))
        found: dict[UserId, set[GroupId]] = {user_id: set() for user_id in wanted}
        for row in rows:
            found[UserId(row.user_id)].add(GroupId(row.group_id))
        return {user_id: frozenset(ids) for user_id, ids in found.items()}

    async def user_ids(self, names: Iterable[str]) -> dict[str, UserId]:
        """The ids of users by their names; those that do not exist are left out."""
        query = select(users.c.id, users.c.name)
        rows = await self._db.rows_for(names, lambda keys: query.where(users.c.name.in_(keys)))
        return {row.name: UserId(row.id) for row in rows}

    async def user_names(self, ids: Iterable[str]) -> dict[str, str]:
        """The names that users have now, by their ids."""
        query = select(users.c.id, users.c.name)
        rows = await self._db.rows_for(ids, lambda keys: query.where(users.c.id.in_(keys)))
        return {row.id: row.name for row in rows}

    async def groups_named(self, names: Iterable[str]) -> builtins.list[Group]:
        """The groups with these names; those that do not exist are left out."""
        rows = await self._db.rows_for(names, lambda keys: select(groups).where(groups.c.name.in_(keys)))
        return [_group(row) for row in rows]

    async def group_names(self, ids: Iterable[str]) -> dict[str, str]:
        """The names that groups have now, by their ids."""
        query = select(groups.c.id, groups.c.name)
        rows = await self._db.rows_for(ids, lambda keys: query.where(groups.c.id.in_(keys)))
        return {row.id: row.name for row in rows}


def _group(row: Row[Any]) -> Group:
    return Group(
        id=GroupId(row.id),
        name=row.name,
        created_at=row.created_at,
        display_name=row.display_name,
        properties=dict(row.properties),
        source=row.source,
    )
