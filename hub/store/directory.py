"""The directory: people by page, as the REST API and the pages of administrators list them."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select

from hub.domain.permissions import EVERYTHING, Reach
from hub.domain.users import User
from hub.domain.workspace import WorkspaceState
from hub.store.tables import groups, memberships, users, workspaces
from hub.store.transaction import Transaction
from hub.store.users import as_user

_LIVE = tuple(state.value for state in WorkspaceState if state is not WorkspaceState.STOPPED)


class Having(StrEnum):
    """Whose containers are how: some that run or change (`active`), none (`inactive`), some that run (`ready`)."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    READY = "ready"


class Order(StrEnum):
    """What people are listed by. Those who never were active come before those who were, as the longest away."""

    NAME = "name"
    ADDED = "added"
    ACTIVITY = "activity"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is wanted. None and empty texts restrict nothing.

    `name_filter` is found anywhere in names, `search` in names, display names and e-mail addresses; `group` is a
    group's name, `within` whom the asker may see at all. `removed`: only those who are marked for deletion, who are
    left out otherwise. `never_came`: only those who never signed in.
    """

    name_filter: str = ""
    search: str = ""
    having: Having | None = None
    role: str | None = None
    group: str | None = None
    disabled: bool | None = None
    removed: bool = False
    never_came: bool = False
    within: Reach = EVERYTHING


@dataclass(frozen=True, slots=True)
class Described:
    """What is said of a user: full name, e-mail address, and since when they are marked for deletion."""

    display_name: str | None
    email: str | None
    removed_at: datetime | None


class Directory:
    """Everybody, by page."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def page(
        self, wanted: Wanted, offset: int, limit: int, order: Order = Order.NAME, *, descending: bool = False
    ) -> builtins.list[User]:
        """At most `limit` people, from the one at `offset` on."""
        column: ColumnElement[Any] = {
            Order.NAME: users.c.name,
            Order.ADDED: users.c.number,
            Order.ACTIVITY: users.c.last_activity_at,
        }[order]
        by = column.desc().nulls_last() if descending else column.asc().nulls_first()
        query = _matching(select(users), wanted).order_by(by, users.c.name).offset(offset).limit(limit)
        return [as_user(row) for row in await self._db.rows(query)]

    async def named(self, names: Iterable[str]) -> dict[str, User]:
        """The users with these normalised names, by name; those that do not exist are left out. One query."""
        rows = await self._db.rows_for(names, lambda keys: select(users).where(users.c.name.in_(keys)))
        return {row.name: as_user(row) for row in rows if row.removed_at is None}

    async def described(self, names: Iterable[str]) -> dict[str, Described]:
        """How those of these normalised names are described who are users, marked for deletion or not."""
        columns = (users.c.name, users.c.display_name, users.c.email, users.c.removed_at)
        rows = await self._db.rows_for(names, lambda keys: select(*columns).where(users.c.name.in_(keys)))
        return {row.name: Described(row.display_name, row.email, row.removed_at) for row in rows}

    async def count(self, wanted: Wanted) -> int:
        """How many people there are whom `page` would list."""
        query = _matching(select(func.count()).select_from(users), wanted)
        return int((await self._db.execute(query)).scalar_one())


def _matching(query: Select[Any], wanted: Wanted) -> Select[Any]:
    marked = users.c.removed_at.is_not(None) if wanted.removed else users.c.removed_at.is_(None)
    conditions: list[ColumnElement[bool]] = [marked]
    if wanted.name_filter:
        conditions.append(users.c.name.contains(wanted.name_filter.casefold(), autoescape=True))
    if wanted.search:
        conditions.append(_found(wanted.search))
    if wanted.having is not None:
        states = (WorkspaceState.RUNNING.value,) if wanted.having is Having.READY else _LIVE
        busy = users.c.id.in_(select(workspaces.c.user_id).where(workspaces.c.state.in_(states)))
        conditions.append(~busy if wanted.having is Having.INACTIVE else busy)
    if wanted.role is not None:
        conditions.append(users.c.role == wanted.role)
    if wanted.group is not None:
        of_group = select(memberships.c.user_id).join(groups, groups.c.id == memberships.c.group_id)
        conditions.append(users.c.id.in_(of_group.where(groups.c.name == wanted.group)))
    if wanted.never_came:
        conditions.append(users.c.last_activity_at.is_(None))
    if wanted.disabled is not None:
        conditions.append(users.c.disabled_at.is_not(None) if wanted.disabled else users.c.disabled_at.is_(None))
    if not wanted.within.everything:
        conditions.append(_within(wanted.within))
    return query.where(*conditions)


def _found(text: str) -> ColumnElement[bool]:
    low = text.casefold()
    return or_(
        users.c.name.contains(low, autoescape=True),
        func.lower(users.c.display_name).contains(low, autoescape=True),
        func.lower(users.c.email).contains(low, autoescape=True),
    )


def _within(reach: Reach) -> ColumnElement[bool]:
    in_groups = select(memberships.c.user_id).where(memberships.c.group_id.in_(sorted(reach.groups)))
    return or_(users.c.id.in_(sorted(reach.users)), users.c.id.in_(in_groups))
