"""Users in the database."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from hub.domain.ids import UserId, new_id
from hub.domain.users import Role, User
from hub.errors import NotFound
from hub.store.tables import user_numbers, users
from hub.store.transaction import Transaction


class Users:
    """Users, by id and by name."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, name: str, role: str, at: datetime) -> User:
        """Record a new user under a normalised name, with a fresh id and the next number.

        Neither id nor number is ever given to another user, not even after `delete`. Raises Conflict if the
        name is taken.
        """
        user_id = UserId(new_id())
        numbered = await self._db.execute(
            insert(user_numbers).values(user_id=user_id, given_at=at).returning(user_numbers.c.number)
        )
        user = User(id=user_id, number=numbered.scalar_one(), name=name, role=role, created_at=at)
        await self._db.execute(
            insert(users).values(id=user.id, number=user.number, name=name, role=str(role), created_at=at),
            conflict=f"There is a user named {name!r} already; choose another name.",
        )
        return user

    async def find(self, user_id: UserId) -> User | None:
        """The user with this id, or None."""
        return await self._one(users.c.id == user_id)

    async def find_by_name(self, name: str) -> User | None:
        """The user with this normalised name, or None."""
        return await self._one(users.c.name == name)

    async def list(self, prefix: str = "", offset: int = 0, limit: int = 100) -> builtins.list[User]:
        """Users whose names begin with `prefix`, in order of their names."""
        query = select(users).order_by(users.c.name).offset(offset).limit(limit)
        if prefix:
            query = query.where(users.c.name.startswith(prefix, autoescape=True))
        return [as_user(row) for row in await self._db.rows(query)]

    async def find_many(self, names: Iterable[str]) -> dict[str, User]:
        """The users with these normalised names, by name; those who do not exist are left out."""
        rows = await self._db.rows_for(names, lambda keys: select(users).where(users.c.name.in_(keys)))
        return {row.name: as_user(row) for row in rows}

    async def removed_before(self, moment: datetime) -> builtins.list[User]:
        """Users who were marked for deletion then or earlier, the longest marked first."""
        query = select(users).where(users.c.removed_at <= moment).order_by(users.c.removed_at)
        return [as_user(row) for row in await self._db.rows(query)]

    async def count(self, prefix: str = "") -> int:
        """How many users there are whose names begin with `prefix`."""
        query = select(func.count()).select_from(users)
        if prefix:
            query = query.where(users.c.name.startswith(prefix, autoescape=True))
        return int((await self._db.execute(query)).scalar_one())

    async def count_active(self, since: datetime) -> int:
        """How many users were active since then."""
        query = select(func.count()).select_from(users).where(users.c.last_activity_at > since)
        return int((await self._db.execute(query)).scalar_one())

    async def count_admins(self) -> int:
        """How many administrators there are who are not disabled.

        In a unit that writes they all stay so until it ends, so that two who go at once cannot both be the
        last but one.
        """
        query = select(users.c.id).where(users.c.role == Role.ADMIN.value, users.c.disabled_at.is_(None))
        return len(await self._db.rows(self._db.locking(query.order_by(users.c.id))))

    async def save(self, user: User) -> None:
        """Write everything about a user that can change: names, e-mail, role, whether disabled, last activity.

        Find and save within one unit, or the changes of others are lost. Raises Conflict if the name is
        taken, NotFound if the user was deleted meanwhile.
        """
        changed = await self._db.count(
            update(users)
            .where(users.c.id == user.id)
            .values(
                name=user.name,
                role=str(user.role),
                disabled_at=user.disabled_at,
                last_activity_at=user.last_activity_at,
                display_name=user.display_name,
                email=user.email,
                removed_at=user.removed_at,
            ),
            conflict=f"There is a user named {user.name!r} already; choose another name.",
        )
        if not changed:
            raise NotFound("This user does not exist any more.")

    async def touch(self, user_id: UserId, at: datetime) -> None:
        """Remember that the user was active at this time, and change nothing else."""
        await self._db.execute(update(users).where(users.c.id == user_id).values(last_activity_at=at))

    async def delete(self, user_id: UserId) -> bool:
        """Delete the user and all of theirs in the database but the audit log. Whether there was one."""
        return bool(await self._db.count(delete(users).where(users.c.id == user_id)))

    async def _one(self, condition: Any) -> User | None:
        query = select(users).where(condition)
        row = await self._db.row(self._db.locking(query))
        return None if row is None else as_user(row)


def as_user(row: Row[Any]) -> User:
    """The user that a row of the table stands for."""
    return User(
        id=UserId(row.id),
        number=row.number,
        name=row.name,
        role=row.role,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        last_activity_at=row.last_activity_at,
        display_name=row.display_name,
        email=row.email,
        removed_at=row.removed_at,
    )
