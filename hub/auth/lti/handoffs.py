"""From a frame to a tab of its own: a launch that came in a frame goes on where JupyterLab may be shown.

The frame's page holds a code in a form, which opens in a new tab; the code works once, for a few minutes, and lies in
the database as its digest. No other site can use one to sign somebody in as another: the form must be the hub's own.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

from hub.auth.arrivals import Assertion
from hub.auth.digests import MAX_SECRET_CHARS, digest_of, new_secret
from hub.domain.users import User
from hub.errors import LinkExpired
from hub.store.engine import Store
from hub.store.sign_in_attempts import SignInAttempt
from proxy.kit.clock import Clock

PURPOSE = "lti.handoff"
LASTING = timedelta(minutes=5)


class Handoffs:
    """Codes that carry a launch from one browsing context to another."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def give(self, user: User, assertion: Assertion, place: str) -> str:
        """A code for signing `user` in and going on to `place`."""
        code, now = new_secret(), self._clock.now()
        said = {**asdict(assertion), "groups": None, "data": {}}
        data = {"user": user.id, "place": place, "assertion": said}
        async with self._store.unit() as unit:
            await unit.sign_in_attempts.put(digest_of(code), SignInAttempt(PURPOSE, data, now, now + LASTING))
        return code

    async def take(self, code: str) -> tuple[User, Assertion, str]:
        """Use a code up: the user, what the platform said, and where to go on. Raises LinkExpired."""
        if 0 < len(code) <= MAX_SECRET_CHARS:
            async with self._store.unit() as unit:
                attempt = await unit.sign_in_attempts.take(digest_of(code), PURPOSE, self._clock.now())
                user = await unit.users.find(attempt.data["user"]) if attempt is not None else None
            if attempt is not None and user is not None and user.disabled_at is None:
                return user, Assertion(**attempt.data["assertion"]), str(attempt.data["place"])
        raise LinkExpired("This page was used already, or waited too long. Open the link in your course again.")
