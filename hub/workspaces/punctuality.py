"""Whether the hub itself keeps time: what it concludes from silence is worth nothing after it was held up."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from proxy.kit.clock import Clock

TICK_SECONDS = 0.5
REMEMBER_SECONDS = 15.0
"""A delay counts for so long: every agent has been asked again by then."""


class Punctuality:
    """Measures how late the event loop runs. Before the first tick nothing is late."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ticked_at: float | None = None
        self._worst = 0.0
        self._worst_at = 0.0

    def lag(self) -> timedelta:
        """The longest delay lately, the one that may be going on included."""
        now = self._clock.monotonic()
        lately = self._worst if now - self._worst_at <= REMEMBER_SECONDS else 0.0
        return timedelta(seconds=max(lately, self._late(now)))

    def tick(self) -> None:
        """A turn of the event loop that was due `TICK_SECONDS` after the last."""
        now = self._clock.monotonic()
        late = self._late(now)
        if late >= self._worst or now - self._worst_at > REMEMBER_SECONDS:
            self._worst, self._worst_at = late, now
        self._ticked_at = now

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            self.tick()
            await asyncio.sleep(TICK_SECONDS)

    def _late(self, now: float) -> float:
        return 0.0 if self._ticked_at is None else max(0.0, now - self._ticked_at - TICK_SECONDS)
