"""API tokens: made with a name, scopes and an end, shown once, listed and revoked.

A token never permits more than its maker may do at that moment, and at each use no more than its owner may do then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta

from hub.auth.authority import Authority
from hub.auth.digests import digest_of, new_token_value
from hub.auth.identity import Credential, Identity
from hub.auth.recent import RecentIdentities
from hub.domain.audit import AuditEvent
from hub.domain.ids import TokenId, new_id
from hub.domain.permissions import granted
from hub.domain.scopes import INHERIT, Scope, parse_scope
from hub.domain.users import ApiToken, User
from hub.errors import BadRequest, Conflict, Forbidden, NotFound, PresenceRequired
from hub.store.engine import Store
from proxy.kit.clock import Clock

TOUCH_INTERVAL = timedelta(minutes=1)
LONGEST_LIFETIME = timedelta(days=90)
DEFAULT_LIFETIME = timedelta(days=30)
MAX_NAME_CHARS = 100
MAX_LIVE_TOKENS = 50
_LIFETIME = re.compile(r"([0-9]{1,7})([smhdw])\Z", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_lifetime(text: str) -> timedelta:
    """A time span such as ``30d``, ``12h``, ``90m``. Raises BadRequest for anything else."""
    match = _LIFETIME.match(text)
    if match is None:
        raise BadRequest("A time span is a number and one of s, m, h, d, w: for example 30d or 12h.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


class Tokens:
    """API tokens of all users."""

    def __init__(self, store: Store, clock: Clock, recent: RecentIdentities, authority: Authority) -> None:
        self._store = store
        self._clock = clock
        self._recent = recent
        self._authority = authority

    async def make(
        self,
        maker: Identity,
        name: str,
        lifetime: timedelta | None,
        scopes: Sequence[str] | None,
        address: str = "",
    ) -> tuple[ApiToken, str]:
        """A token that somebody makes for themselves, and its value. `scopes` are as people write them.

        `lifetime` None: 30 days; a token made with a token ends no later than that one. `scopes` None: all that the
        maker may do now; without presence one's own things only, also when more comes to the owner later.
        Raises BadRequest, Conflict, Forbidden, and PresenceRequired for scopes that take presence.
        """
        if not maker.may_self(Scope.TOKENS):
            raise Forbidden("You may not make tokens.")
        lifetime = await self._lifetime(maker, lifetime)
        kept = await self._scopes(maker, scopes)
        return await self.create(maker.user, name, lifetime, maker.user.id, address, kept)

    async def _scopes(self, maker: Identity, asked: Sequence[str] | None) -> tuple[str, ...]:
        """The scopes to keep for those that are asked for."""
        own = (Scope.SELF.value,)
        if asked is None:
            inherited = own if not maker.present else (INHERIT,)
            return maker.scopes or inherited
        kept = await self._authority.read_scopes(asked)
        if kept == (INHERIT,):
            wanted = await self._authority.grants_of(maker.user)
        else:
            wanted = granted(map(parse_scope, kept), maker.user.id)
        try:
            await self._authority.check_no_more(maker, wanted, "a token", audited=maker.present)
        except Forbidden as error:
            if maker.present:
                raise
            await self._authority.check_no_more(maker.with_presence(), wanted, "a token")
            raise PresenceRequired("For a token with these permissions you must confirm that it is you.") from error
        return own if kept == (INHERIT,) and not maker.present else kept

    async def _lifetime(self, maker: Identity, asked: timedelta | None) -> timedelta:
        lifetime = DEFAULT_LIFETIME if asked is None else asked
        if maker.credential is not Credential.TOKEN:
            return lifetime
        async with self._store.reading() as unit:
            token = await unit.tokens.find(TokenId(maker.principal))
        left = token.expires_at - self._clock.now() if token is not None else timedelta(0)
        if asked is not None and asked > left:
            raise BadRequest("A token that is made with a token ends no later than that one.")
        return min(lifetime, left)

    async def create(
        self,
        user: User,
        name: str,
        lifetime: timedelta,
        actor: str,
        address: str = "",
        scopes: tuple[str, ...] = (),
    ) -> tuple[ApiToken, str]:
        """A new token and its value, which is told only here.

        Raises BadRequest when the name is empty or too long, or the lifetime not between one second and 90
        days, and Conflict when the user has 50 live tokens already.
        """
        name = name.strip()
        if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
            raise BadRequest(f"A token's name says what it is for, in 1 to {MAX_NAME_CHARS} characters.")
        if not timedelta(seconds=1) <= lifetime <= LONGEST_LIFETIME:
            raise BadRequest(f"A token lives between one second and {LONGEST_LIFETIME.days} days.")
        now, value = self._clock.now(), new_token_value()
        token = ApiToken(
            id=TokenId(new_id()),
            user_id=user.id,
            name=name,
            scopes=scopes,
            created_at=now,
            expires_at=now + lifetime,
        )
        async with self._store.unit() as unit:
            live = [t for t in await unit.tokens.list(user.id) if is_live(t, self._clock)]
            if len(live) >= MAX_LIVE_TOKENS:
                raise Conflict(f"You have {MAX_LIVE_TOKENS} tokens; revoke one first.")
            await unit.tokens.add(token, digest_of(value))
            await unit.audit.add(_created(token, actor, address))
        return token, value

    async def find(self, digest: bytes) -> tuple[ApiToken, User] | None:
        """The live token whose value has this digest, and its user; None if it ended or never was."""
        async with self._store.reading() as unit:
            token = await unit.tokens.find_by_digest(digest)
            user = await unit.users.find(token.user_id) if token is not None else None
        if token is None or user is None or user.disabled_at is not None:
            return None
        return (token, user) if is_live(token, self._clock) else None

    async def touch(self, token: ApiToken) -> None:
        """Remember that it was used just now; written at most once a minute."""
        now = self._clock.now()
        if token.last_used_at is not None and now - token.last_used_at < TOUCH_INTERVAL:
            return
        async with self._store.unit() as unit:
            await unit.tokens.touch(token.id, now)
            await unit.users.touch(token.user_id, now)

    async def list(self, user: User) -> list[ApiToken]:
        """The user's live tokens, newest first."""
        async with self._store.reading() as unit:
            found = await unit.tokens.list(user.id)
        return [token for token in found if is_live(token, self._clock)]

    async def live(self, ids: Iterable[TokenId]) -> set[TokenId]:
        """Those of `ids` that are neither revoked nor expired nor of a user who is disabled or deleted."""
        async with self._store.reading() as unit:
            return await unit.tokens.live(ids, self._clock.now())

    async def revoke(self, user: User, token_id: TokenId, actor: str, address: str = "") -> None:
        """End one of the user's tokens. Raises NotFound if it is not theirs."""
        now = self._clock.now()
        async with self._store.unit() as unit:
            token = await unit.tokens.find(token_id)
            if token is None or token.user_id != user.id:
                raise NotFound("There is no such token.")
            if await unit.tokens.revoke(token_id, now):
                await unit.audit.add(AuditEvent(now, "token.revoked", actor, token_id, address))
        self._recent.clear()


def _created(token: ApiToken, actor: str, address: str) -> AuditEvent:
    details: dict[str, str | int | float | bool | None] = {
        "name": token.name,
        "scopes": " ".join(token.scopes) or INHERIT,
        "user": token.user_id,
    }
    return AuditEvent(token.created_at, "token.created", actor, token.id, address, details)


def is_live(token: ApiToken, clock: Clock) -> bool:
    """Whether the token is neither revoked nor expired."""
    return token.revoked_at is None and clock.now() < token.expires_at
