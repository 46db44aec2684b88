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


class Refusals:
    """Writes refusals into the audit log."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._recent: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

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
        began, count = self._counts.get(principal, (now, 0))
        if now - began >= QUIET_SECONDS:
            began, count = now, 0
        if count >= MAX_LINES_A_MINUTE:
            return False
        self._counts[principal] = (began, count + 1)
        self._recent[(principal, what)] = now
        for kept in (self._counts, self._recent):
            while len(kept) > MAX_REMEMBERED:
                kept.popitem(last=False)
        return True
