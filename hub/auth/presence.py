"""Presence: fresh proof that a person sits at the browser, without which it acts for nobody but its own user.

Front ends and notebooks of a user run scripts on the same origin as the hub's pages, some of them other people's. What
such a script can do with the browser's cookie is what a sign-in alone permits: the user's own things. Everything beyond
needs, besides a password, passkey or provider proven a while ago, one of two things that no script can have:

- that the request is a navigation of a whole tab (Fetch Metadata, which browsers let no script set), whose answer the
  script cannot read: the hub's pages share no browsing context group with users' pages (Cross-Origin-Opener-Policy) and
  are in nobody's frame; or
- the presence's token, which only such pages hold, and which other requests carry as the front ends carry theirs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from hub.auth.recent import RecentIdentities
from hub.domain.audit import AuditEvent
from hub.domain.ids import SignInId
from hub.domain.users import SignIn, User
from hub.store.engine import Store
from proxy.kit.clock import Clock

TOUCH_INTERVAL = timedelta(minutes=1)
SEED_BYTES = 32


class Presence:
    """Proofs of presence, which last for `lasting` after their last use."""

    def __init__(self, store: Store, clock: Clock, recent: RecentIdentities, lasting: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._recent = recent
        self._lasting = lasting

    async def prove(self, user: User, sign_in_id: SignInId, how: str, address: str = "") -> None:
        """Remember that `user` has just proven to sit there, by a ``password``, a ``passkey`` or a provider's name.

        The caller has checked it, and gives the cookie a fresh secret (`PageHandler.prove_presence` does both).
        """
        now = self._clock.now()
        async with self._store.unit() as unit:
            await unit.sign_ins.prove_presence(sign_in_id, secrets.token_bytes(SEED_BYTES), now)
            await unit.audit.add(AuditEvent(now, "presence.proven", user.id, sign_in_id, address, {"by": how}))
        self._recent.clear()

    async def touch(self, sign_in_id: SignInId, presence_at: datetime | None) -> None:
        """Remember that the presence was used; written at most once a minute."""
        now = self._clock.now()
        if presence_at is not None and now - presence_at < TOUCH_INTERVAL:
            return
        async with self._store.unit() as unit:
            await unit.sign_ins.touch_presence(sign_in_id, now)
        self._recent.clear()

    def token_of(self, sign_in: SignIn) -> str:
        """What the pages of this sign-in carry; empty when no presence was proven, or too long ago."""
        if sign_in.presence_seed is None or sign_in.presence_at is None:
            return ""
        if not timedelta(0) <= self._clock.now() - sign_in.presence_at < self._lasting:
            return ""
        return token_from(sign_in.presence_seed)


def token_from(seed: bytes) -> str:
    """The token made of a presence's seed: 43 characters."""
    made = hmac.new(seed, b"kernelhub presence token", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def is_navigation(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a whole tab goes to this address, by a person's or a page of ours' doing.

    Where a browser does not say so it is none. What is fetched ahead of a navigation is none either.
    """
    return (
        headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
        and headers.get("Sec-Purpose") is None
    )


def is_proof(presence: str, method: str, given: str | None, headers: Mapping[str, str]) -> bool:
    """Whether a request by cookie shows that no script made it. `presence`: the token expected, empty for none.

    A navigation that changes something carries the token as a form field: `given` is that or the header.
    """
    if not presence:
        return False
    if given is not None:
        return hmac.compare_digest(presence.encode(), given.encode("utf-8", "surrogatepass"))
    return method in {"GET", "HEAD"} and is_navigation(headers)
