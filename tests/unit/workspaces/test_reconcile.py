"""Reconciliation: what is adopted, what is ended after a time of grace, and what is left alone."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hub.domain.ids import KernelId, UserId, WorkspaceId, new_id, new_uuid
from hub.domain.kernels import Kernel, KernelState
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import EngineSilent, StartFailed
from hub.spawn.protocol import Observation, Presence
from hub.store.engine import Store
from hub.workspaces.differences import Kind, Patience, Suspicions, compare
from hub.workspaces.probes import LEFTOVER_AGE, new_probe_id
from hub.workspaces.rounds import Outcome, Round, Rounds
from proxy.kit.clock import ManualClock
from tests.unit.workspaces.reconcile_world import World, stray

LIMITS = Limits(None, None, None)


def workspace(state: WorkspaceState, name: str = "w") -> Workspace:
    return Workspace(WorkspaceId(name), UserId("u"), "p", state, "image", LIMITS)


def seen(presence: Presence, name: str = "w") -> Observation:
    return Observation(WorkspaceId(name), presence, "c" if presence is Presence.RUNNING else None)


@pytest.fixture
async def world(store: Store, clock: ManualClock, data_dir: Path) -> AsyncIterator[World]:
    world = World(store, clock, data_dir)
    await world.hub.reconciler.run_once()
    world.hub.reconciler.end_quiet()
    yield world
    await world.close()


# ---- the comparison


def test_agreement_is_no_difference() -> None:
    rows = [workspace(WorkspaceState.RUNNING, "a"), workspace(WorkspaceState.STOPPED, "b")]
    assert compare(rows, [seen(Presence.RUNNING, "a")], [WorkspaceId("a")]) == []


@pytest.mark.parametrize(
    ("state", "presence", "kind"),
    [
        (WorkspaceState.STOPPED, Presence.RUNNING, Kind.FOUND_RUNNING),
        (WorkspaceState.STOPPED, Presence.EXITED, Kind.LEFTOVER),
        (WorkspaceState.RUNNING, Presence.EXITED, Kind.FOUND_GONE),
        (WorkspaceState.RUNNING, Presence.ABSENT, Kind.FOUND_GONE),
        (WorkspaceState.STARTING, Presence.RUNNING, Kind.FOUND_RUNNING),
        (WorkspaceState.STARTING, Presence.ABSENT, Kind.FOUND_GONE),
        (WorkspaceState.STOPPING, Presence.RUNNING, Kind.UNFINISHED_STOP),
        (WorkspaceState.STOPPING, Presence.ABSENT, Kind.FOUND_GONE),
        (WorkspaceState.UNKNOWN, Presence.RUNNING, Kind.FOUND_RUNNING),
        (WorkspaceState.UNKNOWN, Presence.EXITED, Kind.FOUND_GONE),
    ],
)
def test_what_each_state_and_word_mean(state: WorkspaceState, presence: Presence, kind: Kind) -> None:
    inventory = [] if presence is Presence.ABSENT else [seen(presence)]
    assert [each.kind for each in compare([workspace(state)], inventory, [])] == [kind]
    assert compare([workspace(state)], inventory, [], moving=["w"]) == [], "this hub is at it"


def test_what_has_no_row_has_no_owner_but_for_what_is_looked_after_elsewhere() -> None:
    names = [WorkspaceId(name) for name in ("folder", "verify-1", "probe")]
    found = compare([], [seen(Presence.RUNNING, "stray"), seen(Presence.EXITED, "verify-2")], names, is_probe=["probe"])
    assert {(each.kind, each.subject) for each in found} == {
        (Kind.UNOWNED_CONTAINER, "stray"),
        (Kind.UNOWNED_FOLDER, "folder"),
        (Kind.PROBE, "probe"),
    }


def test_a_suspicion_needs_looks_and_time_and_ends_when_it_is_not_confirmed() -> None:
    suspicions, patience = Suspicions(), Patience(3, 30.0)

    def look(now: float, *, there: bool = True) -> bool:
        suspicions.begin()
        due = there and suspicions.is_due(("a",), patience, now)
        suspicions.end()
        return due

    assert [look(0), look(100), look(101)] == [False, False, True]
    assert [look(102, there=False), look(103), look(104), look(105)] == [False, False, False, False]
    assert look(133)


# ---- workspaces


async def test_a_container_that_runs_is_adopted_also_one_whose_answer_was_lost(world: World) -> None:
    world.spawner.next_fault = "lost"
    with pytest.raises(EngineSilent):
        await world.running()
    await world.rounds()
    [container] = world.spawner.containers.values()
    row = await world.row(await world.running())
    assert row is not None and (row.state, row.container_id) == (WorkspaceState.RUNNING, container.container_id)


async def test_a_container_that_is_gone_is_asked_about_once_more_before_that_is_believed(world: World) -> None:
    running = await world.running()
    container = world.spawner.containers.pop(running.id)
    asked = world.spawner.state

    async def back_meanwhile(workspace_id: WorkspaceId) -> Observation:
        world.spawner.containers[running.id] = container
        return await asked(workspace_id)

    world.spawner.state = back_meanwhile  # type: ignore[method-assign]
    await world.rounds()
    row = await world.row(running)
    assert row is not None and row.state is WorkspaceState.RUNNING


async def test_a_workspace_that_changed_while_the_engine_was_asked_is_left_alone(world: World) -> None:
    running = await world.running()
    del world.spawner.containers[running.id]
    asked = world.spawner.state

    async def started_again(workspace_id: WorkspaceId) -> Observation:
        answer = await asked(workspace_id)
        await world.write(running, container_id="another")
        return answer

    world.spawner.state = started_again  # type: ignore[method-assign]
    done = await world.hub.reconciler.run_once()
    row = await world.row(running)
    assert row is not None and row.state is WorkspaceState.RUNNING and done.settled == {}


async def test_a_silent_engine_changes_nothing_however_long(world: World) -> None:
    running = await world.running()
    world.spawner.containers[WorkspaceId("stray")] = stray("stray")
    world.spawner.silent = True
    await world.rounds(50)
    assert set(world.spawner.containers) == {running.id, "stray"}
    assert world.hub.reconciler.rounds.last is not None
    assert world.hub.reconciler.rounds.last.outcome is Outcome.SILENT
    world.spawner.silent = False
    await world.rounds(2)
    assert set(world.spawner.containers) == {running.id, "stray"}, "time alone is no proof: it must have been seen"


async def test_a_stop_that_nobody_goes_on_with_is_gone_on_with(world: World) -> None:
    running = await world.running()
    await world.write(running, state=WorkspaceState.STOPPING, stop_reason="idle for 20 min")
    await world.restart()
    row = await world.row(running)
    assert row is not None and (row.state, row.stop_reason) == (WorkspaceState.STOPPED, "idle for 20 min")
    assert running.id not in world.spawner.containers


async def test_a_start_that_a_hub_left_in_the_midst_is_adopted_or_taken_back(world: World) -> None:
    ada, ben = await world.running("ada"), await world.running("ben")
    for each in (ada, ben):
        await world.write(each, state=WorkspaceState.STARTING, container_id=None)
    del world.spawner.containers[ben.id]
    await world.restart()
    states = [row.state if (row := await world.row(each)) else None for each in (ada, ben)]
    assert states == [WorkspaceState.RUNNING, WorkspaceState.STOPPED]


async def test_what_another_living_hub_may_be_moving_is_given_time(world: World) -> None:
    running = await world.running()
    other = world.new_hub()
    await other.reconciler.run_once()
    assert other.reconciler.rounds.last is not None and other.reconciler.rounds.last.outcome is Outcome.WATCHING
    await world.write(running, state=WorkspaceState.STARTING, container_id=None)
    del world.spawner.containers[running.id]
    await world.rounds(3)
    row = await world.row(running)
    assert row is not None and row.state is WorkspaceState.STARTING
    await world.rounds(10)
    row = await world.row(running)
    assert row is not None and row.state is WorkspaceState.STOPPED, "the other one must have died at it"
    world.hub.die()
    await other.reconciler.run_once()
    assert other.reconciler.rounds.last.outcome is Outcome.DONE, "it takes over"
    world.hub = other


# ---- what has no owner


async def test_a_container_of_no_workspace_is_ended_after_a_grace_and_that_is_audited(world: World) -> None:
    running = await world.running()
    name = new_id()
    world.spawner.containers[WorkspaceId(name)] = stray(name)
    await world.rounds(8)
    assert set(world.spawner.containers) == {running.id, name}
    await world.rounds(2)
    assert set(world.spawner.containers) == {running.id}
    assert await world.audited("workspace.unowned_ended") == [name]
    await world.require_order()


async def test_a_hub_on_the_wrong_database_ends_nobodys_containers(world: World) -> None:
    for number in range(5):
        world.spawner.containers[WorkspaceId(f"w{number}")] = stray(f"w{number}")
    await world.rounds(20)
    assert len(world.spawner.containers) == 5
    assert world.hub.reconciler.rounds.last is not None
    assert world.hub.reconciler.rounds.last.outcome is Outcome.HELD
    assert world.hub.reconciler.rounds.summary(world.clock.now()).level == "bad"


async def test_what_an_ended_container_left_is_removed_and_its_journals_are_taken_first(world: World) -> None:
    running, taken = await world.running(), []
    fails = [True]

    async def take(workspace_id: WorkspaceId) -> None:
        if fails:
            fails.pop()
            raise OSError("the disk is full")
        assert world.folders.run(workspace_id).is_dir()
        assert workspace_id not in world.spawner.containers
        taken.append(workspace_id)

    world.hub.runner.before_remove = take
    world.spawner.end(running.id)
    await world.rounds(3)
    assert world.folders.run(running.id).is_dir(), "what was not taken stays"
    await world.rounds(3)
    assert taken == [running.id] and not world.folders.run(running.id).exists()
    await world.require_order()


async def test_a_stop_succeeds_also_when_the_journals_cannot_be_taken_yet(world: World) -> None:
    running = await world.running()

    async def refuse(_: WorkspaceId) -> None:
        raise OSError("the disk is full")

    world.hub.runner.before_remove = refuse
    stopped = await world.hub.workspaces.stop(running.id, "its user asked for it")
    assert stopped.state is WorkspaceState.STOPPED and world.folders.run(running.id).is_dir()


async def test_who_starts_a_workspace_that_is_being_cleared_gets_a_container_and_its_folder(world: World) -> None:
    running = await world.running()
    world.spawner.end(running.id)
    await world.rounds(1)

    async def start_now(_: WorkspaceId) -> None:
        world.hub.workspaces.ensure_soon(await world.user("ada"))

    world.hub.runner.before_remove = start_now
    await world.rounds(2)
    assert (await world.running()).state is WorkspaceState.RUNNING
    await world.require_order()


async def test_a_folder_of_nobody_is_removed_after_a_grace(world: World) -> None:
    await world.running()
    name = WorkspaceId(new_id())
    world.folders.prepare_run(await world.user("ada"), name)
    await world.rounds(8)
    assert world.folders.run(name).is_dir()
    await world.rounds(2)
    await world.require_order()


async def test_what_a_probe_left_is_removed_once_it_is_old(world: World) -> None:
    left = new_probe_id(world.clock.now())
    world.spawner.containers[left] = stray(left)
    await world.rounds(1)
    assert left in world.spawner.containers, "it may be under way"
    world.clock.advance(LEFTOVER_AGE)
    await world.rounds(1)
    assert left not in world.spawner.containers


# ---- kernels


async def kernel(world: World, executions: int = 0) -> Kernel:
    model = await world.hub.kernels.start(await world.user("ada"), None)
    if executions:
        world.agents.add(model.kernel.workspace_id, model.kernel.id, executions)
    return model.kernel


async def test_a_kernel_that_its_agent_does_not_have_is_forgotten_after_a_grace(world: World) -> None:
    gone, there = await kernel(world), await kernel(world)
    del world.agents.of(gone.workspace_id)[gone.id]
    await world.rounds(3)
    assert {row.id for row in await world.kernel_rows()} == {gone.id, there.id}
    await world.rounds(3)
    assert [row.id for row in await world.kernel_rows()] == [there.id]
    assert await world.audited("kernel.ended") == [gone.id]


async def test_a_silent_agents_kernels_are_left_alone(world: World) -> None:
    there = await kernel(world)
    world.agents.silent.add(there.workspace_id)
    await world.rounds(20)
    assert [row.id for row in await world.kernel_rows()] == [there.id]


async def test_a_kernel_without_a_row_is_adopted_if_anything_was_run_in_it_and_else_ended(world: World) -> None:
    used = await kernel(world, executions=3)
    async with world.store.unit() as unit:
        await unit.kernels.delete(used.id)
    unused = KernelId(new_uuid())
    world.agents.add(used.workspace_id, unused)
    await world.rounds(6)
    [row] = await world.kernel_rows()
    assert (row.id, row.user_id, row.executions, row.state) == (used.id, used.user_id, 3, KernelState.IDLE)
    assert set(world.agents.of(used.workspace_id)) == {used.id}
    assert await world.audited("kernel.adopted") == [used.id]


async def test_an_agent_cannot_claim_somebody_elses_kernel_nor_invent_ids(world: World) -> None:
    theirs = await kernel(world)
    mine = await world.running("mallory")
    for claimed in (theirs.id, KernelId("../../etc"), KernelId("x" * 36)):
        world.agents.add(mine.id, claimed, executions=1)
    await world.rounds(8)
    assert [(row.id, row.user_id) for row in await world.kernel_rows()] == [(theirs.id, theirs.user_id)]


# ---- what it says, and what it costs


def test_the_rounds_say_what_was_found(clock: ManualClock) -> None:
    rounds = Rounds()
    assert rounds.summary(clock.now()).level == "warn"
    rounds.add(Round(clock.now(), 0.01, Outcome.DONE, {Kind.FOUND_RUNNING: 2, Kind.LEFTOVER: 1}))
    rounds.add(Round(clock.now(), 0.01, Outcome.DONE, {}))
    said = rounds.summary(clock.now())
    assert said.level == "good" and said.recent[0].endswith("2 found running, 1 leftovers removed")
    clock.advance(timedelta(minutes=5))
    assert rounds.summary(clock.now()).level == "bad", "it has stopped to look"


async def test_a_failed_start_leaves_nothing_behind(world: World) -> None:
    ada = await world.user("ada")
    found = await world.hub.workspaces._get_or_add(ada, "datascience")
    world.spawner.fails[found.id] = "the image has no kernel"
    with pytest.raises(StartFailed):
        await world.hub.workspaces.ensure(ada)
    await world.rounds(3)
    await world.require_order()


async def test_a_thousand_workspaces_are_compared_in_a_moment(world: World) -> None:
    first = await world.running()
    async with world.store.unit() as unit:
        user = await world_user(unit, world)
        for number in range(999):
            other = replace(
                first, id=WorkspaceId(new_id()), user_id=user, profile=f"p{number}", container_id=f"c{number}"
            )
            await unit.workspaces.add(other)
            world.spawner.containers[other.id] = stray(other.id, f"c{number}")
            world.folders.run(other.id).mkdir()
    await world.hub.reconciler.run_once()
    began = time.process_time()
    done = await world.hub.reconciler.run_once()
    assert done.settled == {} and done.waiting == 0
    assert time.process_time() - began < 3.0, "seconds of processor time; it takes a tenth of one"


async def world_user(unit: object, world: World) -> UserId:
    from hub.domain.users import Role  # noqa: PLC0415

    added = await unit.users.add("many", Role.USER, world.clock.now())  # type: ignore[attr-defined]
    return UserId(added.id)
