"""Sign-ins: browsers' logins, made with a fresh secret each, listed and ended.

The cookie's secret is fresh at each sign-in, whenever its owner proves presence or their role changes, and once a day;
the one before counts for another minute, because requests that carry it are under way. What forms carry stays the
same all the while, so that pages that are open go on working.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hub.auth.arrivals import Assertion, is_barred
from hub.auth.digests import digest_of, new_secret
from hub.auth.idle_clock import IdleClock
from hub.auth.recent import RecentIdentities
from hub.domain.audit import AuditEvent
from hub.domain.ids import SignInId, UserId, new_id
from hub.domain.users import SignIn, User
from hub.errors import HubError, NotFound
from hub.store.engine import Store
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

TOUCH_INTERVAL = timedelta(minutes=1)
FOLLOW_SECONDS = 1.0
ROTATION_INTERVAL = timedelta(days=1)
PREVIOUS_COUNTS = timedelta(seconds=60)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""As the time of the last rotation: the next request rotates."""


class SignIns:
    """Sign-ins of all users. One unused for `idle`, or older than `longest`, has ended."""

    def __init__(
        self, store: Store, clock: Clock, recent: RecentIdentities, *, idle: timedelta, longest: timedelta
    ) -> None:
        self._store = store
        self._clock = IdleClock(clock)
        self._recent = recent
        self._idle = idle
        self._longest = longest

    @property
    def longest(self) -> timedelta:
        """After this time a sign-in ends in any case; also how long a browser keeps the cookie."""
        return self._longest

    async def create(
        self,
        user: User,
        address: str,
        user_agent: str,
        replaces: str | None = None,
        assertion: Assertion | None = None,
    ) -> tuple[SignIn, str]:
        """A new sign-in and its secret, the cookie's value, which is told only here.

        `replaces` is the secret that the browser sent before, if any. The new one is always fresh, so what
        somebody planted in the browser is worth nothing (session fixation), and the one replaced ends.
        `assertion`: what the provider said that signed the user in, None for a password of the hub.
        """
        now, secret = self._clock.now(), new_secret()
        sign_in = SignIn(
            id=SignInId(new_id()),
            user_id=user.id,
            created_at=now,
            last_seen_at=now,
            address=address,
            user_agent=user_agent,
            form_token=new_secret(),
            **_provided(assertion),
        )
        details = {"provider": assertion.provider} if assertion is not None else {}
        event = AuditEvent(now, "sign_in.created", user.id, sign_in.id, address, {**details})
        async with self._store.unit() as unit:
            old = await unit.sign_ins.find_by_digest(digest_of(replaces)) if replaces else None
            if old is not None:
                await unit.sign_ins.revoke(old.id, now)
            await unit.sign_ins.add(sign_in, digest_of(secret))
            await unit.users.touch(user.id, now)
            await unit.audit.add(event)
        self._recent.clear()
        return sign_in, secret

    async def find(self, digest: bytes) -> tuple[SignIn, User] | None:
        """The live sign-in whose secret has this digest, and its user; None if it ended or never was.

        The secret before the last rotation counts for a minute, without whatever presence was proven since.
        """
        now = self._clock.now()
        async with self._store.reading() as unit:
            sign_in = await unit.sign_ins.find_by_digest(digest)
            if sign_in is None:
                before = await unit.sign_ins.find_by_previous_digest(digest, now - PREVIOUS_COUNTS)
                sign_in = replace(before, presence_seed=None, presence_at=None) if before is not None else None
            user = await unit.users.find(sign_in.user_id) if sign_in is not None else None
        if sign_in is None or user is None or is_barred(user):
            return None
        return (sign_in, user) if self._is_live(sign_in, now) else None

    def is_rotation_due(self, sign_in: SignIn) -> bool:
        """Whether the cookie's secret has been the same for too long."""
        return self._clock.now() - (sign_in.rotated_at or sign_in.created_at) >= ROTATION_INTERVAL

    async def rotate(self, secret: str) -> str | None:
        """A fresh secret for the cookie that holds `secret`; None when another request was first, or it ended."""
        now, fresh = self._clock.now(), new_secret()
        async with self._store.unit() as unit:
            done = await unit.sign_ins.rotate(digest_of(secret), digest_of(fresh), now)
        self._recent.clear()
        return fresh if done else None

    async def touch(self, sign_in: SignIn, address: str) -> None:
        """Remember that it was used just now; written at most once a minute."""
        now = self._clock.now()
        if now - sign_in.last_seen_at < TOUCH_INTERVAL:
            return
        async with self._store.unit() as unit:
            await unit.sign_ins.touch(sign_in.id, now, address)
            await unit.users.touch(sign_in.user_id, now)

    async def list(self, user: User) -> list[SignIn]:
        """The user's live sign-ins, the one seen last first."""
        async with self._store.reading() as unit:
            found = await unit.sign_ins.list(user.id)
        now = self._clock.now()
        return [sign_in for sign_in in found if self._is_live(sign_in, now)]

    async def get(self, sign_in_id: SignInId) -> SignIn:
        """The sign-in with this id, live or not. Raises NotFound."""
        async with self._store.reading() as unit:
            found = await unit.sign_ins.find(sign_in_id)
        if found is None:
            raise NotFound("There is no such sign-in.")
        return found

    async def live(self, ids: Iterable[SignInId]) -> set[SignInId]:
        """Those of `ids` that have not ended: by revocation, by age, or with their user."""
        now = self._clock.now() - self._clock.late()
        async with self._store.reading() as unit:
            return await unit.sign_ins.live(ids, created_after=now - self._longest, seen_after=now - self._idle)

    async def follow_clock(self) -> None:
        """Carry over at every jump of the clock, until cancelled."""
        while True:
            try:
                await self.carry_over()
            except HubError as error:
                log.warning("the clock jumped, and sign-ins are not carried over yet: %s", error.message)
            await asyncio.sleep(FOLLOW_SECONDS)

    async def carry_over(self) -> int:
        """When the clock has jumped: move the last use of live sign-ins along; gives how many there were.

        Until then they are judged by the time before the jump, so that it ends nobody.
        """
        clock, jump = self._clock, self._clock.jump()
        if not jump:
            clock.believe()
            return await self._carry_over_late()
        now = clock.now()
        if jump < timedelta():
            clock.believe()
        async with self._store.unit() as unit:
            moved = await unit.sign_ins.carry_over(now - self._idle, now + TOUCH_INTERVAL, jump)
        clock.believe()
        log.warning("the clock jumped by %s; %d sign-ins go on", jump, moved)
        return moved

    async def _carry_over_late(self) -> int:
        """Move those along that were stamped before a jump, and written after the others were carried over."""
        if not (late := self._clock.late()):
            return 0
        then = self._clock.now() - late
        async with self._store.unit() as unit:
            return await unit.sign_ins.carry_over(then - TOUCH_INTERVAL, then + TOUCH_INTERVAL, late)

    async def revoke(self, user: User, sign_in_id: SignInId, address: str = "") -> None:
        """End one of the user's sign-ins. Raises NotFound if it is not theirs; ended ones stay ended."""
        now = self._clock.now()
        async with self._store.unit() as unit:
            sign_in = await unit.sign_ins.find(sign_in_id)
            if sign_in is None or sign_in.user_id != user.id:
                raise NotFound("There is no such sign-in.")
            if await unit.sign_ins.revoke(sign_in_id, now):
                await unit.audit.add(AuditEvent(now, "sign_in.ended", user.id, sign_in_id, address))
        self._recent.clear()

    async def revoke_all(
        self, user_id: UserId, actor: str, address: str = "", except_id: SignInId | None = None
    ) -> int:
        """End all of a user's sign-ins, but for `except_id`; how many there were."""
        now = self._clock.now()
        async with self._store.unit() as unit:
            ended = await unit.sign_ins.revoke_all(user_id, now, except_id)
            event = AuditEvent(now, "sign_in.all_ended", actor, user_id, address, {"count": len(ended)})
            await unit.audit.add(event)
        self._recent.clear()
        return len(ended)

    async def revoke_provided(
        self, issuer: str, subject: str | None = None, sid: str | None = None, address: str = ""
    ) -> int:
        """End the sign-ins that a provider's logout message is about; how many there were."""
        now = self._clock.now()
        async with self._store.unit() as unit:
            found = await unit.sign_ins.list_provided(issuer, subject, sid)
            for sign_in in found:
                await unit.sign_ins.revoke(sign_in.id, now)
                actor, details = f"provider:{sign_in.provider}", {"issuer": issuer}
                await unit.audit.add(AuditEvent(now, "sign_in.ended", actor, sign_in.id, address, {**details}))
        self._recent.clear()
        return len(found)

    def _is_live(self, sign_in: SignIn, now: datetime) -> bool:
        now -= self._clock.late()
        return (
            sign_in.revoked_at is None
            and now - sign_in.last_seen_at < self._idle
            and now - sign_in.created_at < self._longest
        )


def _provided(assertion: Assertion | None) -> dict[str, Any]:
    """What is kept with a sign-in of what a provider said."""
    if assertion is None:
        return {}
    return {
        "provider": assertion.provider,
        "provider_issuer": assertion.issuer,
        "provider_subject": assertion.subject,
        "provider_sid": assertion.sid or None,
        "provider_data": dict(assertion.data),
    }
