"""The contract of every Spawner: the fake, local processes, and a Docker Engine, bare and behind a spawner."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hub.domain.ids import WorkspaceId, new_id
from hub.errors import Conflict, EngineSilent, ImageMissing, SpawnerRefused, StartFailed
from hub.spawn.protocol import Observation, Presence, Spawner, WorkspaceSpec
from tests.contract.spawner_worlds import (
    World,
    docker_world,
    fake_world,
    process_world,
    remote_world,
    silent_worlds,
)
from tests.integration.images import minimal_image


@pytest.fixture(scope="session")
def contract_image() -> str:
    return minimal_image()


DOCKER = pytest.param("docker", marks=pytest.mark.docker)
REMOTE = pytest.param("remote", marks=pytest.mark.docker)


@pytest.fixture(params=["fake", "process", DOCKER, REMOTE])
async def world(request: pytest.FixtureRequest, data_dir: Path) -> AsyncIterator[World]:
    if request.param == "docker":
        made = docker_world(data_dir, request.getfixturevalue("contract_image"))
    elif request.param == "remote":
        made = await remote_world(data_dir, request.getfixturevalue("contract_image"))
    else:
        made = {"fake": fake_world, "process": process_world}[request.param](data_dir)
    yield made
    await made.clean()


async def test_a_started_workspace_runs_and_is_in_the_inventory(world: World) -> None:
    spec = world.spec()
    container_id = await world.spawner.start(spec)
    seen = await world.spawner.state(spec.workspace_id)
    assert (seen.presence, seen.container_id) == (Presence.RUNNING, container_id)
    assert seen in await world.spawner.inventory()


async def test_starting_what_runs_gives_the_same_container(world: World) -> None:
    spec = world.spec()
    first = await world.spawner.start(spec)
    assert await world.spawner.start(spec) == first
    assert len(await world.spawner.inventory()) == 1


async def test_starting_twice_at_once_makes_one_container(world: World) -> None:
    spec = world.spec()
    first, second = await asyncio.gather(world.spawner.start(spec), world.spawner.start(spec))
    assert first == second
    assert len(await world.spawner.inventory()) == 1


async def test_an_image_has_an_id_that_stays_while_the_image_is_the_same(world: World) -> None:
    first = await world.spawner.image_id(world.image)
    assert first and await world.again().image_id(world.image) == first


@pytest.mark.parametrize("world", ["fake", DOCKER, REMOTE], indirect=True)
async def test_the_images_that_are_there_have_names(world: World) -> None:
    assert world.image in await world.spawner.image_names()


async def test_a_workspace_nobody_started_is_absent(world: World) -> None:
    seen = await world.spawner.state(WorkspaceId(new_id()))
    assert seen.presence is Presence.ABSENT
    assert await world.spawner.inventory() == []


async def test_a_stopped_workspace_is_absent_and_the_others_run_on(world: World) -> None:
    stays, goes = world.spec(), world.spec()
    await world.spawner.start(stays)
    await world.spawner.start(goes)
    await world.spawner.stop(goes.workspace_id)
    assert (await world.spawner.state(goes.workspace_id)).presence is Presence.ABSENT
    assert [seen.workspace_id for seen in await world.spawner.inventory()] == [stays.workspace_id]


async def test_stopping_what_is_not_there_is_fine(world: World) -> None:
    await world.spawner.stop(WorkspaceId(new_id()))


async def test_a_killed_workspace_has_exited_with_a_reason_in_words(world: World) -> None:
    spec = world.spec()
    container_id = await world.spawner.start(spec)
    world.kill(spec.workspace_id)
    seen = await exited(world.spawner, spec.workspace_id)
    assert seen.container_id == container_id
    assert re.search("killed (from outside|through the container engine)", seen.reason or "")
    assert seen in await world.spawner.inventory()


async def test_an_exited_workspace_starts_anew(world: World) -> None:
    spec = world.spec()
    first = await world.spawner.start(spec)
    world.kill(spec.workspace_id)
    await exited(world.spawner, spec.workspace_id)
    second = await world.spawner.start(spec)
    assert second != first
    assert (await world.spawner.state(spec.workspace_id)).container_id == second


async def test_a_restarted_hub_finds_its_workspaces_again(world: World) -> None:
    spec = world.spec()
    container_id = await world.spawner.start(spec)
    await world.spawner.close()
    after = world.spawner = world.again()
    assert [seen.container_id for seen in await after.inventory()] == [container_id]
    assert await after.start(spec) == container_id
    await after.stop(spec.workspace_id)
    assert await after.inventory() == []


async def test_a_start_that_fails_says_why_and_leaves_nothing_behind(world: World) -> None:
    spec = world.fail(world.spec(), "the moon is in the wrong phase")
    with pytest.raises(StartFailed, match="the moon is in the wrong phase"):
        await world.spawner.start(spec)
    assert (await world.spawner.state(spec.workspace_id)).presence is Presence.ABSENT
    assert await world.spawner.inventory() == []


@pytest.mark.parametrize("world", ["fake", DOCKER, REMOTE], indirect=True)
async def test_an_image_that_is_not_there_is_named(world: World) -> None:
    with pytest.raises(ImageMissing, match="no/such-image:1"):
        await world.spawner.start(replace(world.spec(), image="no/such-image:1"))
    with pytest.raises(ImageMissing, match="no/such-image:1"):
        await world.spawner.image_id("no/such-image:1")
    assert await world.spawner.inventory() == []


@pytest.mark.parametrize("world", ["fake", DOCKER, REMOTE], indirect=True)
async def test_a_paused_workspace_runs_and_is_known_to_be_paused(world: World) -> None:
    assert world.spawner.can_pause
    spec = world.spec()
    container_id = await world.spawner.start(spec)
    assert await world.spawner.reclaim(spec.workspace_id) == 0
    for _ in "once", "twice":
        await world.spawner.pause(spec.workspace_id)
        seen = Observation(spec.workspace_id, Presence.RUNNING, container_id, is_paused=True)
        assert await world.spawner.state(spec.workspace_id) == seen
        assert await world.again().inventory() == [seen]
    assert await world.spawner.reclaim(spec.workspace_id) >= 0
    for _ in "once", "twice":
        await world.spawner.thaw(spec.workspace_id)
        seen = Observation(spec.workspace_id, Presence.RUNNING, container_id)
        assert await world.spawner.state(spec.workspace_id) == seen
        assert await world.again().inventory() == [seen]


@pytest.mark.parametrize("world", ["fake", DOCKER, REMOTE], indirect=True)
async def test_starting_what_is_paused_thaws_it(world: World) -> None:
    spec = world.spec()
    first = await world.spawner.start(spec)
    await world.spawner.pause(spec.workspace_id)
    assert await world.spawner.start(spec) == first
    assert await world.spawner.state(spec.workspace_id) == Observation(spec.workspace_id, Presence.RUNNING, first)


@pytest.mark.parametrize("world", ["fake", DOCKER, REMOTE], indirect=True)
async def test_what_was_killed_while_it_was_paused_has_ended_and_starts_anew(world: World) -> None:
    spec = world.spec()
    first = await world.spawner.start(spec)
    await world.spawner.pause(spec.workspace_id)
    world.kill(spec.workspace_id)
    seen = await exited(world.spawner, spec.workspace_id)
    assert (seen.container_id, seen.is_paused) == (first, False)
    for question in (world.spawner.pause, world.spawner.thaw):
        with pytest.raises(Conflict):
            await question(spec.workspace_id)
    second = await world.spawner.start(spec)
    assert await world.spawner.state(spec.workspace_id) == Observation(spec.workspace_id, Presence.RUNNING, second)


async def test_what_does_not_run_can_neither_be_paused_nor_thawed(world: World) -> None:
    nobody = WorkspaceId(new_id())
    for question in (world.spawner.pause, world.spawner.thaw):
        with pytest.raises(Conflict):
            await question(nobody)
    assert await world.spawner.reclaim(nobody) == 0


@pytest.mark.parametrize("world", ["process"], indirect=True)
async def test_local_processes_cannot_be_paused_and_say_so(world: World) -> None:
    spec = world.spec()
    container_id = await world.spawner.start(spec)
    assert not world.spawner.can_pause
    with pytest.raises(Conflict, match="Local processes cannot be paused"):
        await world.spawner.pause(spec.workspace_id)
    await world.spawner.thaw(spec.workspace_id)
    assert await world.spawner.reclaim(spec.workspace_id) == 0
    seen = Observation(spec.workspace_id, Presence.RUNNING, container_id)
    assert await world.spawner.state(spec.workspace_id) == seen


@pytest.mark.parametrize("world", [DOCKER, REMOTE], indirect=True)
async def test_a_paused_workspace_is_silent_and_goes_on_with_what_it_had_in_memory(world: World) -> None:
    spec = world.spec()
    await world.spawner.start(spec)
    variable = await word_of(spec)
    await world.spawner.pause(spec.workspace_id)
    with pytest.raises(TimeoutError):
        await word_of(spec, 0.2)
    await asyncio.gather(*(world.spawner.thaw(spec.workspace_id) for _ in range(5)))
    assert await word_of(spec) == variable


@pytest.mark.parametrize("world", [DOCKER, REMOTE], indirect=True)
async def test_a_paused_workspace_that_is_stopped_may_end_by_itself(world: World) -> None:
    spec = world.spec()
    await world.spawner.start(spec)
    await world.spawner.pause(spec.workspace_id)
    await world.spawner.stop(spec.workspace_id, grace_seconds=10.0)
    assert (spec.run_folder / "ended").exists()
    assert (await world.spawner.state(spec.workspace_id)).presence is Presence.ABSENT


@pytest.mark.parametrize("world", [DOCKER, REMOTE], indirect=True)
async def test_pauses_and_thaws_at_once_leave_it_as_the_last_one_says(world: World) -> None:
    spec = world.spec()
    await world.spawner.start(spec)
    pauses = (world.spawner.pause(spec.workspace_id) for _ in range(4))
    thaws = (world.spawner.thaw(spec.workspace_id) for _ in range(4))
    await asyncio.gather(*(turn for both in zip(pauses, thaws, strict=True) for turn in both))
    await world.spawner.thaw(spec.workspace_id)
    assert not (await world.spawner.state(spec.workspace_id)).is_paused
    await word_of(spec)


@pytest.mark.docker
async def test_what_is_just_being_started_is_not_paused(data_dir: Path, contract_image: str) -> None:
    world = docker_world(data_dir, contract_image)
    spec = world.spec()
    starting = asyncio.ensure_future(world.spawner.start(spec))
    await asyncio.sleep(0)
    with pytest.raises(Conflict, match="just being started"):
        await world.spawner.pause(spec.workspace_id)
    await starting
    await world.spawner.pause(spec.workspace_id)
    await world.clean()


@pytest.mark.docker
async def test_the_container_of_another_hub_is_neither_paused_nor_thawed(data_dir: Path, contract_image: str) -> None:
    (data_dir / "other").mkdir()
    owner, stranger = (docker_world(folder, contract_image) for folder in (data_dir, data_dir / "other"))
    spec = owner.spec()
    await owner.spawner.start(spec)
    with pytest.raises(SpawnerRefused, match="not one of this hub's"):
        await stranger.spawner.pause(spec.workspace_id)
    await word_of(spec)
    await owner.spawner.pause(spec.workspace_id)
    for question in (stranger.spawner.thaw, stranger.spawner.reclaim, stranger.spawner.stop):
        with pytest.raises(SpawnerRefused, match="not one of this hub's"):
            await question(spec.workspace_id)
    assert (await owner.spawner.state(spec.workspace_id)).is_paused
    for world in (stranger, owner):
        await world.clean()


async def test_a_spawner_that_answers_can_be_pinged(world: World) -> None:
    await world.spawner.ping()


@pytest.mark.parametrize("kind", ["fake", "docker", "remote"])
async def test_a_silent_engine_is_said_and_nothing_else(kind: str, data_dir: Path) -> None:
    spawner = silent_worlds(data_dir)[kind]
    spec = fake_world(data_dir).spec()
    for question in (
        lambda: spawner.ping(),
        lambda: spawner.inventory(),
        lambda: spawner.state(spec.workspace_id),
        lambda: spawner.start(spec),
        lambda: spawner.stop(spec.workspace_id),
        lambda: spawner.pause(spec.workspace_id),
        lambda: spawner.thaw(spec.workspace_id),
        lambda: spawner.reclaim(spec.workspace_id),
    ):
        with pytest.raises(EngineSilent):
            await question()
    await spawner.close()


async def exited(spawner: Spawner, workspace_id: WorkspaceId) -> Observation:
    """The observation of a workspace whose end was caused a moment ago."""
    async with asyncio.timeout(10):
        while (seen := await spawner.state(workspace_id)).presence is Presence.RUNNING:
            await asyncio.sleep(0.01)
    assert seen.presence is Presence.EXITED
    return seen


async def word_of(spec: WorkspaceSpec, seconds: float = 10.0) -> str:
    """What the stub of a workspace has in memory since its start. Raises TimeoutError while it is frozen."""

    def ask() -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(str(spec.run_folder / "agent.sock"))
            return connection.recv(64).decode()

    return await asyncio.to_thread(ask)
