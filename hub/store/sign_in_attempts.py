"""Sign-ins that are under way elsewhere, in the database: at a provider, a learning platform, or the second factor.

Anybody can begin one, so their number is bounded: of too many, those that would expire first are given up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from hub.store.tables import sign_in_attempts
from hub.store.transaction import Transaction

MAX_ATTEMPTS = 20_000
"""Most attempts of one purpose that are kept at the same time."""
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """What the hub must know when somebody comes back. `data` holds no secret in the clear."""

    purpose: str
    data: Mapping[str, Any]
    created_at: datetime
    expires_at: datetime


class SignInAttempts:
    """Attempts by the SHA-256 of the secret that a cookie or a ``state`` carries."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def put(self, digest: bytes, attempt: SignInAttempt) -> None:
        """Record an attempt. Of its purpose at most `MAX_ATTEMPTS` are kept, a few more for a moment."""
        await self._db.execute(
            insert(sign_in_attempts).values(
                digest=digest,
                purpose=attempt.purpose,
                data=dict(attempt.data),
                created_at=attempt.created_at,
                expires_at=attempt.expires_at,
            )
        )
        if digest[0] == 0:  # one in 256, so that counting costs next to nothing
            await self._bound(attempt.purpose)

    async def find(self, digest: bytes, purpose: str, now: datetime) -> SignInAttempt | None:
        """The attempt, if it has not expired; it stays usable."""
        return _optional(await self._db.row(select(sign_in_attempts).where(*_usable(digest, purpose, now))))

    async def change(self, digest: bytes, purpose: str, data: Mapping[str, Any]) -> None:
        """Put other data in the place of an attempt's."""
        mine = (sign_in_attempts.c.digest == digest, sign_in_attempts.c.purpose == purpose)
        await self._db.execute(update(sign_in_attempts).where(*mine).values(data=dict(data)))

    async def take(self, digest: bytes, purpose: str, now: datetime) -> SignInAttempt | None:
        """Use the attempt up: it is given to one caller only. None if it expired, was taken, or never was."""
        statement = delete(sign_in_attempts).where(*_usable(digest, purpose, now))
        return _optional(await self._db.row(statement.returning(*sign_in_attempts.c)))

    async def prune(self, before: datetime) -> int:
        """Forget attempts that expired before this time. How many."""
        return await self._db.count(delete(sign_in_attempts).where(sign_in_attempts.c.expires_at < before))

    async def _bound(self, purpose: str) -> None:
        of_purpose = sign_in_attempts.c.purpose == purpose
        count = (await self._db.execute(select(func.count()).select_from(sign_in_attempts).where(of_purpose))).scalar()
        excess = min(int(count or 0) - MAX_ATTEMPTS, _AT_ONCE)
        if excess > 0:
            oldest = select(sign_in_attempts.c.digest).where(of_purpose).order_by(sign_in_attempts.c.expires_at)
            statement = delete(sign_in_attempts).where(sign_in_attempts.c.digest.in_(oldest.limit(excess)))
            await self._db.execute(statement)


def _usable(digest: bytes, purpose: str, now: datetime) -> tuple[Any, ...]:
    return (
        sign_in_attempts.c.digest == digest,
        sign_in_attempts.c.purpose == purpose,
        sign_in_attempts.c.expires_at > now,
    )


def _optional(row: Row[Any] | None) -> SignInAttempt | None:
    if row is None:
        return None
    return SignInAttempt(row.purpose, dict(row.data), row.created_at, row.expires_at)
