"""A hub whose containers and agents are simulated: `python -m tests.bench.simulated_hub` with `hub`'s own settings.

Everything that the database calls running is running for the engine, and every agent reports one idle kernel, at once.
Nothing else differs from ``kernelhub hub``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import hub.app
from hub.config import Settings, load_settings
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import KernelState
from hub.spawn.folders import Folders
from hub.spawn.protocol import Observation, Presence, WorkspaceSpec
from hub.spawn.select import Selected
from hub.store.engine import Store
from hub.workspaces.agents import Agents, Live, LiveKernel
from proxy.contract.agent import ContainerInfo
from proxy.kit.clock import SystemClock
from proxy.kit.logs import configure_logs


@dataclass
class SimulatedSpawner:
    """An engine that runs whatever the database says, and starts in no time."""

    store: Store
    name: str = "simulated"
    can_pause: bool = False

    async def start(self, spec: WorkspaceSpec) -> str:
        return f"container-{spec.workspace_id}"

    async def stop(self, workspace_id: WorkspaceId, grace_seconds: float = 10.0) -> None:
        """Nothing runs."""

    async def pause(self, workspace_id: WorkspaceId) -> None:
        """Nothing runs."""

    async def thaw(self, workspace_id: WorkspaceId) -> None:
        """Nothing was paused."""

    async def reclaim(self, workspace_id: WorkspaceId) -> int:
        return 0

    async def state(self, workspace_id: WorkspaceId) -> Observation:
        return Observation(workspace_id, Presence.RUNNING, f"container-{workspace_id}")

    async def inventory(self) -> list[Observation]:
        async with self.store.reading() as unit:
            return [await self.state(workspace.id) for workspace in await unit.workspaces.list()]

    async def image_id(self, image: str) -> str:
        return f"sha256:{image}"

    async def image_names(self) -> list[str]:
        return []

    async def ping(self) -> None:
        """It answers."""

    async def close(self) -> None:
        await self.store.close()


class SimulatedAgents(Agents):
    """Agents that report one idle kernel each, from memory."""

    async def greet(self, workspace_id: WorkspaceId, timeout: float = 5.0) -> Any:
        return None

    def connected(self, workspace_id: WorkspaceId) -> bool:
        return True

    async def status(self, workspace_id: WorkspaceId, max_age: float = 2.0) -> Live:
        now = SystemClock().monotonic()
        kernel = LiveKernel(
            *(KernelId(f"kernel-{workspace_id}"), "python3", KernelState.IDLE, 3, timedelta(seconds=30), now),
            *(60 * 1024**2, 1.5, None, 1),
        )
        return Live(now, {kernel.id: kernel}, [], CONTAINER, [])


CONTAINER = ContainerInfo(*([0] * len(ContainerInfo.__struct_fields__)))


async def select(settings: Settings, folders: Folders) -> Selected:
    """In place of `hub.spawn.select.select_spawner`."""
    return Selected(SimulatedSpawner(Store(settings.sqlalchemy_url)), folders.without_uids())


def main() -> None:
    """The command; settings come from the environment."""
    configure_logs("hub", "text")
    hub.app.select_spawner = select  # type: ignore[assignment]
    hub.app.Agents = SimulatedAgents  # type: ignore[misc,assignment]
    asyncio.run(hub.app.run(load_settings()))


if __name__ == "__main__":
    main()
