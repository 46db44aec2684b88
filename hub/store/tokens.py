"""API tokens in the database."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from hub.domain.ids import TokenId, UserId
from hub.domain.users import ApiToken
from hub.store.tables import tokens, users
from hub.store.transaction import Transaction


class Tokens:
    """Tokens for programs. Of a token only the SHA-256 is kept, `digest`."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, token: ApiToken, digest: bytes) -> None:
        """Record a new token."""
        await self._db.execute(
            insert(tokens).values(
                id=token.id,
                user_id=token.user_id,
                digest=digest,
                name=token.name,
                scopes=list(token.scopes),
                created_at=token.created_at,
                expires_at=token.expires_at,
                last_used_at=token.last_used_at,
                revoked_at=token.revoked_at,
            )
        )

    async def find(self, token_id: TokenId) -> ApiToken | None:
        """The token with this id, revoked and expired ones too, or None."""
        return _optional(await self._db.row(select(tokens).where(tokens.c.id == token_id)))

    async def find_by_digest(self, digest: bytes) -> ApiToken | None:
        """The token whose value has this SHA-256, revoked and expired ones too, or None."""
        return _optional(await self._db.row(select(tokens).where(tokens.c.digest == digest)))

    async def list(self, user_id: UserId) -> builtins.list[ApiToken]:
        """The user's tokens, revoked and expired ones too, newest first."""
        query = select(tokens).where(tokens.c.user_id == user_id)
        query = query.order_by(tokens.c.created_at.desc(), tokens.c.id)
        return [_token(row) for row in await self._db.rows(query)]

    async def touch(self, token_id: TokenId, at: datetime) -> None:
        """Remember when the token was last used."""
        await self._db.execute(update(tokens).where(tokens.c.id == token_id).values(last_used_at=at))

    async def revoke(self, token_id: TokenId, at: datetime) -> bool:
        """End a token for good. Whether it had not been revoked before."""
        return bool(
            await self._db.count(
                update(tokens).where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None)).values(revoked_at=at)
            )
        )

    async def live(self, ids: Iterable[TokenId], now: datetime) -> set[TokenId]:
        """Those of `ids` that are neither revoked nor expired nor of a user who is disabled or deleted."""
        query = select(tokens.c.id).join(users, users.c.id == tokens.c.user_id)
        query = query.where(tokens.c.revoked_at.is_(None), tokens.c.expires_at > now, users.c.disabled_at.is_(None))
        rows = await self._db.rows_for(ids, lambda keys: query.where(tokens.c.id.in_(keys)))
        return {TokenId(row.id) for row in rows}


def _optional(row: Row[Any] | None) -> ApiToken | None:
    return None if row is None else _token(row)


def _token(row: Row[Any]) -> ApiToken:
    return ApiToken(
        id=TokenId(row.id),
        user_id=UserId(row.user_id),
        name=row.name,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
