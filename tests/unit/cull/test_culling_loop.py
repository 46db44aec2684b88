"""One round of the culling loop: what it sees, decides and does."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from hub.config import Culling, Settings
from hub.cull.loop import Culler
from hub.domain.culling import Action
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState
from hub.domain.users import Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import AgentSilent
from hub.store.engine import Store
from hub.workspaces.agents import Live, LiveKernel
from hub.workspaces.connections import Connections
from proxy.contract.agent import ContainerInfo, JobInfo, TerminalInfo
from proxy.kit.clock import ManualClock

K = KernelId("k")


@dataclass
class World:
    """What agents say, and what the loop did about it."""

    clock: ManualClock
    workspace: Workspace
    state: KernelState | None = KernelState.IDLE
    idle: timedelta = timedelta(0)
    terminal_idle: float | None = None
    jobs: list[JobInfo] = field(default_factory=list)
    silent: bool = False
    ended: list[tuple[str, str]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    looked: int = 0

    # as Agents
    async def status(self, workspace_id: WorkspaceId) -> Live:
        if self.silent:
            raise AgentSilent("nobody answers")
        now = self.clock.monotonic()
        kernels = {}
        if self.state is not None:
            kernels[K] = LiveKernel(K, "python3", self.state, 3, self.idle, now, 0, 0.0, "out of memory", 1)
        terminals = [] if self.terminal_idle is None else [TerminalInfo("1", 0.0, self.terminal_idle)]
        return Live(now, kernels, terminals, ContainerInfo(), self.jobs)

    # as Workspaces
    async def list_running(self) -> list[Workspace]:
        return [self.workspace]

    async def stop(self, workspace_id: WorkspaceId, reason: str) -> None:
        self.stopped.append(reason)

    async def look(self, workspace_id: WorkspaceId) -> None:
        self.looked += 1

    def has_start_under_way(self, workspace_id: WorkspaceId) -> bool:
        return False

    # as Kernels
    async def end(self, kernel: Kernel, reason: str, action: str) -> None:
        self.ended.append((action, reason))

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("is_", "has_")):
            return lambda *_: False
        raise AttributeError(name)


@pytest.fixture
async def ada(store: Store, clock: ManualClock) -> User:
    async with store.unit() as unit:
        return await unit.users.add("ada", Role.USER, clock.now())


@pytest.fixture
async def world(store: Store, clock: ManualClock, ada: User) -> World:
    workspace = Workspace(
        WorkspaceId("w" * 26), ada.id, "datascience", WorkspaceState.RUNNING, "image", Limits(None, None, None)
    )
    kernel = Kernel(K, workspace.id, ada.id, "python3", KernelState.IDLE, clock.now(), clock.now())
    async with store.unit() as unit:
        await unit.workspaces.add(workspace)
        await unit.kernels.add(kernel)
    return World(clock, workspace)


@pytest.fixture
def culler(store: Store, clock: ManualClock, world: World, data_dir: Path) -> Culler:
    culling = Culling(kernel_idle=timedelta(hours=1), workspace_empty=timedelta(minutes=10))
    part = cast(Any, world)
    settings = Settings(data_dir=data_dir, culling=culling)
    return Culler(settings, store, part, part, part, Connections(clock), clock)


async def test_an_idle_kernel_is_shut_with_its_reason(culler: Culler, world: World) -> None:
    world.idle = timedelta(hours=2)
    await culler.run_once()
    assert world.ended == [("kernel.culled", "idle for 2 h, the limit is 60 min")]


@pytest.mark.parametrize("state", [KernelState.BUSY, KernelState.STARTING, KernelState.RESTARTING, KernelState.UNKNOWN])
async def test_a_kernel_that_is_not_idle_is_kept_however_long(culler: Culler, world: World, state: KernelState) -> None:
    world.state, world.idle = state, timedelta(days=30)
    await culler.run_once()
    assert world.ended == [] and world.stopped == []


async def test_an_empty_container_is_stopped_after_the_limit_and_not_before(
    culler: Culler, world: World, clock: ManualClock
) -> None:
    world.state = None
    await culler.run_once()
    clock.advance(timedelta(minutes=9))
    await culler.run_once()
    assert world.stopped == []
    clock.advance(timedelta(minutes=2))
    await culler.run_once()
    assert world.stopped == ["empty for 11 min, the limit is 10 min"]


async def test_a_container_is_empty_only_from_the_end_of_its_programs_on(
    culler: Culler, world: World, clock: ManualClock
) -> None:
    world.state, world.jobs = None, [JobInfo(K, "git_pull", 0.0)]
    for _ in range(3):
        clock.advance(timedelta(minutes=9))
        await culler.run_once()
    world.jobs = [JobInfo(K, "git_pull", 0.0, exit_status=0)]
    await culler.run_once()
    clock.advance(timedelta(minutes=9))
    await culler.run_once()
    assert world.stopped == []
    clock.advance(timedelta(minutes=2))
    await culler.run_once()
    assert world.stopped == ["empty for 11 min, the limit is 10 min"]


async def test_a_silent_agent_culls_nobody_and_starts_the_count_anew(
    culler: Culler, world: World, clock: ManualClock
) -> None:
    world.state = None
    await culler.run_once()
    clock.advance(timedelta(hours=1))
    world.silent = True
    await culler.run_once()
    world.silent = False
    await culler.run_once()
    assert world.stopped == [] and world.looked == 1


async def test_a_terminal_in_use_holds_its_container_and_a_forgotten_one_does_not(
    culler: Culler, world: World, clock: ManualClock
) -> None:
    world.state, world.terminal_idle = None, 30.0
    await culler.run_once()
    clock.advance(timedelta(hours=1))
    await culler.run_once()
    assert world.stopped == []
    world.terminal_idle = 7200.0
    await culler.run_once()
    clock.advance(timedelta(minutes=11))
    await culler.run_once()
    assert len(world.stopped) == 1


async def test_a_dead_kernel_is_reported_once_with_its_reason(culler: Culler, world: World, store: Store) -> None:
    world.state = KernelState.DEAD
    await culler.run_once()
    await culler.run_once()
    async with store.reading() as unit:
        died = await unit.audit.list(10, action_prefix="kernel.died")
    assert [event.details["reason"] for event in died] == ["out of memory"]


async def test_what_is_kept_says_when_it_is_due(culler: Culler, world: World) -> None:
    world.idle = timedelta(minutes=45)
    await culler.run_once()
    _, decisions = culler.decisions_for([world.workspace.id])
    assert decisions[0].action is Action.KEEP
    assert decisions[0].due_in == timedelta(minutes=15)


async def test_the_workspaces_last_activity_is_remembered(
    culler: Culler, world: World, store: Store, clock: ManualClock
) -> None:
    clock.advance(timedelta(minutes=5))
    world.idle = timedelta(minutes=1)
    await culler.run_once()
    async with store.reading() as unit:
        workspace = await unit.workspaces.find(world.workspace.id)
    assert workspace is not None and workspace.last_activity_at == clock.now() - timedelta(minutes=1)
