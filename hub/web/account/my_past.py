"""What ended of a user's things, and why: containers' lives, and kernels that were shut, or died."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.domain.audit import AuditEvent
from hub.domain.history import OPEN, Outcome
from hub.domain.users import User
from hub.http.services import Services
from hub.store.audit import AuditSearch

MAX_SHOWN = 10
_LOOK_BACK = timedelta(days=30)
_KERNEL_WORDS = {
    "kernel.culled": ("Kernel shut", ""),
    "kernel.died": ("Kernel died", "bad"),
}
_OUTCOMES = {
    Outcome.ENDED: ("Container stopped", ""),
    Outcome.DIED: ("Container ended by itself", "bad"),
    Outcome.FAILED: ("Container did not start", "bad"),
    Outcome.LOST: ("Container ended", "warn"),
}


@dataclass(frozen=True, slots=True)
class Ended:
    """Something that ended: what, in a tone that a page colours it by, when, why, and how long it had run."""

    at: datetime
    what: str
    tone: str
    reason: str
    lasted: timedelta | None = None


async def my_past(services: Services, user: User) -> list[Ended]:
    """The newest first."""
    now = services.clock.now()
    async with services.store.reading() as unit:
        lives = await unit.lives.list_for(user.id, MAX_SHOWN)
        events: list[AuditEvent] = []
        for action in _KERNEL_WORDS:
            wanted = AuditSearch(person=user.id, action=action, since=now - _LOOK_BACK)
            events += (await unit.audit.search(wanted, limit=MAX_SHOWN)).events
    found = [
        Ended(life.ended_at, *_OUTCOMES[life.outcome], life.reason or "", life.lasted(now))
        for life in lives
        if life.outcome not in OPEN and life.ended_at is not None
    ]
    found += [
        Ended(event.at, *_KERNEL_WORDS[event.action], str((event.details or {}).get("reason", ""))) for event in events
    ]
    found.sort(key=lambda each: each.at, reverse=True)
    return found[:MAX_SHOWN]
