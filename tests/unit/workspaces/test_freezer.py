"""hub.workspaces.freezer: the order of a pause and of a thaw, and everything that comes between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hub.domain.kernels import KernelState
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import Conflict, EngineSilent, StartFailed
from hub.store.engine import Store
from hub.workspaces.differences import Kind
from hub.workspaces.freezer import Freezer, remembered
from proxy.contract.activity import ActivityReport, OpenConnection
from proxy.kit.clock import ManualClock
from tests.unit.workspaces.reconcile_world import World

REST = timedelta(0)


@pytest.fixture
async def world(store: Store, clock: ManualClock, data_dir: Path) -> AsyncIterator[World]:
    world = World(store, clock, data_dir)
    world.hub.reconciler.end_quiet()
    yield world
    await world.close()


@pytest.fixture
async def ada(world: World) -> Workspace:
    """A container in which nothing happens."""
    return await world.running()


def is_frozen(world: World, workspace: Workspace) -> bool:
    return world.spawner.containers[workspace.id].is_paused


async def is_paused(world: World, workspace: Workspace) -> bool:
    row = await world.row(workspace)
    return row is not None and row.paused_at is not None


def asked(world: World, what: str) -> int:
    return sum(call[0] == what for call in world.spawner.calls)


def report(world: World, workspace: Workspace, *paused: str) -> None:
    """A proxy tells of a connection, and of what it takes for paused."""
    connection = OpenConnection("sign-in", workspace.id, "k", 1)
    freezer_of(world)._connections.report(ActivityReport("p", [connection], paused=list(paused)))


def freezer_of(world: World) -> Freezer:
    return world.hub.freezer


async def test_a_pause_freezes_and_a_thaw_lets_go_on_and_both_are_recorded(world: World, ada: Workspace) -> None:
    assert await freezer_of(world).pause(ada.id, REST)
    assert is_frozen(world, ada) and await is_paused(world, ada)
    assert world.agents.is_held(ada.id) and freezer_of(world).paused() == {ada.id}
    world.clock.advance(timedelta(minutes=5))
    await freezer_of(world).thaw(ada.id, "message")
    assert not is_frozen(world, ada) and not await is_paused(world, ada)
    assert not world.agents.is_held(ada.id) and freezer_of(world).paused() == frozenset()
    async with world.store.reading() as unit:
        thawed, paused, *_ = await unit.audit.list(2, action_prefix="workspace.")
    assert (paused.action, thawed.action) == ("workspace.paused", "workspace.thawed")
    assert (thawed.details["paused_seconds"], thawed.details["why"]) == (300.0, "message")


async def test_a_hundred_thaws_at_once_are_one_question_to_the_engine(world: World, ada: Workspace) -> None:
    await freezer_of(world).pause(ada.id, REST)
    await asyncio.gather(*(freezer_of(world).thaw(ada.id, "message") for _ in range(100)))
    assert asked(world, "thaw") == 1 and not is_frozen(world, ada)


async def test_one_that_runs_is_thawed_already(world: World, ada: Workspace) -> None:
    await freezer_of(world).thaw(ada.id, "message")
    assert asked(world, "thaw") == 0


async def test_it_is_not_frozen_before_every_proxy_has_said_that_it_knows(world: World, ada: Workspace) -> None:
    report(world, ada)
    pause = asyncio.create_task(freezer_of(world).pause(ada.id, REST))
    await asyncio.sleep(0.25)
    assert freezer_of(world).paused() == {ada.id}, "the proxies are told"
    assert asked(world, "pause") == 0 and not await is_paused(world, ada)
    report(world, ada, ada.id)
    assert await pause and is_frozen(world, ada)


async def test_a_message_while_the_proxies_are_told_ends_the_pause(world: World, ada: Workspace) -> None:
    report(world, ada)
    pause = asyncio.create_task(freezer_of(world).pause(ada.id, REST))
    await asyncio.sleep(0.05)
    await freezer_of(world).thaw(ada.id, "message")
    assert not await pause
    assert asked(world, "pause") == 0 and freezer_of(world).paused() == frozenset()


async def test_a_proxy_that_does_not_come_to_know_prevents_a_pause(
    world: World, ada: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.workspaces.freezer.KNOW_SECONDS", 0.0)
    report(world, ada)
    assert not await freezer_of(world).pause(ada.id, REST)
    assert freezer_of(world).paused() == frozenset() and not world.agents.is_held(ada.id)


async def test_a_kernel_that_was_used_meanwhile_is_not_frozen(world: World, ada: Workspace) -> None:
    model = await world.hub.kernels.start(await world.user("ada"), None)
    kernels = world.agents.of(ada.id)
    kernels[model.kernel.id] = replace(kernels[model.kernel.id], state=KernelState.BUSY)
    assert not await freezer_of(world).pause(ada.id, REST)
    kernels[model.kernel.id] = replace(kernels[model.kernel.id], state=KernelState.IDLE)
    assert not await freezer_of(world).pause(ada.id, timedelta(minutes=1))
    world.clock.advance(timedelta(minutes=1))
    assert await freezer_of(world).pause(ada.id, timedelta(minutes=1))


async def test_what_was_asked_for_a_moment_ago_is_not_frozen(world: World, ada: Workspace) -> None:
    await freezer_of(world).open(ada)
    assert not await freezer_of(world).pause(ada.id, REST)
    world.clock.advance(timedelta(seconds=6))
    assert await freezer_of(world).pause(ada.id, REST)


async def test_a_container_that_cannot_be_frozen_goes_on(
    world: World, ada: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (Conflict("it is being started"), StartFailed("the spawner failed")):

        async def refuse(_: str, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(world.spawner, "pause", refuse)
        assert not await freezer_of(world).pause(ada.id, REST)
        assert not await is_paused(world, ada) and not world.agents.is_held(ada.id)


async def test_an_engine_that_fell_silent_may_have_frozen_it_and_the_next_thaw_finds_out(
    world: World, ada: Workspace
) -> None:
    world.spawner.next_fault = "lost"
    with pytest.raises(EngineSilent):
        await freezer_of(world).pause(ada.id, REST)
    assert await is_paused(world, ada) and world.agents.is_held(ada.id)
    world.spawner.silent = True
    with pytest.raises(EngineSilent):
        await freezer_of(world).thaw(ada.id, "message")
    assert await is_paused(world, ada), "it is still to be thawed"
    world.spawner.silent = False
    await freezer_of(world).thaw(ada.id, "message")
    assert not is_frozen(world, ada) and not await is_paused(world, ada)


async def test_a_container_that_ended_while_it_was_paused_is_known_to_be_gone(world: World, ada: Workspace) -> None:
    await freezer_of(world).pause(ada.id, REST)
    world.spawner.end(ada.id)
    with pytest.raises(Conflict):
        await freezer_of(world).thaw(ada.id, "message")
    row = await world.row(ada)
    assert row is not None and (row.state, row.paused_at) == (WorkspaceState.STOPPED, None)
    assert not world.agents.is_held(ada.id)


async def test_a_stop_thaws_first_so_that_the_agent_has_its_grace(world: World, ada: Workspace) -> None:
    await freezer_of(world).pause(ada.id, REST)
    await world.hub.workspaces.stop(ada.id, "its user asked for it")
    order = [call[0] for call in world.spawner.calls if call[0] in ("pause", "thaw", "stop")]
    assert order == ["pause", "thaw", "stop"]
    assert freezer_of(world).paused() == frozenset() and not world.agents.is_held(ada.id)


async def test_a_hub_that_starts_anew_holds_what_is_paused_and_lets_it_go_on(world: World, ada: Workspace) -> None:
    await freezer_of(world).pause(ada.id, REST)
    await world.restart()
    assert world.agents.is_held(ada.id) and freezer_of(world).paused() == {ada.id}
    await world.hub.kernels.start(await world.user("ada"), None)
    assert not is_frozen(world, ada) and not await is_paused(world, ada)


async def test_the_engine_s_word_wins_over_the_row(world: World, ada: Workspace) -> None:
    await world.spawner.pause(ada.id)
    found = await world.hub.reconciler.run_once()
    assert found.settled == {Kind.FOUND_PAUSED: 1} and await is_paused(world, ada) and world.agents.is_held(ada.id)
    await world.spawner.thaw(ada.id)
    found = await world.hub.reconciler.run_once()
    assert found.settled == {Kind.FOUND_THAWED: 1} and not await is_paused(world, ada)
    assert not world.agents.is_held(ada.id) and freezer_of(world).paused() == frozenset()
    assert len(await world.audited("workspace.paused")) == len(await world.audited("workspace.thawed")) == 1


async def test_memory_that_was_given_back_is_recorded_with_the_thaw(world: World, ada: Workspace) -> None:
    world.spawner.spare_bytes = 5_000_000
    await freezer_of(world).pause(ada.id, REST)
    await asyncio.gather(*list(freezer_of(world)._tasks._tasks))
    await freezer_of(world).thaw(ada.id, "message")
    async with world.store.reading() as unit:
        [thawed] = await unit.audit.list(1, action_prefix="workspace.thawed")
    assert thawed.details["given_back_bytes"] == 5_000_000


async def test_what_is_remembered_of_a_paused_kernel_is_its_row_idle_since_the_pause(
    world: World, ada: Workspace
) -> None:
    await world.hub.kernels.start(await world.user("ada"), None)
    paused_at = world.clock.now()
    world.clock.advance(timedelta(minutes=3))
    live = remembered(paused_at, await world.kernel_rows(), world.clock)
    [kernel] = live.kernels.values()
    assert (kernel.idle_for, live.is_told) == (timedelta(minutes=3), False)
