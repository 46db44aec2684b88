"""Asking images for their kernels before anybody uses them."""

from __future__ import annotations

import asyncio
import base64
import errno
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.config import Profile, Settings
from hub.domain.ids import UserId, WorkspaceId, new_id
from hub.errors import AgentSilent, EngineSilent, ImageMissing, NoKernels
from hub.spawn.folders import Folders
from hub.spawn.process import ProcessSpawner
from hub.spawn.protocol import WorkspaceSpec
from hub.workspaces import probes as module
from hub.workspaces.image_kernelspecs import IMAGE_ITSELF, ImageKernelspecs, Source
from hub.workspaces.probes import BELIEVE_SECONDS, LEFTOVER_AGE, RETRY_SECONDS, Probes, new_probe_id, probe_began_at
from proxy.contract.agent import Hello, Kernelspec, Resource
from proxy.kit.agent_client import AgentSilent as ClientSilent
from proxy.kit.clock import ManualClock
from tests.contract.fake_spawner import FakeSpawner

BASE = Profile(image="base:latest")
R = Profile(image="r:latest")
SETTINGS = Settings(default_profile="base", profiles={"base": BASE, "r": R})
ADA = UserId("ada-id")


@dataclass
class Inside:
    """What the agents of all images say."""

    kernels: list[str] = field(default_factory=lambda: ["python3"])
    silent: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def client(self, folder: Path, owner_uid: int) -> Inside:
        return self

    async def hello(self, timeout: float) -> Hello:
        await self.gate.wait()
        if self.silent:
            raise ClientSilent("nobody answers")
        specs = [Kernelspec(name, {"argv": ["x"]}, ["logo-64x64.png"], f"/k/{name}") for name in self.kernels]
        return Hello(1, "1", 0.0, next(iter(self.kernels), None), specs)

    async def kernelspec_resource(self, name: str, file: str) -> Resource:
        return Resource(base64.b64encode(b"logo of " + name.encode()).decode())

    async def close(self) -> None:
        pass


