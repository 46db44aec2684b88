"""The one who asks: every ten seconds each running workspace's agent, the machine, and who is here.

The cost grows with what runs, not with who looks. At most `AT_ONCE` agents are asked at the same time, and one that
does not answer is a gap in its line.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from hub import metrics
from hub.domain.ids import WorkspaceId
from hub.domain.workspace import Workspace
from hub.errors import HubError
from hub.live.lines import GRAIN_SECONDS, Line
from hub.live.machine import Machine, look_at_machine
from hub.live.use import Use, sample_of
from hub.spawn.protocol import Spawner
from hub.store.engine import Store
from hub.workspaces.agents import Agents
from hub.workspaces.service import Workspaces
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

AT_ONCE = 50
STATUS_AGE_SECONDS = 5.0
MACHINE_SECONDS = 3.0
HERE = timedelta(minutes=5)
"""Who asked for anything within this time is here."""


@dataclass(slots=True)
class House:
    """The figures of the whole hub. `engine` and `database` are None in order, else a sentence."""

    cpu: Line = field(default_factory=Line)
    memory: Line = field(default_factory=Line)
    people: Line = field(default_factory=Line)
    containers: Line = field(default_factory=Line)
    kernels: Line = field(default_factory=Line)
    machine: Machine | None = None
    here: int = 0
    engine: str | None = None
    database: str | None = None
    database_seconds: float = 0.0
    sampled_at: float | None = None


class Sampler:
    """Keeps `uses` and `house`; nothing is written anywhere, and a hub that restarts begins new lines."""

    def __init__(
        self, store: Store, workspaces: Workspaces, agents: Agents, spawner: Spawner, data_dir: Path, clock: Clock
    ) -> None:
        self._store = store
        self._workspaces = workspaces
        self._agents = agents
        self._spawner = spawner
        self._data_dir = data_dir
        self._clock = clock
        self.uses: dict[WorkspaceId, Use] = {}
        self.house = House()

    async def run(self) -> None:
        """Sample for ever, every ten seconds by the monotonic clock, until cancelled."""
        due = self._clock.monotonic()
        while True:
            try:
                await self.sample()
            except HubError as error:
                log.warning("no figures were taken: %s", error.message)
            except Exception:
                log.exception("no figures were taken")
            due = max(due + GRAIN_SECONDS, self._clock.monotonic())
            await asyncio.sleep(due - self._clock.monotonic())

    async def sample(self) -> None:
        """One round."""
        await asyncio.gather(self._look_at_machine(), self._ask_engine(), self._count_people())
        if self.house.database is None:
            await self._ask_agents(await self._workspaces.list_running())
        self.house.sampled_at = self._clock.monotonic()
        self._tell_metrics()

    def _tell_metrics(self) -> None:
        uses = list(self.uses.values())
        metrics.ENGINE_UP.set(self.house.engine is None)
        metrics.AGENTS_SILENT.set(sum(use.silent_since is not None for use in uses))
        metrics.CONTAINERS_MEMORY.set(sum(use.newest.memory_bytes or 0 for use in uses if use.newest is not None))
        metrics.CONTAINERS_CPU.set(sum(use.cpu.last or 0.0 for use in uses))

    async def _ask_agents(self, running: list[Workspace]) -> None:
        alive = {workspace.id for workspace in running}
        for gone in self.uses.keys() - alive:
            del self.uses[gone]
        turns = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._ask(workspace.id, turns) for workspace in running))
        self.house.containers.add(len(running))
        kernels = (len(use.newest.kernels) for use in self.uses.values() if use.newest is not None)
        self.house.kernels.add(sum(kernels))

    async def _ask(self, workspace_id: WorkspaceId, turns: asyncio.Semaphore) -> None:
        use = self.uses.setdefault(workspace_id, Use())
        async with turns:
            try:
                live = await self._agents.status(workspace_id, STATUS_AGE_SECONDS)
            except HubError:
                use.miss(self._clock.monotonic())
                return
        if self._agents.is_held(workspace_id):
            use.rest(sample_of(live, of_kernels=self._spawner.name == "process"))
            return
        use.add(sample_of(live, of_kernels=self._spawner.name == "process"))

    async def _look_at_machine(self) -> None:
        house, before = self.house, self.house.machine
        try:
            async with asyncio.timeout(MACHINE_SECONDS):
                house.machine = await asyncio.to_thread(look_at_machine, self._data_dir)
        except TimeoutError:
            log.warning("the disk under %s did not answer within %s s", self._data_dir, MACHINE_SECONDS)
            return
        house.cpu.add(house.machine.busy_part_since(before))
        house.memory.add(house.machine.memory_used_bytes)

    async def _ask_engine(self) -> None:
        try:
            await self._spawner.ping()
            self.house.engine = None
        except HubError as error:
            self.house.engine = error.message

    async def _count_people(self) -> None:
        began = time.perf_counter()
        try:
            async with self._store.reading() as unit:
                self.house.here = await unit.users.count_active(self._clock.now() - HERE)
            self.house.database = None
            self.house.people.add(self.house.here)
        except HubError as error:
            self.house.database = error.message
        self.house.database_seconds = time.perf_counter() - began
