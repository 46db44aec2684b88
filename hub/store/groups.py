"""Groups and who is in them, in the database."""

from __future__ import annotations

import builtins
from typing import Any

from sqlalchemy import Row, delete, insert, select

from hub.domain.ids import GroupId, UserId
from hub.domain.users import Group, User
from hub.store.tables import groups, memberships, users
from hub.store.transaction import Transaction
from hub.store.users import as_user


class Groups:
    """Named sets of users."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, group: Group) -> None:
        """Record a new group. Raises Conflict if the name is taken."""
        await self._db.execute(
            insert(groups).values(id=group.id, name=group.name, created_at=group.created_at),
            conflict=f"There is a group named {group.name!r} already; choose another name.",
        )

    async def find_by_name(self, name: str) -> Group | None:
        """The group with this name, or None."""
        row = await self._db.row(select(groups).where(groups.c.name == name))
        return None if row is None else _group(row)

    async def list(self) -> builtins.list[Group]:
        """All groups, in order of their names."""
        return [_group(row) for row in await self._db.rows(select(groups).order_by(groups.c.name))]

    async def list_for(self, user_id: UserId) -> builtins.list[Group]:
        """The groups that a user is in, in order of their names."""
        query = select(groups).join(memberships, memberships.c.group_id == groups.c.id)
        query = query.where(memberships.c.user_id == user_id).order_by(groups.c.name)
        return [_group(row) for row in await self._db.rows(query)]

    async def members(self, group_id: GroupId) -> builtins.list[User]:
        """The users in a group, in order of their names."""
        query = select(users).join(memberships, memberships.c.user_id == users.c.id)
        query = query.where(memberships.c.group_id == group_id).order_by(users.c.name)
        return [as_user(row) for row in await self._db.rows(query)]

    async def add_member(self, group_id: GroupId, user_id: UserId) -> None:
        """Put a user into a group; once is as good as twice. Raises Conflict if either does not exist.

        The group's row is locked, so that two who do this at once find the same member, not a conflict.
        """
        await self._db.row(self._db.locking(select(groups.c.id).where(groups.c.id == group_id)))
        known = select(memberships.c.user_id).where(
            memberships.c.group_id == group_id, memberships.c.user_id == user_id
        )
        if await self._db.row(known) is None:
            await self._db.execute(insert(memberships).values(group_id=group_id, user_id=user_id))

    async def remove_member(self, group_id: GroupId, user_id: UserId) -> bool:
        """Take a user out of a group. Whether they were in it."""
        statement = delete(memberships).where(memberships.c.group_id == group_id, memberships.c.user_id == user_id)
        return bool(await self._db.count(statement))

    async def delete(self, group_id: GroupId) -> bool:
        """Delete a group; its members stay users. Whether there was one."""
        return bool(await self._db.count(delete(groups).where(groups.c.id == group_id)))


def _group(row: Row[Any]) -> Group:
    return Group(id=GroupId(row.id), name=row.name, created_at=row.created_at)
