"""What handlers ask about the present: one picture for all who look, drawn at most every `PICTURE_SECONDS`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

from hub.domain.ids import UserId, WorkspaceId
from hub.live.picture import Decided, HealthOf, Picture, Place, draw
from hub.live.sampler import House, Sampler
from hub.live.sizes import HomeSizes
from hub.live.use import Use
from hub.live.viewers import Viewers
from hub.spawn.protocol import Spawner
from hub.store.engine import Store
from hub.workspaces.agents import Agents
from hub.workspaces.connections import Connections
from hub.workspaces.health import of_row
from hub.workspaces.progress import Progress, StartKey, Step
from hub.workspaces.service import Workspaces
from proxy.kit.clock import Clock

PICTURE_SECONDS = 2.0


class Live:
    """The present. `viewers` are the streams; whoever watches costs no question to any agent. `sizes`: of homes."""

    def __init__(
        self,
        store: Store,
        workspaces: Workspaces,
        agents: Agents,
        spawner: Spawner,
        connections: Connections,
        decided: Decided,
        progress: Progress,
        sizes: HomeSizes,
        data_dir: Path,
        clock: Clock,
        health: HealthOf = of_row,
    ) -> None:
        self._store = store
        self._clock = clock
        self._decided = decided
        self._health = health
        self._progress = progress
        self._sampler = Sampler(store, workspaces, agents, spawner, data_dir, clock)
        self._picture: Picture | None = None
        self._drawn_at = 0.0
        self._of_user: dict[UserId, list[Place]] = {}
        self._drawing = asyncio.Lock()
        self.connections = connections
        self.sizes = sizes
        self.viewers = Viewers()

    @property
    def house(self) -> House:
        """Lines and health of the whole hub."""
        return self._sampler.house

    def use_of(self, workspace_id: WorkspaceId) -> Use | None:
        """The lines of one workspace; None before its first sample."""
        return self._sampler.uses.get(workspace_id)

    async def run(self) -> None:
        """Sample until cancelled."""
        await self._sampler.run()

    async def sample(self) -> None:
        """One round of samples now."""
        await self._sampler.sample()

    def forget(self) -> None:
        """Draw the picture anew when it is next asked for: something was just changed."""
        self._drawn_at = 0.0
        self._picture = None

    async def picture(self) -> Picture:
        """Everything that runs, at most `PICTURE_SECONDS` old. Raises StoreUnavailable."""
        if self._is_fresh() and self._picture is not None:
            return self._picture
        async with self._drawing:
            if self._is_fresh() and self._picture is not None:
                return self._picture
            async with self._store.reading() as unit:
                running = await unit.running.list()
            self._picture = draw(
                self._clock.now(),
                running,
                self._sampler.uses,
                self._decided,
                self.connections.to_kernel,
                self.connections.to_workspace,
                self._health,
            )
            self._drawn_at = self._clock.monotonic()
            of_user: dict[UserId, list[Place]] = defaultdict(list)
            for place in self._picture.places:
                of_user[place.workspace.user_id].append(place)
            self._of_user = dict(of_user)
            return self._picture

    async def places_of(self, user_id: UserId) -> list[Place]:
        """What runs of one user. Raises StoreUnavailable."""
        await self.picture()
        return self._of_user.get(user_id, [])

    def starts(self) -> list[tuple[StartKey, Step]]:
        """The starts under way."""
        return self._progress.under_way()

    def start_of(self, user_id: UserId, profile: str) -> Step | None:
        """How far the start of a user's container is, None where none is known."""
        return self._progress.find(StartKey(user_id, profile))

    async def close(self) -> None:
        """End all streams and what is being counted: the hub stops."""
        self.viewers.close()
        await self.sizes.close()

    def _is_fresh(self) -> bool:
        return self._picture is not None and self._clock.monotonic() - self._drawn_at <= PICTURE_SECONDS