@dataclass
class World:
    """Probes with an engine that does what the test says."""

    probes: Probes
    spawner: FakeSpawner
    images: ImageKernelspecs
    inside: Inside
    clock: ManualClock
    data_dir: Path

    @property
    def starts(self) -> int:
        return sum(what == "start" for what, _ in self.spawner.calls)

    def wait(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def nothing_is_left(self) -> bool:
        return not self.spawner.containers and not list((self.data_dir / "run").iterdir())


@pytest.fixture
async def world(data_dir: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    spawner, inside, images = FakeSpawner(), Inside(), ImageKernelspecs(data_dir / "images", clock)
    inside.gate.set()
    monkeypatch.setattr(module, "AgentClient", inside.client)
    probes = Probes(SETTINGS, spawner, Folders(data_dir, None, None), images, clock)
    yield World(probes, spawner, images, inside, clock, data_dir)
    await probes.close()


async def test_an_image_is_asked_once_without_network_and_with_an_empty_home(world: World) -> None:
    learned = await world.probes.learn(BASE)
    assert [spec.name for spec in learned.specs] == ["python3"]
    assert world.nothing_is_left()
    (spec,) = world.spawner.specs.values()
    assert (spec.network, spec.spare_kernels, spec.image) == ("none", 0, "base:latest")
    assert spec.home_folder.is_relative_to(spec.run_folder)
    assert await world.probes.learn(BASE) == learned
    assert world.starts == 1


async def test_what_an_image_has_is_known_to_everybody_and_to_the_next_hub(world: World) -> None:
    await world.probes.learn(BASE)
    for images in (world.images, ImageKernelspecs(world.data_dir / "images", world.clock)):
        listed = await images.find(Source.of(BASE), ADA)
        assert listed is not None and [spec.folder for spec in listed.specs] == ["/k/python3"]
        logo = await images.find_resource(Source.of(BASE), ADA, "python3", "logo-64x64.png")
        assert logo == b"logo of python3"


async def test_a_users_own_word_counts_for_them_until_the_image_is_another_one(world: World) -> None:
    source, agent = Source.of(BASE), Inside(["mine"])
    agent.gate.set()
    first = await world.probes.learn(BASE)
    client: Any = agent
    world.wait(10)
    await world.images.learn(source, first.image_id, ADA, await agent.hello(1), client)
    mine, others = await world.images.find(source, ADA), await world.images.find(source, UserId("bob-id"))
    assert mine is not None and [spec.name for spec in mine.specs] == ["mine"]
    assert others is not None and [spec.name for spec in others.specs] == ["python3"]
    world.wait(10)
    world.spawner.image_ids["base:latest"] = "built anew"
    world.inside.kernels = ["python3", "bash"]
    await world.probes.learn(BASE)
    renewed = await world.images.find(source, ADA)
    assert renewed is not None and [spec.name for spec in renewed.specs] == ["python3", "bash"]
    assert await world.images.find_resource(source, ADA, "mine", "logo-64x64.png") is None


async def test_profiles_that_differ_in_variables_are_asked_apart(world: World) -> None:
    other = BASE.model_copy(update={"environment": {"JUPYTER_PATH": "/opt/kernels"}, "memory_bytes": 2**30})
    await world.probes.learn(BASE)
    await world.probes.learn(other)
    await world.probes.learn(BASE.model_copy(update={"memory_bytes": 2**31}))
    assert world.starts == 2


async def test_all_who_ask_at_once_wait_for_one_probe_and_nobody_can_cancel_it(world: World) -> None:
    world.inside.gate.clear()
    asking = [asyncio.create_task(world.probes.learn(BASE)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    world.inside.gate.set()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert all(outcome == outcomes[1] for outcome in outcomes[1:]) and world.starts == 1


async def test_a_missing_image_is_said_and_is_no_matter_of_the_others(world: World) -> None:
    world.spawner.images = {"base:latest"}
    await world.probes.learn(BASE)
    with pytest.raises(ImageMissing, match=r"r:latest"):
        await world.probes.learn(R)
    assert world.probes.problem(BASE) is None
    assert "r:latest" in (world.probes.problem(R) or "")
    world.spawner.images.add("r:latest")
    world.wait(BELIEVE_SECONDS)
    await world.probes.learn(R)
    assert world.probes.problem(R) is None


async def test_an_image_that_was_refused_is_left_alone_until_it_is_another_one_or_time_has_passed(world: World) -> None:
    world.inside.kernels = []
    for expected in (1, 1, 1):
        with pytest.raises(NoKernels, match="has no kernel"):
            await world.probes.learn(BASE)
        assert world.starts == expected
        world.wait(BELIEVE_SECONDS)
    world.wait(RETRY_SECONDS)
    with pytest.raises(NoKernels):
        await world.probes.learn(BASE)
    assert world.starts == 2
    world.wait(BELIEVE_SECONDS)
    world.spawner.image_ids["base:latest"] = "mended"
    world.inside.kernels = ["python3"]
    await world.probes.learn(BASE)
    assert world.nothing_is_left()


async def test_an_agent_that_says_nothing_leaves_no_container(world: World) -> None:
    world.inside.silent = True
    with pytest.raises(AgentSilent):
        await world.probes.learn(BASE)
    assert world.nothing_is_left()


async def test_a_hub_that_ends_in_the_middle_removes_the_container(world: World) -> None:
    world.inside.gate.clear()
    asking = asyncio.create_task(world.probes.learn(BASE))
    while not world.spawner.containers:
        await asyncio.sleep(0)
    await world.probes.close()
    assert world.nothing_is_left()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_an_engine_that_is_away_is_no_fault_of_the_image(world: World) -> None:
    world.spawner.silent = True
    with pytest.raises(EngineSilent):
        await world.probes.learn(BASE)
    assert world.probes.problem(BASE) is None
    world.spawner.silent = False
    world.wait(BELIEVE_SECONDS)
    await world.probes.learn(BASE)


async def test_what_was_left_is_removed_once_it_is_old_and_nothing_else_is(world: World) -> None:
    folders = Folders(world.data_dir, None, None)
    left, workspace = new_probe_id(world.clock.now()), WorkspaceId(new_id())
    for each in (left, workspace):
        run, home = folders.prepare_probe(each)
        await world.spawner.start(a_spec(each, run, home))
    assert not await world.probes.remove(left), "it may be under way"
    world.clock.advance(LEFTOVER_AGE)
    assert await world.probes.remove(left)
    assert not await world.probes.remove(workspace)
    assert list(world.spawner.containers) == [workspace]
    assert not folders.run(left).exists() and folders.run(workspace).exists()


def a_spec(workspace_id: WorkspaceId, run: Path, home: Path) -> WorkspaceSpec:
    settings: Any = {"limits": None, "uid": 0, "gid": 0, "agent_folder": run, "user_name": "u", "home": "/h"}
    return WorkspaceSpec(workspace_id, ADA, "base:latest", home_folder=home, run_folder=run, **settings)


def test_a_probes_id_is_no_workspaces_and_says_when_it_began(clock: ManualClock) -> None:
    assert probe_began_at(new_probe_id(clock.now())) == int(clock.now().timestamp())
    for other in (new_id(), "probe-", "probe-xyz", "aprobe-00000000-00000000"):
        assert probe_began_at(other) is None


async def test_local_processes_are_asked_like_an_image(data_dir: Path, clock: ManualClock) -> None:
    folders = Folders(data_dir, None, None)
    spawner = ProcessSpawner(folders, start_seconds=30.0)
    images = ImageKernelspecs(folders.images, clock)
    probes = Probes(SETTINGS, spawner, folders, images, clock)
    learned = await probes.learn(BASE)
    assert "python3" in [spec.name for spec in learned.specs]
    assert await images.record(Source.of(BASE), IMAGE_ITSELF) == learned
    assert await spawner.inventory() == [] and not list((data_dir / "run").iterdir())
    await probes.close()


async def test_a_kernel_that_is_installed_on_this_machine_makes_it_another_image(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawner = ProcessSpawner(Folders(data_dir, None, None), start_seconds=30.0)
    (data_dir / "kernels").mkdir()
    monkeypatch.setenv("JUPYTER_PATH", str(data_dir))
    before = await spawner.image_id("any")
    assert await spawner.image_id("other") == before
    os.utime(data_dir / "kernels", (1, 1))
    assert await spawner.image_id("any") != before


async def test_a_full_disk_costs_the_memory_of_kernels_and_not_the_kernels(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ImageKernelspecs, "_write", staticmethod(full))
    await world.probes.learn(BASE)
    listed = await world.images.find(Source.of(BASE), ADA)
    assert listed is not None and listed.default == "python3"


async def test_the_hub_asks_all_profiles_by_itself_the_default_one_first_and_says_what_is_wrong(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.spawner.images = {"base:latest"}
    keeping_up = asyncio.create_task(world.probes.run())
    async with asyncio.timeout(10):
        while "profile r are not known" not in caplog.text:
            await asyncio.sleep(0.01)
    keeping_up.cancel()
    assert [asked for what, asked in world.spawner.calls if what == "image_id"] == ["base:latest", "r:latest"]
    assert world.starts == 1
