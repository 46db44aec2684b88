"""Starting, stopping and observing workspaces, with an engine that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from hub.config import Profile, Settings
from hub.config.limits import DefaultLimits
from hub.domain.ids import KernelId, SessionId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState, Session
from hub.domain.users import Role, User
from hub.domain.workspace import Started, Stopped, Workspace, WorkspaceState
from hub.errors import AgentSilent, EngineSilent, NotFound, QuotaExceeded, StartFailed
from hub.spawn.folders import Folders
from hub.spawn.protocol import Observation, Presence
from hub.store.engine import Store
from hub.workspaces.quotas import Quotas
from hub.workspaces.service import Workspaces
from proxy.kit.clock import ManualClock


@dataclass
class World:
    """An engine and its agents: what runs, what goes wrong next, and how often something was begun."""

    clock: ManualClock
    running: set[str] = field(default_factory=set)
    connected_to: set[str] = field(default_factory=set)
    error: Exception | None = None
    agent_silent: bool = False
    starts: int = 0
    stops: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    # as a Runner
    async def start(self, workspace: Workspace, user: User) -> Started:
        self.starts += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.running.add(workspace.id)
        self.connected_to.add(workspace.id)
        return Started(f"container-{self.starts}", self.clock.now())

    async def stop(self, workspace_id: WorkspaceId) -> Stopped:
        self.stops += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.running.discard(workspace_id)
        self.connected_to.discard(workspace_id)
        return Stopped()

    # as a Spawner
    async def state(self, workspace_id: WorkspaceId) -> Observation:
        if self.error is not None:
            raise self.error
        if workspace_id in self.running:
            return Observation(workspace_id, Presence.RUNNING, "container-1")
        return Observation(workspace_id, Presence.EXITED, None, "out of memory (limit 1.0 GiB)")

    # as Agents
    def connected(self, workspace_id: WorkspaceId) -> bool:
        return workspace_id in self.connected_to

    async def greet(self, workspace_id: WorkspaceId) -> None:
        if self.agent_silent or workspace_id not in self.running:
            raise AgentSilent("nobody answers")
        self.connected_to.add(workspace_id)

    async def farewell(self, workspace_id: WorkspaceId, kernel_ids: object, reason: str) -> None:
        pass

    async def drop(self, workspace_id: WorkspaceId) -> None:
        self.connected_to.discard(workspace_id)


@pytest.fixture
def world(clock: ManualClock) -> World:
    world = World(clock)
    world.gate.set()
    return world


@pytest.fixture
async def workspaces(store: Store, world: World, clock: ManualClock, data_dir: Path) -> AsyncIterator[Workspaces]:
    part = cast(Any, world)
    settings = Settings(data_dir=data_dir, profiles={"datascience": Profile(), "statistics": Profile(image="r")})
    service = Workspaces(settings, store, part, Folders(data_dir, None, None), part, part, clock)
    yield service
    await service.close()


@pytest.fixture
async def ada(store: Store, clock: ManualClock) -> User:
    async with store.unit() as unit:
        return await unit.users.add("ada", Role.USER, clock.now())


async def test_ensure_starts_a_workspace_that_does_not_run(workspaces: Workspaces, world: World, ada: User) -> None:
    workspace = await workspaces.ensure(ada)
    assert workspace.state is WorkspaceState.RUNNING
    assert workspace.container_id == "container-1"
    assert await workspaces.find(ada) == workspace


async def test_all_who_ask_at_once_wait_for_one_start(workspaces: Workspaces, world: World, ada: User) -> None:
    await asyncio.gather(*(workspaces.ensure(ada) for _ in range(10)))
    assert world.starts == 1


async def test_a_running_workspace_is_given_at_once(workspaces: Workspaces, world: World, ada: User) -> None:
    first = await workspaces.ensure(ada)
    assert await workspaces.ensure(ada) == first
    assert world.starts == 1


async def test_a_failed_start_tells_everybody_who_waits_and_is_remembered(
    workspaces: Workspaces, world: World, ada: User
) -> None:
    world.error = StartFailed("the image has no kernel")
    outcomes = await asyncio.gather(*(workspaces.ensure(ada) for _ in range(3)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["the image has no kernel"] * 3
    workspace = await workspaces.find(ada)
    assert workspace is not None
    assert (workspace.state, workspace.stop_reason) == (WorkspaceState.STOPPED, "the image has no kernel")
    world.error = None
    assert (await workspaces.ensure(ada)).state is WorkspaceState.RUNNING


async def test_an_engine_that_falls_silent_during_a_start_leaves_the_state_unknown(
    workspaces: Workspaces, world: World, ada: User
) -> None:
    world.error = EngineSilent("the engine did not answer")
    with pytest.raises(EngineSilent):
        await workspaces.ensure(ada)
    workspace = await workspaces.find(ada)
    assert workspace is not None and workspace.state is WorkspaceState.UNKNOWN
    world.error = None
    assert (await workspaces.ensure(ada)).state is WorkspaceState.RUNNING


async def test_a_container_that_ended_behind_our_back_is_started_again(
    workspaces: Workspaces, world: World, ada: User
) -> None:
    workspace = await workspaces.ensure(ada)
    world.running.clear()
    world.connected_to.clear()
    again = await workspaces.ensure(ada)
    assert again.id == workspace.id and again.state is WorkspaceState.RUNNING
    assert world.starts == 2


async def test_a_running_container_whose_agent_is_silent_is_not_thrown_away(
    workspaces: Workspaces, world: World, ada: User
) -> None:
    await workspaces.ensure(ada)
    world.connected_to.clear()
    world.agent_silent = True
    with pytest.raises(AgentSilent):
        await workspaces.ensure(ada)
    assert world.starts == 1 and world.stops == 0


async def test_a_stop_forgets_kernels_and_sessions_and_records_why(
    workspaces: Workspaces, store: Store, clock: ManualClock, ada: User
) -> None:
    workspace = await workspaces.ensure(ada)
    kernel = Kernel(KernelId("k"), workspace.id, ada.id, "python3", KernelState.IDLE, clock.now(), clock.now())
    session = Session(SessionId("s"), ada.id, kernel.id, "a.ipynb", "a.ipynb", "notebook", clock.now())
    async with store.unit() as unit:
        await unit.kernels.add(kernel)
        await unit.sessions.add(session)
    stopped = await workspaces.stop(workspace.id, "idle for 20 min, the limit is 15 min")
    assert (stopped.state, stopped.stop_reason) == (WorkspaceState.STOPPED, "idle for 20 min, the limit is 15 min")
    async with store.reading() as unit:
        assert await unit.kernels.list_for(ada.id) == []
        assert await unit.sessions.list_for(ada.id) == []
        ended = await unit.audit.list(10, action_prefix="kernel.ended")
    assert [event.details["reason"] for event in ended] == ["idle for 20 min, the limit is 15 min"]


async def test_who_asks_during_a_stop_gets_a_fresh_start(workspaces: Workspaces, world: World, ada: User) -> None:
    workspace = await workspaces.ensure(ada)
    world.gate.clear()
    stopping = asyncio.create_task(workspaces.stop(workspace.id, "stopped by its user"))
    asking = asyncio.create_task(workspaces.ensure(ada))
    await asyncio.sleep(0)
    world.gate.set()
    await stopping
    assert (await asking).state is WorkspaceState.RUNNING


async def test_a_stop_that_the_engine_does_not_answer_can_be_repeated(
    workspaces: Workspaces, world: World, ada: User
) -> None:
    workspace = await workspaces.ensure(ada)
    world.error = EngineSilent("the engine did not answer")
    with pytest.raises(EngineSilent):
        await workspaces.stop(workspace.id, "stopped by its user")
    world.error = None
    stopped = await workspaces.stop(workspace.id, "stopped by its user")
    assert stopped.state is WorkspaceState.STOPPED


async def test_looking_takes_the_engines_reason(workspaces: Workspaces, world: World, ada: User) -> None:
    workspace = await workspaces.ensure(ada)
    world.running.clear()
    seen = await workspaces.look(workspace.id)
    assert seen is not None
    assert (seen.state, seen.stop_reason) == (WorkspaceState.STOPPED, "out of memory (limit 1.0 GiB)")


async def test_a_silent_engine_makes_a_running_workspace_unknown_and_no_more(
    workspaces: Workspaces, world: World, ada: User
) -> None:
    workspace = await workspaces.ensure(ada)
    world.error = EngineSilent("the engine did not answer")
    seen = await workspaces.look(workspace.id)
    assert seen is not None and seen.state is WorkspaceState.UNKNOWN
    assert world.stops == 0


async def test_a_container_of_nobody_is_no_workspace(workspaces: Workspaces) -> None:
    assert await workspaces.observe(Observation(WorkspaceId("f" * 26), Presence.RUNNING, "c")) is None


async def test_stopping_what_does_not_exist_says_so(workspaces: Workspaces) -> None:
    with pytest.raises(NotFound):
        await workspaces.stop(WorkspaceId("f" * 26), "why not")


async def test_a_user_has_a_workspace_of_each_profile_beside_the_others(
    workspaces: Workspaces, world: World, ada: User
) -> None:
    base, statistics = await workspaces.ensure(ada), await workspaces.ensure(ada, "statistics")
    assert (base.profile, base.image) == ("datascience", Profile().image)
    assert (statistics.profile, statistics.image) == ("statistics", "r")
    assert await workspaces.ensure(ada, "datascience") == base and world.starts == 2
    assert [workspace.id for workspace in await workspaces.list_for(ada)] == [base.id, statistics.id]
    await workspaces.stop(base.id, "enough")
    assert world.running == {statistics.id}
    assert await workspaces.find(ada, "statistics") == statistics


@pytest.mark.parametrize("profile", ["gpu", "../statistics"])
async def test_a_profile_that_there_is_not_starts_nothing(
    workspaces: Workspaces, world: World, ada: User, profile: str
) -> None:
    with pytest.raises(NotFound, match="datascience, statistics"):
        await workspaces.ensure(ada, profile)
    assert world.starts == 0 and await workspaces.list_for(ada) == []


async def test_of_two_containers_asked_for_at_once_the_quota_lets_one_start(
    store: Store, world: World, clock: ManualClock, data_dir: Path, ada: User
) -> None:
    part = cast(Any, world)
    settings = Settings(data_dir=data_dir, profiles={"datascience": Profile(), "statistics": Profile(image="r")})
    quotas = Quotas(store, clock, lambda: DefaultLimits(containers=1), lambda user: 0, lambda user: None)
    service = Workspaces(
        settings, store, part, Folders(data_dir, None, None), part, part, clock, profiles=None, quotas=quotas
    )
    asked = (service.ensure(ada, name) for name in ("datascience", "statistics"))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(QuotaExceeded) == 1
    assert world.starts == 1
    await service.close()
