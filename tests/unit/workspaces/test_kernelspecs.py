"""The kernelspecs of several profiles as one list, and which kernel a name means."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from hub.config import Profile, Settings
from hub.domain.ids import UserId, WorkspaceId
from hub.domain.kernel_names import Choice
from hub.domain.users import Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import HubError, ImageMissing, NoKernels, NotFound, UnknownKernelspec
from hub.workspaces import kernelspecs as module
from hub.workspaces.image_kernelspecs import IMAGE_ITSELF, ImageKernelspecs, KernelspecList, Record, Source
from hub.workspaces.kernelspecs import Kernelspecs
from proxy.contract.agent import Hello, Kernelspec, Resource
from proxy.kit.clock import ManualClock

ADA = User(UserId("ada-id"), 1, "ada", Role.USER, datetime(2026, 1, 1, tzinfo=UTC))
BOB = User(UserId("bob-id"), 2, "bob", Role.USER, datetime(2026, 1, 1, tzinfo=UTC))
PROFILES = {
    "datascience": Profile(image="datascience"),
    "statistics": Profile(image="statistics", display_name="Statistics"),
}


def hello(*names: str) -> Hello:
    specs = [Kernelspec(name, {"display_name": name.upper()}, ["logo-64x64.png"], f"/k/{name}") for name in names]
    return Hello(1, "1", 0.0, names[0] if names else None, specs)


@dataclass
class Agent:
    """What the container of a user says now."""

    says: Hello
    asked: int = 0

    async def hello(self, timeout: float) -> Hello:
        self.asked += 1
        return self.says

    async def kernelspec_resource(self, name: str, file: str) -> Resource:
        return Resource(base64.b64encode(name.encode()).decode())


@dataclass
class World:
    """Probes, workspaces and agents as the test says: `inside` is what images have, or why they cannot be asked."""

    images: ImageKernelspecs
    inside: dict[str, Hello | HubError]
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    running: list[Workspace] = field(default_factory=list)
    agent: Agent = field(default_factory=lambda: Agent(hello("python3")))
    begun: list[str] = field(default_factory=list)

    # as Probes
    def begin(self, profile: Profile) -> asyncio.Task[Record | HubError]:
        self.begun.append(profile.image)
        return asyncio.get_running_loop().create_task(self._learn(profile))

    async def learn(self, profile: Profile) -> Record:
        learned = await self._learn(profile)
        if isinstance(learned, HubError):
            raise learned
        return learned

    def problem(self, profile: Profile) -> str | None:
        found = self.inside[profile.image]
        return found.message if isinstance(found, HubError) else None

    async def _learn(self, profile: Profile) -> Record | HubError:
        found = self.inside[profile.image]
        if isinstance(found, HubError):
            return found
        if profile.image == "statistics":
            await self.gate.wait()
        return await self.images.learn(Source.of(profile), "id", IMAGE_ITSELF, found, cast(Any, Agent(found)))

    # as Workspaces and Agents
    async def list_for(self, user: User) -> list[Workspace]:
        return [workspace for workspace in self.running if workspace.user_id == user.id]

    def is_held(self, workspace_id: WorkspaceId) -> bool:
        return False

    def connected(self, workspace_id: WorkspaceId) -> bool:
        return True

    def client(self, workspace_id: WorkspaceId) -> Agent:
        return self.agent


@pytest.fixture
async def world(data_dir: Path, clock: ManualClock) -> AsyncIterator[World]:
    images = ImageKernelspecs(data_dir / "images", clock)
    world = World(images, {"datascience": hello("python3", "bash"), "statistics": hello("ir", "python3")})
    world.gate.set()
    yield world


def service(world: World, clock: ManualClock, **profiles: Profile) -> Kernelspecs:
    settings = Settings(default_profile="datascience", profiles=profiles or PROFILES)
    part = cast(Any, world)
    return Kernelspecs(settings, part, part, world.images, part, clock)


@pytest.fixture
def kernelspecs(world: World, clock: ManualClock) -> Kernelspecs:
    return service(world, clock)


def shown(listed: KernelspecList) -> dict[str, Any]:
    return {spec.name: spec.spec["display_name"] for spec in listed.specs}


async def test_one_list_shows_the_kernels_of_all_profiles_while_nothing_runs(kernelspecs: Kernelspecs) -> None:
    listed = await kernelspecs.list(ADA)
    assert shown(listed) == {
        "python3": "PYTHON3 (datascience)",
        "bash": "BASH (datascience)",
        "ir": "IR (Statistics)",
        "python3.statistics": "PYTHON3 (Statistics)",
    }
    assert listed.default == "python3"


async def test_with_one_profile_names_stay_as_the_image_has_them(world: World, clock: ManualClock) -> None:
    only = service(world, clock, datascience=PROFILES["datascience"])
    assert shown(await only.list(ADA)) == {"python3": "PYTHON3", "bash": "BASH"}
    assert await only.choose(ADA, "python3") == Choice("datascience", "python3", "python3")


async def test_a_missing_image_hides_no_other_and_is_said(world: World, kernelspecs: Kernelspecs) -> None:
    world.inside["datascience"] = ImageMissing("The image datascience is not on this machine.")
    listed = await kernelspecs.list(ADA)
    assert shown(listed) == {"ir": "IR (Statistics)", "python3": "PYTHON3 (Statistics)"}
    assert await kernelspecs.problems(ADA) == {"datascience": "The image datascience is not on this machine."}
    assert (await kernelspecs.choose(ADA, None)).kernel == "ir"
    assert await kernelspecs.choose(ADA, "python3") == Choice("statistics", "python3", "python3")


async def test_a_profile_offers_what_it_says_and_in_that_order(world: World, clock: ManualClock) -> None:
    only_r = PROFILES["statistics"].model_copy(update={"kernels": ["ir", "gone"]})
    both = PROFILES["datascience"].model_copy(update={"kernels": ["bash", "python3"]})
    kernelspecs = service(world, clock, datascience=both, statistics=only_r)
    listed = await kernelspecs.list(ADA)
    assert (list(shown(listed)), listed.default) == (["bash", "python3", "ir"], "bash")
    assert await kernelspecs.choose(ADA, "python3") == Choice("datascience", "python3", "python3")
    for wanted in ("python3.statistics", "julia"):
        with pytest.raises(UnknownKernelspec, match="there are bash, python3, ir"):
            await kernelspecs.choose(ADA, wanted)
    assert await kernelspecs.problems(ADA) == {"Statistics": "The image statistics has no kernel gone."}


async def test_where_no_image_can_be_asked_the_default_ones_reason_is_given(
    world: World, kernelspecs: Kernelspecs
) -> None:
    world.inside = {"datascience": NoKernels("It has no kernel."), "statistics": ImageMissing("It is missing.")}
    for ask in (kernelspecs.list(ADA), kernelspecs.choose(ADA, None)):
        with pytest.raises(NoKernels, match="It has no kernel"):
            await ask
    assert (await kernelspecs.known(ADA)).specs == []


async def test_what_is_known_does_not_wait_long_for_an_image_that_takes_its_time(
    world: World, kernelspecs: Kernelspecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OTHERS_SECONDS", 0.01)
    world.gate.clear()
    assert list(shown(await kernelspecs.list(ADA))) == ["python3", "bash"]
    world.gate.set()
    assert "ir" in shown(await kernelspecs.list(ADA))


async def test_starting_a_known_kernel_waits_for_no_probe(world: World, kernelspecs: Kernelspecs) -> None:
    datascience = PROFILES["datascience"]
    await world.images.learn(Source.of(datascience), "id", ADA.id, hello("python3"), cast(Any, world.agent))
    world.gate.clear()
    assert await kernelspecs.choose(ADA, "python3") == Choice("datascience", "python3", "python3")
    assert await kernelspecs.choose(ADA, None) == Choice("datascience", "python3", "python3")
    assert world.begun == []


async def test_a_kernel_of_an_image_that_was_not_asked_yet_is_found(kernelspecs: Kernelspecs) -> None:
    assert await kernelspecs.choose(ADA, "ir") == Choice("statistics", "ir", "ir")


async def test_a_name_that_is_not_listed_is_left_to_the_container_and_the_error_names_what_there_is(
    kernelspecs: Kernelspecs,
) -> None:
    assert await kernelspecs.choose(ADA, "new.statistics") == Choice("statistics", "new", "new.statistics")
    assert await kernelspecs.choose(ADA, "new") == Choice("datascience", "new", "new")
    error = await kernelspecs.unknown(ADA, "new")
    assert isinstance(error, UnknownKernelspec)
    assert "python3, bash, ir, python3.statistics" in error.message


async def test_logos_are_served_under_the_listed_names(kernelspecs: Kernelspecs) -> None:
    await kernelspecs.list(ADA)
    assert await kernelspecs.resource(ADA, "python3.statistics", "logo-64x64.png") == b"python3"
    assert await kernelspecs.resource(ADA, "ir", "logo-64x64.png") == b"ir"
    for name, file in (("ir", "kernel.js"), ("ir", "../kernelspecs.json"), ("julia", "logo-64x64.png")):
        with pytest.raises(NotFound):
            await kernelspecs.resource(ADA, name, file)


async def test_a_kernel_that_a_user_installs_shows_up_for_them_alone(
    world: World, kernelspecs: Kernelspecs, clock: ManualClock
) -> None:
    datascience = PROFILES["datascience"]
    place = Workspace(
        WorkspaceId("w"), ADA.id, "datascience", WorkspaceState.RUNNING, "datascience", Limits(None, None, None)
    )
    world.running = [place]
    await world.images.learn(Source.of(datascience), "id", ADA.id, hello("python3"), cast(Any, world.agent))
    await kernelspecs.list(ADA)
    world.agent.says = hello("python3", "mine")
    assert "mine" not in shown(await kernelspecs.list(ADA)), "asked a moment ago"
    assert world.agent.asked == 1
    clock.advance(timedelta(seconds=module.FRESH_SECONDS))
    assert "mine" in shown(await kernelspecs.list(ADA))
    assert "mine" not in shown(await kernelspecs.list(BOB))


async def test_a_display_name_that_is_no_text_is_replaced(world: World, kernelspecs: Kernelspecs) -> None:
    odd = Kernelspec("odd", {"display_name": ["<b>"]}, [])
    world.inside["datascience"] = Hello(1, "1", 0.0, None, [odd])
    assert shown(await kernelspecs.list(ADA))["odd"] == "odd (datascience)"
