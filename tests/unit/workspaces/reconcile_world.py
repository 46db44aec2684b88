"""A hub's workspaces, kernels and reconciler over an engine and agents in memory, which outlive each hub.

The engine can be silent, lose the answer to what it did, and take the hub down before or after it does it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from hub.config import Profile, Settings
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernel_names import Choice
from hub.domain.kernels import Kernel, KernelState
from hub.domain.users import Role, User
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import AgentSilent, EngineSilent, HubError, NotFound
from hub.spawn.folders import Folders
from hub.spawn.protocol import Observation, Presence, WorkspaceSpec
from hub.store.engine import Store
from hub.workspaces.agents import Live, LiveKernel, _sane
from hub.workspaces.connections import Connections
from hub.workspaces.freezer import Freezer
from hub.workspaces.image_kernelspecs import ImageKernelspecs
from hub.workspaces.kernel_order import KernelOrder
from hub.workspaces.kernels import Kernels
from hub.workspaces.probes import Probes
from hub.workspaces.reconcile import Patiences, Reconciler
from hub.workspaces.runner import Runner
from hub.workspaces.service import Workspaces
from proxy.contract.agent import ContainerInfo, Hello, KernelInfo, Kernelspec
from proxy.kit.clock import ManualClock
from tests.contract.fake_spawner import FakeSpawner


class HubDied(BaseException):
    """The hub's process is gone: nothing of it runs any more, and nobody is told."""


@dataclass
class HarshSpawner(FakeSpawner):
    """`next_fault`, once, of the next request: lost (done, and the answer lost), before, after (the hub dies)."""

    next_fault: str = ""

    async def start(self, spec: WorkspaceSpec) -> str:
        fault = self._before()
        container_id = await super().start(spec)
        self._after(fault)
        return container_id

    async def stop(self, workspace_id: WorkspaceId, grace_seconds: float = 10.0) -> None:
        fault = self._before()
        await super().stop(workspace_id, grace_seconds)
        self._after(fault)

    async def pause(self, workspace_id: WorkspaceId) -> None:
        fault = self._before()
        await super().pause(workspace_id)
        self._after(fault)

    async def thaw(self, workspace_id: WorkspaceId) -> None:
        fault = self._before()
        await super().thaw(workspace_id)
        self._after(fault)

    def _before(self) -> str:
        fault, self.next_fault = self.next_fault, ""
        if fault == "before":
            raise HubDied
        return fault

    def _after(self, fault: str) -> None:
        if fault == "after":
            raise HubDied
        if fault == "lost":
            raise EngineSilent("The container engine does not answer; nothing is known of the request.")


