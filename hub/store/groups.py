"""Groups, who is in them and who owns them, in the database."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, func, insert, select, update

from hub.domain.ids import GroupId, UserId
from hub.domain.permissions import EVERYTHING, Reach
from hub.domain.users import Group, MemberRole, Membership, User
from hub.errors import NotFound
from hub.store.tables import groups, memberships, users
from hub.store.transaction import Transaction
from hub.store.users import as_user

_PRESENT = users.c.removed_at.is_(None)
"""Who is marked for deletion stays in their groups, in case they are taken back, and is not shown there."""
SEPARATOR = ","
"""Between names that the database joins, a thousand rows in one; no user's name holds it."""


@dataclass(frozen=True, slots=True)
class GroupSize:
    """How many people are in a group, its owners included, and how many of them own it."""

    people: int
    owners: int


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Somebody in a group, by name: what they are in it, and who has put them there."""

    name: str
    role: MemberRole
    source: str


class Groups:
    """Named sets of users. Everybody in a group is a member of it; some are its owners besides."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, group: Group) -> None:
        """Record a new group. Raises Conflict if the name is taken."""
        await self._db.execute(
            insert(groups).values(id=group.id, created_at=group.created_at, **_changeable(group)),
            conflict=f"There is a group named {group.name!r} already; choose another name.",
        )

    async def save(self, group: Group) -> None:
        """Write everything about a group that can change. Raises Conflict for a taken name, NotFound."""
        changed = await self._db.count(
            update(groups).where(groups.c.id == group.id).values(**_changeable(group)),
            conflict=f"There is a group named {group.name!r} already; choose another name.",
        )
        if not changed:
            raise NotFound("This group does not exist any more.")

    async def find(self, group_id: GroupId) -> Group | None:
        """The group with this id, or None."""
        return await self._one(groups.c.id == group_id)

    async def find_by_name(self, name: str) -> Group | None:
        """The group with this name, or None."""
        return await self._one(groups.c.name == name)

    async def find_many(self, names: Iterable[str]) -> dict[str, Group]:
        """The groups with these names, by name; those that do not exist are left out."""
        rows = await self._db.rows_for(names, lambda keys: select(groups).where(groups.c.name.in_(keys)))
        return {row.name: as_group(row) for row in rows}

    async def list(self) -> builtins.list[Group]:
        """All groups, in order of their names."""
        return [as_group(row) for row in await self._db.rows(select(groups).order_by(groups.c.name))]

    async def page(self, offset: int, limit: int, search: str = "", within: Reach = EVERYTHING) -> builtins.list[Group]:
        """Groups in order of their names whose name or display name holds `search`.

        `within`: whose groups the asker may see at all.
        """
        query = _matching(select(groups), search, within).order_by(groups.c.name).offset(offset).limit(limit)
        return [as_group(row) for row in await self._db.rows(query)]

    async def count(self, search: str = "", within: Reach = EVERYTHING) -> int:
        """How many groups `page` would give altogether."""
        query = _matching(select(func.count()).select_from(groups), search, within)
        return int((await self._db.execute(query)).scalar_one())

    async def sizes(self, group_ids: Iterable[GroupId]) -> dict[GroupId, GroupSize]:
        """How many people are in each of these groups.

        Memberships are counted by their index alone, and the few of those who are marked for deletion taken off.
        """
        wanted = list(group_ids)
        query = select(memberships.c.group_id, memberships.c.role, func.count().label("people"))
        query = query.group_by(memberships.c.group_id, memberships.c.role)
        rows = await self._db.rows_for(wanted, lambda keys: query.where(memberships.c.group_id.in_(keys)))
        found = {(row.group_id, row.role): int(row.people) for row in rows}
        for row in await self._db.rows(_of_marked(query)):
            found[row.group_id, row.role] = found.get((row.group_id, row.role), 0) - int(row.people)
        owners = {group_id: found.get((group_id, MemberRole.OWNER.value), 0) for group_id in wanted}
        members = {group_id: found.get((group_id, MemberRole.MEMBER.value), 0) for group_id in wanted}
        return {group_id: GroupSize(members[group_id] + owners[group_id], owners[group_id]) for group_id in wanted}

    async def list_for(self, user_id: UserId, role: MemberRole | None = None) -> builtins.list[Group]:
        """The groups that a user is in, in order of their names; `role`: only those where they are that."""
        query = select(groups).join(memberships, memberships.c.group_id == groups.c.id)
        query = query.where(memberships.c.user_id == user_id).order_by(groups.c.name)
        if role is not None:
            query = query.where(memberships.c.role == role.value)
        return [as_group(row) for row in await self._db.rows(query)]

    async def names_for(self, user_ids: Iterable[UserId]) -> dict[UserId, builtins.list[str]]:
        """The names of the groups that each of these users is in, in order; one query for all of them."""
        query = select(memberships.c.user_id, groups.c.name).join(groups, groups.c.id == memberships.c.group_id)
        query = query.order_by(groups.c.name)
        wanted = list(user_ids)
        rows = await self._db.rows_for(wanted, lambda keys: query.where(memberships.c.user_id.in_(keys)))
        found: dict[UserId, builtins.list[str]] = {user_id: [] for user_id in wanted}
        for row in rows:
            found[UserId(row.user_id)].append(row.name)
        return {user_id: sorted(names) for user_id, names in found.items()}

    async def memberships_for(self, user_id: UserId) -> builtins.list[Membership]:
        """What a user is in which group, and who says so, in order of the groups' names."""
        query = self._memberships().where(memberships.c.user_id == user_id).order_by(groups.c.name)
        return [_membership(row) for row in await self._db.rows(query)]

    async def members(self, group_id: GroupId) -> builtins.list[User]:
        """The users in a group, owners included, in order of their names."""
        query = select(users).join(memberships, memberships.c.user_id == users.c.id)
        query = query.where(memberships.c.group_id == group_id, _PRESENT).order_by(users.c.name)
        return [as_user(row) for row in await self._db.rows(query)]

    async def members_among(self, user_ids: Iterable[UserId], group_ids: Iterable[GroupId]) -> set[UserId]:
        """Which of these users are in any of these groups."""
        query = select(memberships.c.user_id).where(memberships.c.group_id.in_(sorted(group_ids)))
        rows = await self._db.rows_for(user_ids, lambda keys: query.where(memberships.c.user_id.in_(keys)))
        return {UserId(row.user_id) for row in rows}

    async def everybody(self, group_id: GroupId) -> builtins.list[Membership]:
        """All memberships of a group, in order of the users' names."""
        query = self._memberships().where(memberships.c.group_id == group_id).order_by(users.c.name)
        return [_membership(row) for row in await self._db.rows(query)]

    async def roll(self, group_id: GroupId) -> builtins.list[Enrolled]:
        """The names of everybody in a group, what they are in it and who says so; those marked for deletion, too."""
        query = select(users.c.name, memberships.c.role, memberships.c.source)
        query = query.join(memberships, memberships.c.user_id == users.c.id).where(memberships.c.group_id == group_id)
        return [Enrolled(row.name, MemberRole(row.role), row.source) for row in await self._db.rows(query)]

    async def members_page(
        self, group_id: GroupId, offset: int, limit: int, search: str = "", role: MemberRole | None = None
    ) -> builtins.list[Membership]:
        """People of a group in order of their names, whose names hold `search`; `role`: only those who are that."""
        # First who they are: sorting everything that is shown of 25,000 people would take three times as long.
        ids = select(users.c.id).join(memberships, memberships.c.user_id == users.c.id)
        ids = _people(ids.where(memberships.c.group_id == group_id), search, role)
        ids = ids.order_by(users.c.name).offset(offset).limit(limit)
        query = self._memberships().where(memberships.c.group_id == group_id, users.c.id.in_(ids))
        return [_membership(row) for row in await self._db.rows(query.order_by(users.c.name))]

    async def members_count(self, group_id: GroupId, search: str = "", role: MemberRole | None = None) -> int:
        """How many people `members_page` would give altogether."""
        if not search:
            size = (await self.sizes([group_id]))[group_id]
            return {None: size.people, MemberRole.OWNER: size.owners}.get(role, size.people - size.owners)
        query = select(func.count()).select_from(memberships.join(users, users.c.id == memberships.c.user_id))
        query = _people(query.where(memberships.c.group_id == group_id), search, role)
        return int((await self._db.execute(query)).scalar_one())

    async def member_names(self, group_ids: Iterable[GroupId]) -> dict[GroupId, builtins.list[tuple[str, MemberRole]]]:
        """Name and role of everybody in each of these groups, in order of the names; one query for all of them.

        The database joins the names: a row for each of 25,000 memberships would take ten times as long.
        """
        names = func.aggregate_strings(users.c.name, SEPARATOR).label("names")
        query = select(memberships.c.group_id, memberships.c.role, names)
        query = query.join(users, users.c.id == memberships.c.user_id).group_by(
            memberships.c.group_id, memberships.c.role
        )
        query, wanted = query.where(_PRESENT), list(group_ids)
        rows = await self._db.rows_for(wanted, lambda keys: query.where(memberships.c.group_id.in_(keys)))
        found: dict[GroupId, builtins.list[tuple[str, MemberRole]]] = {group_id: [] for group_id in wanted}
        for row in rows:
            role = MemberRole(row.role)
            found[GroupId(row.group_id)] += [(name, role) for name in row.names.split(SEPARATOR)]
        return {group_id: sorted(people) for group_id, people in found.items()}

    async def role_of(self, group_id: GroupId, user_id: UserId) -> MemberRole | None:
        """What the user is in the group; None if they are not in it."""
        query = select(memberships.c.role).where(_between(group_id, user_id))
        row = await self._db.row(query)
        return None if row is None else MemberRole(row.role)

    async def add_member(
        self, group_id: GroupId, user_id: UserId, role: MemberRole = MemberRole.MEMBER, source: str = "hub"
    ) -> bool:
        """Put a user into a group; once is as good as twice, and changes neither role nor source.

        Whether they were not in it before. Raises Conflict if either does not exist. The group's row is locked, so
        that two who do this at once find the same member, not a conflict.
        """
        await self._db.row(self._db.locking(select(groups.c.id).where(groups.c.id == group_id)))
        if await self.role_of(group_id, user_id) is not None:
            return False
        await self._db.execute(
            insert(memberships).values(group_id=group_id, user_id=user_id, role=role.value, source=source)
        )
        return True

    async def set_role(self, group_id: GroupId, user_id: UserId, role: MemberRole) -> bool:
        """Make somebody in a group its owner, or only a member again. Whether that changed anything."""
        statement = update(memberships).where(_between(group_id, user_id), memberships.c.role != role.value)
        return bool(await self._db.count(statement.values(role=role.value)))

    async def remove_member(self, group_id: GroupId, user_id: UserId) -> bool:
        """Take a user out of a group. Whether they were in it."""
        return bool(await self._db.count(delete(memberships).where(_between(group_id, user_id))))

    async def delete(self, group_id: GroupId) -> bool:
        """Delete a group; its members stay users. Whether there was one."""
        return bool(await self._db.count(delete(groups).where(groups.c.id == group_id)))

    async def _one(self, condition: ColumnElement[bool]) -> Group | None:
        row = await self._db.row(self._db.locking(select(groups).where(condition)))
        return None if row is None else as_group(row)

    def _memberships(self) -> Select[Any]:
        """Everything of a membership in one row; the groups' columns and the membership's are named apart."""
        of_group = [column.label(f"group_{column.name}") for column in groups.c]
        in_group = [memberships.c.role.label("member_role"), memberships.c.source.label("member_source")]
        joined = memberships.join(groups, groups.c.id == memberships.c.group_id)
        return select(users, *of_group, *in_group).select_from(joined.join(users, users.c.id == memberships.c.user_id))


