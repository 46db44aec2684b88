"""Password hashes in the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, insert, select, update

from hub.domain.ids import UserId
from hub.store.tables import passwords, users
from hub.store.transaction import Transaction


class Passwords:
    """At most one password hash (argon2id, in its own encoded form) for each user."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def find(self, user_id: UserId) -> str | None:
        """The hash of the user's password, or None if they have none."""
        row = await self._db.row(select(passwords.c.hash).where(passwords.c.user_id == user_id))
        return None if row is None else str(row.hash)

    async def changed_at(self, user_id: UserId) -> datetime | None:
        """When the password was set last, None if there is none."""
        row = await self._db.row(select(passwords.c.changed_at).where(passwords.c.user_id == user_id))
        return None if row is None else row.changed_at

    async def save(self, user_id: UserId, hash: str, at: datetime) -> None:
        """Set the user's password hash. Raises Conflict if the user does not exist.

        The user's row is locked, so that of two who set the first password at once the later one counts.
        """
        await self._db.row(self._db.locking(select(users.c.id).where(users.c.id == user_id)))
        changed = await self._db.count(
            update(passwords).where(passwords.c.user_id == user_id).values(hash=hash, changed_at=at)
        )
        if not changed:
            await self._db.execute(insert(passwords).values(user_id=user_id, hash=hash, changed_at=at))

    async def delete(self, user_id: UserId) -> bool:
        """Take away the user's password, so that they cannot sign in with one. Whether there was one."""
        return bool(await self._db.count(delete(passwords).where(passwords.c.user_id == user_id)))