@dataclass
class FakeAgents:
    """The agents of the containers that run, each with its kernels; `silent` ones do not answer."""

    spawner: FakeSpawner
    clock: ManualClock
    folders: Folders
    kernels: dict[str, dict[KernelId, LiveKernel]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    next_fault: str = ""
    asked: int = 0
    held: dict[WorkspaceId, Callable[[], Awaitable[None]]] = field(default_factory=dict)

    def of(self, workspace_id: WorkspaceId) -> dict[KernelId, LiveKernel]:
        """The kernels of a container that runs; those of another one are gone with it."""
        seen = self.spawner.containers.get(workspace_id)
        gone = seen is None or seen.presence is not Presence.RUNNING or seen.is_paused
        if seen is None or gone or workspace_id in self.silent:
            raise AgentSilent("Your container does not answer at the moment. Try again in a few seconds.")
        return self.kernels.setdefault(str(seen.container_id), {})

    def add(self, workspace_id: WorkspaceId, kernel_id: KernelId, executions: int = 0) -> None:
        """A kernel, from nowhere."""
        info = KernelInfo(kernel_id, "python3", "idle", 1, 0.0, 0.0, 0.0, executions)
        self.of(workspace_id)[kernel_id] = _sane(info, self.clock.monotonic())

    # as Agents

    def hold(self, workspace_id: WorkspaceId, resume: Callable[[], Awaitable[None]], known: Live | None = None) -> None:
        self.held[workspace_id] = resume

    def release(self, workspace_id: WorkspaceId) -> None:
        self.held.pop(workspace_id, None)

    def is_held(self, workspace_id: WorkspaceId) -> bool:
        return workspace_id in self.held

    def is_asking(self, workspace_id: WorkspaceId) -> bool:
        return False

    def gave_back(self, workspace_id: WorkspaceId, given_bytes: int) -> None: ...

    async def wake(self, workspace_id: WorkspaceId) -> None:
        if (resume := self.held.get(workspace_id)) is not None:
            try:
                await resume()
            except HubError as error:
                raise AgentSilent(error.message) from error

    def connected(self, workspace_id: WorkspaceId) -> bool:
        return False

    async def greet(self, workspace_id: WorkspaceId, timeout: float = 5.0) -> Hello:
        await self.wake(workspace_id)
        self.of(workspace_id)
        return _HELLO

    async def drop(self, workspace_id: WorkspaceId) -> None: ...

    async def status(self, workspace_id: WorkspaceId, max_age: float = 2.0) -> Live:
        self.asked += 1
        if workspace_id in self.held:
            raise AgentSilent("Your container is paused; it goes on when it is needed.")
        return Live(self.clock.monotonic(), dict(self.of(workspace_id)), [], ContainerInfo())

    def forget_status(self, workspace_id: WorkspaceId) -> None: ...

    async def farewell(self, workspace_id: WorkspaceId, kernel_ids: object, reason: str) -> None: ...

    def health(self, kernel: Kernel, workspace: Workspace) -> None: ...

    def client(self, workspace_id: WorkspaceId) -> FakeClient:
        return FakeClient(self, workspace_id)

    def fault(self) -> str:
        fault, self.next_fault = self.next_fault, ""
        if fault == "before":
            raise HubDied
        return fault


@dataclass
class FakeClient:
    """The connection to one agent."""

    agents: FakeAgents
    workspace_id: WorkspaceId

    async def start_kernel(self, kernel_id: KernelId, name: str, cwd: str, env: dict[str, str]) -> None:
        await self.agents.wake(self.workspace_id)
        fault = self.agents.fault()
        self.agents.add(self.workspace_id, kernel_id)
        self._after(fault)

    async def shutdown_kernel(self, kernel_id: KernelId, *_: object, **__: object) -> None:
        await self.agents.wake(self.workspace_id)
        fault = self.agents.fault()
        if self.agents.of(self.workspace_id).pop(kernel_id, None) is None:
            raise NotFound("there is no such kernel")
        self._after(fault)

    def _after(self, fault: str) -> None:
        if fault == "after":
            raise HubDied
        if fault == "lost":
            raise AgentSilent("the answer was lost")


class _Kernelspecs:
    async def choose(self, user: User, wanted: str | None) -> Choice:
        return Choice("datascience", "python3", "python3")


_HELLO = cast(Hello, type("_Hello", (), {"kernelspecs": [Kernelspec("python3", {}, [], None)]})())


class _Images:
    async def learn(self, *_: object) -> None: ...


@dataclass
class OneHub:
    """The parts of one hub that start, stop and put in order."""

    workspaces: Workspaces
    kernels: Kernels
    reconciler: Reconciler
    runner: Runner
    freezer: Freezer

    def die(self) -> None:
        """As SIGKILL does it: locks are released, and nothing else happens."""
        self.reconciler._hubs.leave()


@dataclass
class World:
    """Everything, of one hub after the other."""

    store: Store
    clock: ManualClock
    data_dir: Path
    patiences: Patiences | None = None

    def __post_init__(self) -> None:
        self.folders = Folders(self.data_dir, None, None)
        self.spawner = HarshSpawner()
        self.agents = FakeAgents(self.spawner, self.clock, self.folders)
        self.settings = Settings(data_dir=self.data_dir, profiles={"datascience": Profile()})
        self.hub = self.new_hub()

    def new_hub(self) -> OneHub:
        """Another hub on the same data."""
        agents = cast(Any, self.agents)
        images = ImageKernelspecs(self.folders.images, self.clock)
        runner = Runner(self.settings, self.spawner, self.folders, agents, cast(Any, _Images()), self.clock)
        workspaces = Workspaces(self.settings, self.store, self.spawner, self.folders, agents, runner, self.clock)
        connections = Connections(self.clock)
        freezer = Freezer(self.store, workspaces, self.spawner, agents, connections, self.clock)
        workspaces.pausing = freezer
        kernels = Kernels(self.store, workspaces, agents, cast(Any, _Kernelspecs()), connections, self.clock)
        reconciler = Reconciler(
            *(self.store, self.spawner, workspaces),
            Probes(self.settings, self.spawner, self.folders, images, self.clock),
            runner=runner,
            folders=self.folders,
            kernels=KernelOrder(self.store, agents, kernels, connections, self.clock),
            clock=self.clock,
            patiences=self.patiences,
        )
        return OneHub(workspaces, kernels, reconciler, runner, freezer)

    async def restart(self) -> None:
        """The hub dies, and another one comes."""
        self.hub.die()
        await self.hub.freezer.close()
        self.agents.held.clear()
        self.hub = self.new_hub()
        await self.hub.freezer.load()
        with contextlib.suppress(HubError):
            await self.hub.reconciler.run_once(kernels=False)
        self.hub.reconciler.end_quiet()

    async def rounds(self, number: int = 1, seconds: float = 15.0) -> None:
        """Rounds of reconciliation, so far apart."""
        for _ in range(number):
            self.clock.advance(timedelta(seconds=seconds))
            await self.hub.reconciler.run_once()

    async def user(self, name: str) -> User:
        async with self.store.unit() as unit:
            found = await unit.users.find_by_name(name)
            return found or await unit.users.add(name, Role.USER, self.clock.now())

    async def running(self, name: str = "ada") -> Workspace:
        """The running workspace of a user."""
        return await self.hub.workspaces.ensure(await self.user(name))

    async def row(self, workspace: Workspace) -> Workspace | None:
        async with self.store.reading() as unit:
            return await unit.workspaces.find(workspace.id)

    async def write(self, workspace: Workspace, **changes: Any) -> Workspace:
        """Change a row behind the hub's back, as a hub that died in the midst leaves it."""
        changed = replace(workspace, **changes)
        async with self.store.unit() as unit:
            await unit.workspaces.save(changed)
        return changed

    async def kernel_rows(self) -> list[Kernel]:
        async with self.store.reading() as unit:
            return await unit.kernels.list()

    async def audited(self, action: str) -> list[str]:
        async with self.store.reading() as unit:
            return [event.subject for event in await unit.audit.list(50, action_prefix=action)]

    async def require_order(self) -> None:
        """N4: containers, folders and kernels are those of the database, and nothing else is there."""
        async with self.store.reading() as unit:
            workspaces, kernels = await unit.workspaces.list(), await unit.kernels.list()
        running = {each.id: each.container_id for each in workspaces if each.state is WorkspaceState.RUNNING}
        assert all(each.state in (WorkspaceState.RUNNING, WorkspaceState.STOPPED) for each in workspaces), workspaces
        assert {key: seen.container_id for key, seen in self.spawner.containers.items()} == running
        assert all(seen.presence is Presence.RUNNING for seen in self.spawner.containers.values())
        assert set(self.folders.list_runs()) == set(running)
        paused = {each.id for each in workspaces if each.paused_at is not None}
        assert {key for key, seen in self.spawner.containers.items() if seen.is_paused} == paused
        assert self.agents.held.keys() == paused == self.hub.freezer.paused()
        for workspace_id, container_id in running.items():
            rows = {kernel.id for kernel in kernels if kernel.workspace_id == workspace_id}
            assert set(self.agents.kernels.get(str(container_id), {})) == rows, "kernels differ"

    async def close(self) -> None:
        self.hub.die()
        await self.hub.freezer.close()
        await self.hub.workspaces.close()


def stray(name: str, container_id: str = "stray") -> Observation:
    """A container that runs."""
    return Observation(WorkspaceId(name), Presence.RUNNING, container_id)


async def gather_quietly(*awaitables: Any) -> list[Any]:
    """Await all; errors are results."""
    return list(await asyncio.gather(*awaitables, return_exceptions=True))


__all__ = ["FakeAgents", "HarshSpawner", "HubDied", "KernelState", "OneHub", "World", "gather_quietly", "stray"]
