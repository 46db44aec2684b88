"""Refusals of permission, audited: one line each, but no flood of them from a tab that asks again and again."""

from __future__ import annotations

import logging
from collections import OrderedDict

from hub.auth.identity import Identity
from hub.domain.audit import AuditEvent
from hub.errors import StoreUnavailable
from hub.store.engine import Store
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
"""The same refusal of the same principal is not written again for this long."""
MAX_LINES_A_MINUTE = 30
"""So many lines does one principal leave in a minute, whatever it tries."""
MAX_REMEMBERED = 4096


class Lines:
    """How many lines somebody may leave in a minute; of strangers, each address. In memory, and bounded."""

    def __init__(self, clock: Clock, most: int = MAX_LINES_A_MINUTE) -> None:
        self._clock = clock
        self._most = most
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def is_worth_one(self, who: str) -> bool:
        """Whether one more may be left; counts it then."""
        now = self._clock.monotonic()
        began, count = self._counts.get(who, (now, 0))
        if now - began >= QUIET_SECONDS:
            began, count = now, 0
        if count >= self._most:
            return False
        self._counts[who] = (began, count + 1)
        while len(self._counts) > MAX_REMEMBERED:
            self._counts.popitem(last=False)
        return True


class Refusals:
    """Writes refusals into the audit log."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._recent: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._lines = Lines(clock)

    async def note(self, identity: Identity, what: str, scope: str, subject: str, address: str) -> None:
        """Write that `what` (a method and an address) was refused for want of `scope` over `subject`, an id.

        A database that does not answer loses the line, and the refusal stands.
        """
        if not self._is_worth_a_line(identity.principal, f"{what} {subject}"):
            return
        details: dict[str, str | int | float | bool | None] = {"what": what, "by": identity.credential.value}
        if scope:
            details["scope"] = scope
        event = AuditEvent(self._clock.now(), "access.refused", identity.user.id, subject, address, details)
        try:
            async with self._store.unit() as unit:
                await unit.audit.add(event)
        except StoreUnavailable as error:
            log.warning("a refusal could not be recorded (%s by %s): %s", what, identity.user.id, error)

    def _is_worth_a_line(self, principal: str, what: str) -> bool:
        now = self._clock.monotonic()
        if now - self._recent.get((principal, what), float("-inf")) < QUIET_SECONDS:
            return False
        if not self._lines.is_worth_one(principal):
            return False
        self._recent[(principal, what)] = now
        while len(self._recent) > MAX_REMEMBERED:
            self._recent.popitem(last=False)
        return True