def as_group(row: Row[Any], prefix: str = "") -> Group:
    """The group that a row stands for, whose columns' names begin with `prefix`."""
    values = row._mapping
    return Group(
        id=GroupId(values[f"{prefix}id"]),
        name=values[f"{prefix}name"],
        created_at=values[f"{prefix}created_at"],
        display_name=values[f"{prefix}display_name"],
        properties=dict(values[f"{prefix}properties"]),
        source=values[f"{prefix}source"],
    )


def _membership(row: Row[Any]) -> Membership:
    return Membership(as_group(row, "group_"), as_user(row), MemberRole(row.member_role), row.member_source)


def _changeable(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "display_name": group.display_name,
        "properties": group.properties,
        "source": group.source,
    }


def _between(group_id: GroupId, user_id: UserId) -> ColumnElement[bool]:
    return (memberships.c.group_id == group_id) & (memberships.c.user_id == user_id)


def _of_marked(query: Select[Any]) -> Select[Any]:
    """The same of those only who are marked for deletion, of whom there are few: they are found by an index."""
    marked = select(users.c.id).where(users.c.removed_at.is_not(None))
    return query.where(memberships.c.user_id.in_(marked))


def _matching(query: Select[Any], search: str, within: Reach) -> Select[Any]:
    if search:
        held = func.lower(groups.c.name).contains(search.lower(), autoescape=True)
        query = query.where(held | func.lower(groups.c.display_name).contains(search.lower(), autoescape=True))
    return query if within.everything else query.where(groups.c.id.in_(sorted(within.groups)))


def _people(query: Select[Any], search: str, role: MemberRole | None) -> Select[Any]:
    query = query.where(_PRESENT)
    if search:
        query = query.where(users.c.name.contains(search.casefold(), autoescape=True))
    return query if role is None else query.where(memberships.c.role == role.value)
