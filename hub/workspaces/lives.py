"""Lives of containers, written as their workspaces change; and how long each part of a start took."""

from __future__ import annotations

from datetime import datetime, timedelta

from hub import metrics
from hub.domain.history import change_of
from hub.domain.workspace import Event, Workspace
from hub.store.unit import Unit
from proxy.kit.clock import Clock

SETTLING = timedelta(seconds=60)
"""What a hub finds ended within this time of its own start has ended while none looked."""


class LifeWriter:
    """Writes lives within the units of work in which workspaces change."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_at = clock.now()

    async def record(self, unit: Unit, before: Workspace, event: Event, after: Workspace, actor: str) -> None:
        """Write what the event means to the life of the workspace's container."""
        now = self._clock.now()
        change = change_of(before, event, after, hub_was_down=await self._hub_was_down(unit, before, now))
        await unit.lives.record(before, after, change, actor, now)

    async def _hub_was_down(self, unit: Unit, workspace: Workspace, now: datetime) -> bool:
        if now - self._began_at > SETTLING:
            return False
        life = await unit.lives.find_open(workspace.id)
        return life is not None and life.asked_at < self._began_at


class Stopwatch:
    """Times the parts of a start, one after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.monotonic()
        self.phases: dict[str, int] = {}

    def lap(self, phase: str) -> None:
        """The part that ends now, which began where the one before ended."""
        now = self._clock.monotonic()
        metrics.START_PHASES.labels(phase).observe(now - self._last)
        self.phases[phase] = int((now - self._last) * 1000)
        self._last = now
