"""One round of the culling loop: what it sees, decides and does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from hub.config import Culling, Settings
from hub.cull.loop import Culler
from hub.cull.postponing import Postponing
from hub.domain.audit import AuditEvent
from hub.domain.culling import Action, Rule
from hub.domain.health import Health, HealthState
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState
from hub.domain.users import Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import AgentSilent, BadRequest, Conflict
from hub.store.culling import StoredRules
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

    cpu: float | None = None
    health: HealthState | None = None
    told: list[str] = field(default_factory=list)
    meanwhile: KernelState | None = None
    """What the agent says when it is asked once more, right before an end."""

    # as Agents
    async def wake(self, workspace_id: WorkspaceId) -> None: ...

    async def status(self, workspace_id: WorkspaceId, max_age: float = 2.0) -> Live:
        if self.silent:
            raise AgentSilent("nobody answers")
        now = self.clock.monotonic()
        kernels = {}
        if self.state is not None:
            state = self.meanwhile if self.meanwhile is not None and not max_age else self.state
            kernels[K] = LiveKernel(
                K, "python3", state, 3, self.idle, now, 0, 0.0, "out of memory", 1, cpu_recent=self.cpu
            )
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
        self.state = None

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


CULLING = Culling(kernel_idle=timedelta(hours=1), workspace_empty=timedelta(minutes=10), max_age=timedelta(days=7))
MINUTE = timedelta(minutes=1)


def make_culler(store: Store, clock: ManualClock, world: World, data_dir: Path, culling: Culling = CULLING) -> Culler:
    part = cast(Any, world)
    settings = Settings(data_dir=data_dir, culling=culling)

    def health(_kernel: Any, _workspace: Workspace) -> Health | None:
        return Health(world.health) if world.health is not None else None

    made = Culler(settings, store, part, part, part, Connections(clock), clock, health=health)
    made.tell = world.told.append
    return made


@pytest.fixture
def culler(store: Store, clock: ManualClock, world: World, data_dir: Path) -> Culler:
    return make_culler(store, clock, world, data_dir)


async def go_on(culler: Culler, world: World, span: timedelta, step: timedelta = timedelta(seconds=50)) -> None:
    """Look again and again while time passes, in which nobody uses the kernel."""
    passed = timedelta(0)
    while passed < span:
        world.clock.advance(step)
        world.idle += step
        passed += step
        await culler.run_once()


async def recorded(store: Store, prefix: str) -> list[AuditEvent]:
    """What the audit log has, the oldest first."""
    async with store.reading() as unit:
        return list(reversed(await unit.audit.list(50, action_prefix=prefix)))


async def test_an_idle_kernel_is_warned_of_and_then_shut_with_its_reason(
    culler: Culler, world: World, store: Store, ada: User
) -> None:
    world.idle = timedelta(hours=2)
    await culler.run_once()
    assert world.ended == [] and world.told == [ada.id]
    await go_on(culler, world, 9 * MINUTE)
    assert world.ended == []
    await go_on(culler, world, 2 * MINUTE)
    assert world.ended == [("kernel.culled", "idle for 2 h 10 min, the limit is 60 min")]
    warned, decided = await recorded(store, "culling.")
    assert (warned.action, decided.action) == ("culling.warned", "culling.decided")
    numbers = {
        "user": ada.id,
        "workspace": world.workspace.id,
        "action": "shut_kernel",
        "rule": "kernel_idle",
        "spent_seconds": 7800.0,
        "limit_seconds": 3600.0,
        "limit_source": "the hub's settings",
        "connections": 0,
        "warning_seconds": 600.0,
        "warned_for_seconds": 600.0,
        "times_put_off": 0,
    }
    assert numbers.items() <= decided.details.items()


@pytest.mark.parametrize("state", [KernelState.BUSY, KernelState.STARTING, KernelState.RESTARTING, KernelState.UNKNOWN])
async def test_a_kernel_that_is_not_idle_is_kept_however_long(culler: Culler, world: World, state: KernelState) -> None:
    world.state, world.idle = state, timedelta(days=30)
    await culler.run_once()
    await go_on(culler, world, 20 * MINUTE)
    assert world.ended == [] and world.stopped == []


@pytest.mark.parametrize("health", [HealthState.UNKNOWN, HealthState.PAUSED, HealthState.BUSY_NOT_RESPONDING])
async def test_a_kernel_that_is_not_known_to_be_well_is_kept(culler: Culler, world: World, health: HealthState) -> None:
    world.health, world.idle = health, timedelta(days=30)
    await culler.run_once()
    await go_on(culler, world, 20 * MINUTE)
    assert world.ended == []


async def test_a_stuck_kernel_ends_after_the_long_limit_seen_by_this_hub(culler: Culler, world: World) -> None:
    world.state, world.health = KernelState.BUSY, HealthState.STUCK
    await culler.run_once()
    await go_on(culler, world, timedelta(hours=23, minutes=59))
    assert world.ended == []
    await go_on(culler, world, 3 * MINUTE)
    assert len(world.ended) == 1 and "stuck for 24 h" in world.ended[0][1]


async def test_a_kernel_that_was_used_a_moment_ago_is_not_shut(culler: Culler, world: World) -> None:
    world.idle = timedelta(hours=2)
    await culler.run_once()
    world.meanwhile = KernelState.BUSY
    await go_on(culler, world, 11 * MINUTE)
    assert world.ended == []


async def test_use_takes_a_warning_back_and_the_next_one_begins_anew(
    culler: Culler, world: World, store: Store
) -> None:
    world.idle = timedelta(hours=2)
    await culler.run_once()
    world.state, world.idle = KernelState.BUSY, timedelta(0)
    await go_on(culler, world, MINUTE)
    world.state, world.idle = KernelState.IDLE, timedelta(minutes=55)
    await culler.run_once()
    actions = [event.action for event in await recorded(store, "culling.")]
    assert actions == ["culling.warned", "culling.withdrawn", "culling.warned"] and len(world.told) == 3
    await go_on(culler, world, 9 * MINUTE)
    assert world.ended == []


async def test_a_hub_that_starts_anew_warns_anew(
    culler: Culler, world: World, store: Store, clock: ManualClock, data_dir: Path
) -> None:
    world.idle = timedelta(days=2)
    await culler.run_once()
    await go_on(culler, world, 9 * MINUTE)
    anew = make_culler(store, clock, world, data_dir)
    await anew.run_once()
    await go_on(anew, world, 9 * MINUTE)
    assert world.ended == []
    await go_on(anew, world, 2 * MINUTE)
    assert len(world.ended) == 1


async def test_a_hub_that_did_not_look_for_a_while_warns_anew(culler: Culler, world: World) -> None:
    world.idle = timedelta(days=2)
    await culler.run_once()
    await go_on(culler, world, timedelta(hours=1), step=timedelta(minutes=11))
    assert world.ended == [], "each look came after a gap, so no warning ever stood long enough"


async def test_a_wall_clock_that_jumps_ends_nobody(culler: Culler, world: World, clock: ManualClock) -> None:
    world.idle = timedelta(minutes=30)
    await culler.run_once()
    for days in (1, -2, 30):
        clock.jump(timedelta(days=days))
        await go_on(culler, world, 3 * MINUTE)
    assert world.ended == [] and world.stopped == []


async def test_an_agent_that_was_silent_begins_the_warning_anew(culler: Culler, world: World) -> None:
    world.idle = timedelta(hours=2)
    await culler.run_once()
    await go_on(culler, world, 9 * MINUTE)
    world.silent = True
    await go_on(culler, world, MINUTE)
    world.silent = False
    await go_on(culler, world, 9 * MINUTE)
    assert world.ended == []


async def test_work_in_the_background_is_use_until_it_ends(culler: Culler, world: World) -> None:
    world.idle, world.cpu = timedelta(hours=5), 0.4
    await culler.run_once()
    await go_on(culler, world, 30 * MINUTE)
    world.cpu = 0.01
    await go_on(culler, world, 49 * MINUTE)
    assert world.told == [], "from its end on it is idle"
    await go_on(culler, world, 13 * MINUTE)
    assert len(world.ended) == 1


async def test_an_end_is_put_off_by_so_much_so_often_and_no_more(
    culler: Culler, world: World, store: Store, clock: ManualClock, ada: User
) -> None:
    postponing = Postponing(store, culler, clock)
    with pytest.raises(Conflict, match="once warned"):
        await culler.run_once()
        await postponing.postpone(world.workspace.id, K, ada.id)
    world.idle = timedelta(hours=1)
    await culler.run_once()
    for number in range(1, 4):
        with pytest.raises(BadRequest):
            await postponing.postpone(world.workspace.id, K, ada.id, by=timedelta(hours=2))
        decision = await postponing.postpone(world.workspace.id, K, ada.id)
        assert decision.facts.standing.times == number and not decision.is_warned
        assert decision.due_in is not None and decision.due_in >= timedelta(hours=1)
        await go_on(culler, world, 61 * MINUTE)
    assert world.ended == []
    with pytest.raises(Conflict, match="3 times already"):
        await postponing.postpone(world.workspace.id, K, ada.id)
    await go_on(culler, world, 12 * MINUTE)
    assert len(world.ended) == 1
    events = await recorded(store, "culling.postponed")
    assert [event.details["times"] for event in events] == [1, 2, 3] and events[0].actor == ada.id


async def test_a_promise_outlives_the_hub_and_a_jump_of_its_clock(
    culler: Culler, world: World, store: Store, clock: ManualClock, data_dir: Path, ada: User
) -> None:
    world.idle = timedelta(hours=2)
    await culler.run_once()
    await Postponing(store, culler, clock).postpone(world.workspace.id, K, ada.id)
    anew = make_culler(store, clock, world, data_dir)
    await anew.run_once()
    clock.jump(timedelta(days=1))
    await go_on(anew, world, 59 * MINUTE)
    assert world.ended == [], "it was put off by an hour, and it is not over"


async def test_use_gives_all_postponements_back(
    culler: Culler, world: World, store: Store, clock: ManualClock, ada: User
) -> None:
    world.idle = timedelta(hours=2)
    await culler.run_once()
    await Postponing(store, culler, clock).postpone(world.workspace.id, K, ada.id)
    await go_on(culler, world, MINUTE)
    world.idle = timedelta(seconds=5)
    await culler.run_once()
    async with store.reading() as unit:
        assert await unit.culling.find_postponement(world.workspace.id, K, Rule.KERNEL_IDLE) is None


async def test_what_a_profile_a_group_and_a_user_say_holds_at_the_next_look(
    culler: Culler, world: World, store: Store, clock: ManualClock, ada: User
) -> None:
    world.idle = timedelta(hours=2)
    async with store.unit() as unit:
        rules = StoredRules(ada.id, None, False, {"kernel_idle": "PT3H"}, clock.now(), "root")
        await unit.culling.save_rules(rules)
    decision = (await culler.run_once())[0]
    assert (decision.action, decision.due_in) == (Action.KEEP, timedelta(hours=1))
    assert decision.facts.source == "an administrator, for this user"


async def test_a_container_that_is_too_old_ends_at_a_rest_and_the_wall_clock_ages_nobody(
    culler: Culler, world: World, clock: ManualClock
) -> None:
    world.workspace = replace(world.workspace, started_at=clock.now() - timedelta(days=6))
    world.state = KernelState.BUSY
    await culler.run_once()
    clock.jump(timedelta(days=3))
    await go_on(culler, world, timedelta(hours=25))
    assert world.stopped == [] and world.told == []
    world.state, world.idle = KernelState.IDLE, timedelta(0)
    await go_on(culler, world, 9 * MINUTE)
    assert world.stopped == []
    await go_on(culler, world, 3 * MINUTE)
    assert len(world.stopped) == 1 and world.stopped[0].endswith("the limit is 7 d")


async def test_an_empty_container_is_stopped_after_the_limit_and_not_before(culler: Culler, world: World) -> None:
    world.state = None
    await culler.run_once()
    await go_on(culler, world, 9 * MINUTE)
    assert world.stopped == []
    await go_on(culler, world, 2 * MINUTE)
    assert world.stopped == ["empty for 10 min, the limit is 10 min"]


async def test_a_container_is_empty_only_from_the_end_of_its_programs_on(culler: Culler, world: World) -> None:
    world.state, world.jobs = None, [JobInfo(K, "git_pull", 0.0)]
    await go_on(culler, world, 27 * MINUTE)
    world.jobs = [JobInfo(K, "git_pull", 0.0, exit_status=0)]
    await culler.run_once()
    await go_on(culler, world, 9 * MINUTE)
    assert world.stopped == []
    await go_on(culler, world, 2 * MINUTE)
    assert world.stopped == ["empty for 10 min, the limit is 10 min"]


async def test_a_silent_agent_culls_nobody_and_starts_the_count_anew(culler: Culler, world: World) -> None:
    world.state = None
    await culler.run_once()
    await go_on(culler, world, 9 * MINUTE)
    world.silent = True
    await culler.run_once()
    world.silent = False
    await go_on(culler, world, 9 * MINUTE)
    assert world.stopped == [] and world.looked == 1


async def test_a_terminal_in_use_holds_its_container_and_a_forgotten_one_does_not(culler: Culler, world: World) -> None:
    world.state, world.terminal_idle = None, 30.0
    await go_on(culler, world, timedelta(hours=1))
    assert world.stopped == []
    world.terminal_idle = 7200.0
    await go_on(culler, world, 11 * MINUTE)
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


@dataclass
class Freezing:
    """As the freezer."""

    can_pause: bool = True
    quiet: timedelta | None = None
    paused: list[tuple[timedelta, str]] = field(default_factory=list)

    async def pause_soon(self, workspace_id: WorkspaceId, at_rest: timedelta, reason: str = "") -> None:
        self.paused.append((at_rest, reason))

    def quiet_for(self, workspace_id: WorkspaceId) -> timedelta | None:
        return self.quiet


async def test_what_rests_is_paused_and_after_a_thaw_the_time_begins_anew(
    store: Store, clock: ManualClock, world: World, data_dir: Path
) -> None:
    culler = make_culler(store, clock, world, data_dir, Culling(pause_after=10 * MINUTE))
    culler._pausing = culler._acting._pausing = freezing = Freezing()
    await go_on(culler, world, 9 * MINUTE)
    assert freezing.paused == []
    await go_on(culler, world, MINUTE)
    assert freezing.paused[0] == (10 * MINUTE, "nothing happened for 10 min")
    freezing.paused, freezing.quiet = [], MINUTE  # it was thawed, and used by nobody's cell
    await culler.run_once()
    assert freezing.paused == []


async def test_nothing_is_paused_where_the_spawner_cannot(
    store: Store, clock: ManualClock, world: World, data_dir: Path
) -> None:
    culler = make_culler(store, clock, world, data_dir, Culling(pause_after=10 * MINUTE))
    culler._pausing = culler._acting._pausing = freezing = Freezing(can_pause=False)
    await go_on(culler, world, 30 * MINUTE)
    assert freezing.paused == []
    assert all(decision.action is Action.KEEP for decision in await culler.run_once())


async def test_a_paused_kernel_whose_agent_is_not_asked_grows_idle_and_is_shut(
    store: Store, clock: ManualClock, world: World, data_dir: Path
) -> None:
    culler = make_culler(store, clock, world, data_dir, CULLING)
    world.workspace = replace(world.workspace, paused_at=clock.now())
    world.health = HealthState.PAUSED
    await go_on(culler, world, 59 * MINUTE)
    assert world.ended == [] and culler.warned(world.workspace.user_id)
    await go_on(culler, world, 3 * MINUTE)
    assert [action for action, _ in world.ended] == ["kernel.culled"]
