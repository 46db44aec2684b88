"""Sign-ins in the database."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select, update

from hub.domain.ids import SignInId, UserId
from hub.domain.users import SignIn
from hub.store.tables import sign_ins, users
from hub.store.transaction import Transaction
from hub.store.types import loggable

MAX_USER_AGENT_CHARS = 400
MAX_ADDRESS_CHARS = 100


class SignIns:
    """Browsers' logins. Of a cookie only the SHA-256 is kept, `digest`."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, sign_in: SignIn, digest: bytes) -> None:
        """Record a new sign-in. Address and user agent are made fit to be recorded, and cut."""
        await self._db.execute(
            insert(sign_ins).values(
                id=sign_in.id,
                user_id=sign_in.user_id,
                digest=digest,
                created_at=sign_in.created_at,
                last_seen_at=sign_in.last_seen_at,
                address=loggable(sign_in.address, MAX_ADDRESS_CHARS),
                user_agent=loggable(sign_in.user_agent, MAX_USER_AGENT_CHARS),
                revoked_at=sign_in.revoked_at,
                provider=sign_in.provider,
                provider_issuer=sign_in.provider_issuer,
                provider_subject=sign_in.provider_subject,
                provider_sid=sign_in.provider_sid,
                provider_data=sign_in.provider_data,
                form_token=sign_in.form_token,
            )
        )

    async def find(self, sign_in_id: SignInId) -> SignIn | None:
        """The sign-in with this id, revoked or not, or None."""
        return _optional(await self._db.row(select(sign_ins).where(sign_ins.c.id == sign_in_id)))

    async def find_by_digest(self, digest: bytes) -> SignIn | None:
        """The sign-in whose cookie has this SHA-256, revoked or not, or None."""
        return _optional(await self._db.row(select(sign_ins).where(sign_ins.c.digest == digest)))

    async def find_by_previous_digest(self, digest: bytes, rotated_after: datetime) -> SignIn | None:
        """The sign-in whose cookie had this SHA-256 until it was rotated, later than `rotated_after`; or None."""
        query = select(sign_ins).where(sign_ins.c.previous_digest == digest, sign_ins.c.rotated_at > rotated_after)
        return _optional(await self._db.row(query))

    async def rotate(self, old: bytes, new: bytes, at: datetime) -> bool:
        """Give a sign-in's cookie another secret. False when another request was first."""
        statement = update(sign_ins).where(sign_ins.c.digest == old, sign_ins.c.revoked_at.is_(None))
        return bool(await self._db.count(statement.values(digest=new, previous_digest=old, rotated_at=at)))

    async def rotate_soon(self, user_id: UserId, rotated_at: datetime) -> None:
        """Let all of a user's sign-ins look as if rotated long ago, so that they are at their next request."""
        await self._db.execute(update(sign_ins).where(sign_ins.c.user_id == user_id).values(rotated_at=rotated_at))

    async def prove_presence(self, sign_in_id: SignInId, seed: bytes, at: datetime) -> None:
        """Remember that a person proved to sit there."""
        statement = update(sign_ins).where(sign_ins.c.id == sign_in_id)
        await self._db.execute(statement.values(presence_seed=seed, presence_at=at))

    async def touch_presence(self, sign_in_id: SignInId, at: datetime) -> None:
        """Remember that the presence was used; one that was ended stays so."""
        mine = (sign_ins.c.id == sign_in_id, sign_ins.c.presence_seed.is_not(None))
        await self._db.execute(update(sign_ins).where(*mine).values(presence_at=at))

    async def end_presence(self, user_id: UserId) -> None:
        """Forget every proof of presence in a user's browsers."""
        statement = update(sign_ins).where(sign_ins.c.user_id == user_id)
        await self._db.execute(statement.values(presence_seed=None, presence_at=None))

    async def list_provided(
        self, issuer: str, subject: str | None = None, sid: str | None = None
    ) -> builtins.list[SignIn]:
        """Sign-ins by a provider's word, for its logout messages: of a subject, of a session of its own, or both."""
        query = select(sign_ins).where(sign_ins.c.provider_issuer == issuer, sign_ins.c.revoked_at.is_(None))
        if subject is not None:
            query = query.where(sign_ins.c.provider_subject == subject)
        if sid is not None:
            query = query.where(sign_ins.c.provider_sid == sid)
        return [_sign_in(row) for row in await self._db.rows(query)] if subject or sid else []

    async def list(self, user_id: UserId) -> builtins.list[SignIn]:
        """The user's sign-ins, revoked ones too, the one seen last first."""
        query = select(sign_ins).where(sign_ins.c.user_id == user_id)
        query = query.order_by(sign_ins.c.last_seen_at.desc(), sign_ins.c.id)
        return [_sign_in(row) for row in await self._db.rows(query)]

    async def were_at(self, user_id: UserId, address: str) -> bool:
        """Whether the user has signed in from this address before; a sign-in that ended counts, too."""
        mine = (sign_ins.c.user_id == user_id, sign_ins.c.address == loggable(address, MAX_ADDRESS_CHARS))
        return await self._db.row(select(sign_ins.c.id).where(*mine).limit(1)) is not None

    async def touch(self, sign_in_id: SignInId, at: datetime, address: str) -> None:
        """Remember when and from where the sign-in was last used."""
        await self._db.execute(
            update(sign_ins)
            .where(sign_ins.c.id == sign_in_id)
            .values(last_seen_at=at, address=loggable(address, MAX_ADDRESS_CHARS))
        )

    async def carry_over(self, after: datetime, until: datetime, by: timedelta) -> int:
        """Move by `by` the last use of those that were used between `after` and `until`; how many there were."""
        mine = (sign_ins.c.last_seen_at > after, sign_ins.c.last_seen_at <= until, sign_ins.c.revoked_at.is_(None))
        found = await self._db.rows(select(sign_ins.c.id, sign_ins.c.last_seen_at).where(*mine))
        for row in found:
            statement = update(sign_ins).where(sign_ins.c.id == row.id)
            await self._db.execute(statement.values(last_seen_at=row.last_seen_at + by))
        return len(found)

    async def revoke(self, sign_in_id: SignInId, at: datetime) -> bool:
        """End a sign-in for good. Whether it had not been revoked before."""
        return bool(
            await self._db.count(
                update(sign_ins)
                .where(sign_ins.c.id == sign_in_id, sign_ins.c.revoked_at.is_(None))
                .values(revoked_at=at)
            )
        )

    async def revoke_all(
        self, user_id: UserId, at: datetime, except_id: SignInId | None = None
    ) -> builtins.list[SignInId]:
        """End all of the user's sign-ins but one; the ids of those that ended with this call."""
        statement = update(sign_ins).where(sign_ins.c.user_id == user_id, sign_ins.c.revoked_at.is_(None))
        if except_id is not None:
            statement = statement.where(sign_ins.c.id != except_id)
        ended = await self._db.rows(statement.values(revoked_at=at).returning(sign_ins.c.id))
        return [SignInId(row.id) for row in ended]

    async def live(
        self,
        ids: Iterable[SignInId],
        created_after: datetime | None = None,
        seen_after: datetime | None = None,
    ) -> set[SignInId]:
        """Those of `ids` that are neither revoked nor of a user who is disabled or deleted.

        With `created_after` or `seen_after`, only those that were made, or last used, later than that; None
        for any time.
        """
        query = select(sign_ins.c.id).join(users, users.c.id == sign_ins.c.user_id)
        query = query.where(sign_ins.c.revoked_at.is_(None), users.c.disabled_at.is_(None))
        if created_after is not None:
            query = query.where(sign_ins.c.created_at > created_after)
        if seen_after is not None:
            query = query.where(sign_ins.c.last_seen_at > seen_after)
        rows = await self._db.rows_for(ids, lambda keys: query.where(sign_ins.c.id.in_(keys)))
        return {SignInId(row.id) for row in rows}

    async def prune(self, before: datetime) -> int:
        """Delete sign-ins that were revoked, or last used, before this time. How many."""
        return await self._db.count(
            delete(sign_ins).where(or_(sign_ins.c.last_seen_at < before, sign_ins.c.revoked_at < before))
        )


def _optional(row: Row[Any] | None) -> SignIn | None:
    return None if row is None else _sign_in(row)


def _sign_in(row: Row[Any]) -> SignIn:
    return SignIn(
        id=SignInId(row.id),
        user_id=UserId(row.user_id),
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        address=row.address,
        user_agent=row.user_agent,
        revoked_at=row.revoked_at,
        provider=row.provider,
        provider_issuer=row.provider_issuer,
        provider_subject=row.provider_subject,
        provider_sid=row.provider_sid,
        provider_data=row.provider_data,
        form_token=row.form_token,
        rotated_at=row.rotated_at,
        presence_seed=row.presence_seed,
        presence_at=row.presence_at,
    )
