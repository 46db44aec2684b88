"""R4, of containers that are paused: the engine is killed, and with it nothing that is frozen goes on or is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.errors import Conflict, EngineSilent
from hub.spawn.docker import DockerSpawner
from hub.spawn.engine import Engine
from hub.spawn.protocol import Observation, Presence
from tests.contract.spawner_worlds import START_SECONDS, World, docker_world
from tests.contract.test_spawner import word_of
from tests.faults.harness.private_engine import PrivateEngine, private_engine
from tests.integration.images import minimal_image, require_engine

pytestmark = [
    pytest.mark.docker,
    pytest.mark.full_only("an engine of its own has to be made, and an image copied into it"),
]


@pytest.fixture(params=[True, False], ids=["live-restore", "without live-restore"])
def engine(request: pytest.FixtureRequest) -> Iterator[PrivateEngine]:
    require_engine()
    image = minimal_image()
    with private_engine(live_restore=request.param) as engine:
        engine.load(image)
        yield engine


@pytest.fixture
def world(engine: PrivateEngine, data_dir: Path) -> World:
    made = docker_world(data_dir, minimal_image())
    made.again = lambda: DockerSpawner(Engine(engine.url), made.folders, python=None, start_seconds=START_SECONDS)
    made.spawner = made.again()
    return made


async def test_r4_an_engine_that_is_killed_leaves_a_paused_container_paused_or_ends_it_and_says_so(
    engine: PrivateEngine, world: World, request: pytest.FixtureRequest
) -> None:
    spec = world.spec()
    container_id = await world.spawner.start(spec)
    variable = await word_of(spec)
    await world.spawner.pause(spec.workspace_id)
    await asyncio.to_thread(engine.kill)
    for question in (world.spawner.thaw, world.spawner.pause, world.spawner.state, world.spawner.reclaim):
        with pytest.raises(EngineSilent):
            await question(spec.workspace_id)
    await containerd_ended(engine)
    await asyncio.to_thread(engine.start)
    seen = await world.spawner.state(spec.workspace_id)
    if "without" in request.node.callspec.id:
        assert seen.presence is Presence.EXITED and seen.reason
        with pytest.raises(Conflict):
            await world.spawner.thaw(spec.workspace_id)
    else:
        assert seen == Observation(spec.workspace_id, Presence.RUNNING, container_id, is_paused=True)
        await world.spawner.thaw(spec.workspace_id)
        assert await word_of(spec) == variable
        await world.spawner.pause(spec.workspace_id)
    await world.spawner.stop(spec.workspace_id)
    assert (await world.spawner.state(spec.workspace_id)).presence is Presence.ABSENT
    await world.clean()


async def containerd_ended(engine: PrivateEngine) -> None:
    """Wait until the dead engine's containerd, which ends with it, is not there as a zombie either.

    The next engine would take it for one that runs.
    """
    pid = int((engine.folder / "exec" / "containerd" / "containerd.pid").read_text())
    async with asyncio.timeout(60):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.1)
