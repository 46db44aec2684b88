"""Agents run beside their users' code, so anybody may be speaking: their word counts for their own user only."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from hub.config import Culling, Settings
from hub.cull.loop import Culler
from hub.domain.culling import Action
from hub.domain.ids import KernelId, UserId, WorkspaceId, new_id, new_uuid
from hub.domain.kernel_names import Choice
from hub.domain.kernels import Kernel, KernelState, Session
from hub.domain.users import Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import Conflict
from hub.store.engine import Store
from hub.workspaces import kernels as kernels_module
from hub.workspaces import sessions as sessions_module
from hub.workspaces.agents import Live, LiveKernel
from hub.workspaces.connections import Connections
from hub.workspaces.health import of_row
from hub.workspaces.image_kernelspecs import (
    IMAGE_ITSELF,
    MAX_LIST_BYTES,
    MAX_RESOURCE_BYTES,
    ImageKernelspecs,
    Source,
    acceptable,
)
from hub.workspaces.kernels import Kernels
from hub.workspaces.sessions import Sessions
from hub.workspaces.watch import MAX_KERNELS_HEARD, Watch
from proxy.contract.agent import ContainerInfo, Hello, Kernelspec, Resource
from proxy.kit.clock import ManualClock

ALICE, BOB = UserId("alice-id"), UserId("bob-id")
IMAGE = Source("some/image:latest", "digest")


def hello(*specs: Kernelspec, default: str | None = None) -> Hello:
    return Hello(1, "1", 0.0, default, list(specs))


def spec(name: str, *resources: str, **content: Any) -> Kernelspec:
    return Kernelspec(name, {"display_name": name, **content}, list(resources))


@dataclass
class Speaker:
    """An agent that gives every resource, `size` bytes each."""

    size: int = 10

    async def kernelspec_resource(self, name: str, file: str) -> Resource:
        return Resource(base64.b64encode(b"x" * self.size).decode())


async def test_what_a_users_agent_says_of_kernelspecs_is_shown_to_nobody_else(
    data_dir: Path, clock: ManualClock
) -> None:
    known, agent = ImageKernelspecs(data_dir, clock), cast(Any, Speaker())
    await known.learn(IMAGE, "id", ALICE, hello(spec("python3", "logo-svg.svg"), default="python3"), agent)
    await known.learn(IMAGE, "id", BOB, hello(spec("evil", "kernel.js", "logo-svg.svg"), default="evil"), agent)
    for seen in (known, ImageKernelspecs(data_dir, clock)):  # in memory, and as the next hub reads it
        alices = await seen.find(IMAGE, ALICE)
        assert alices is not None
        assert ([s.name for s in alices.specs], alices.default) == (["python3"], "python3")
        assert await seen.find_resource(IMAGE, ALICE, "evil", "kernel.js") is None
        assert await seen.find_resource(IMAGE, BOB, "evil", "logo-svg.svg") is not None
        assert await seen.find(IMAGE, UserId("carol-id")) is None


async def test_scripts_of_kernelspecs_come_from_the_image_alone(data_dir: Path, clock: ManualClock) -> None:
    """The classic Notebook loads kernel.js from the hub's own address; code in a container can write one."""
    known, agent, forger = ImageKernelspecs(data_dir, clock), cast(Any, Speaker(10)), cast(Any, Speaker(666))
    own = spec("ir", "kernel.js", "kernel.css", "logo-svg.svg", display_name="mine")
    await known.learn(IMAGE, "id", BOB, hello(own, spec("evil", "kernel.js", "kernel.css")), forger)
    for name in ("ir", "evil"):
        assert await known.find_resource(IMAGE, BOB, name, "kernel.js") is None
        assert await known.find_resource(IMAGE, BOB, name, "kernel.css") is None
    await known.learn(IMAGE, "id", IMAGE_ITSELF, hello(spec("ir", "kernel.js", "logo-svg.svg")), agent)
    await known.learn(IMAGE, "id", BOB, hello(own, spec("evil", "kernel.js")), forger)
    found = await known.find(IMAGE, BOB)
    assert found is not None
    assert [each.resources for each in found.specs] == [["kernel.js", "logo-svg.svg"], []]
    assert len(await known.find_resource(IMAGE, BOB, "ir", "kernel.js") or b"") == 10
    assert len(await known.find_resource(IMAGE, BOB, "ir", "logo-svg.svg") or b"") == 666


async def test_the_resources_that_are_kept_of_one_user_are_bounded(data_dir: Path, clock: ManualClock) -> None:
    known, agent = ImageKernelspecs(data_dir, clock), cast(Any, Speaker(size=1024**2))
    files = [f"logo-{number}.png" for number in range(19)]
    for turn in range(3):  # other names each time
        await known.learn(IMAGE, "id", BOB, hello(*(spec(f"k{turn}.{n}", *files) for n in range(20))), agent)
    assert sum(file.stat().st_size for file in data_dir.rglob("*") if file.is_file()) <= (
        MAX_RESOURCE_BYTES + MAX_LIST_BYTES
    )


def test_kernelspecs_beyond_the_bound_are_left_out() -> None:
    large = spec("large", text="x" * MAX_LIST_BYTES)
    assert [s.name for s in acceptable(hello(spec("first"), large)).specs] == ["first"]


@dataclass
class World:
    """Alice and bob with a workspace each; alice has a kernel, and bob's agent says what the test wants."""

    workspaces: dict[UserId, Workspace]
    alices: Kernel
    said: Live
    ended: list[str]

    async def status(self, workspace_id: WorkspaceId, max_age: float = 2.0) -> Live:
        return self.said

    async def list_running(self) -> list[Workspace]:
        return [self.workspaces[BOB]]

    async def end(self, kernel: Kernel, reason: str, action: str) -> None:
        self.ended.append(kernel.id)

    async def stop(self, workspace_id: WorkspaceId, reason: str) -> None:
        pass

    def is_ending(self, kernel_id: KernelId) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("is_", "has_")):
            return lambda *_: False
        raise AttributeError(name)


def live(*kernels: LiveKernel) -> Live:
    return Live(0.0, {kernel.id: kernel for kernel in kernels}, [], ContainerInfo())


def claimed(kernel_id: str, state: KernelState) -> LiveKernel:
    return LiveKernel(KernelId(kernel_id), "x", state, 5, timedelta(days=9), 0.0, 0, 0.0, "forged", 1)


@pytest.fixture
async def world(store: Store, clock: ManualClock) -> World:
    workspaces = {}
    async with store.unit() as unit:
        for user_id in (ALICE, BOB):
            user = await unit.users.add(user_id, Role.USER, clock.now())
            limits = Limits(None, None, None)
            workspaces[user_id] = Workspace(
                WorkspaceId(new_id()), user.id, "datascience", WorkspaceState.RUNNING, "image", limits
            )
            await unit.workspaces.add(workspaces[user_id])
        of_alice = workspaces[ALICE]
        kernel = Kernel(
            *(KernelId(new_uuid()), of_alice.id, of_alice.user_id, "python3", KernelState.IDLE),
            *(clock.now(), clock.now()),
        )
        await unit.kernels.add(kernel)
    return World(workspaces, kernel, live(), [])


async def the_same(store: Store, kernel: Kernel) -> bool:
    async with store.reading() as unit:
        return await unit.kernels.find(kernel.id) == kernel and not await unit.audit.list(10)


@pytest.mark.parametrize("state", [KernelState.IDLE, KernelState.DEAD])
async def test_an_agent_cannot_have_another_users_kernel_culled_or_reported_dead(
    store: Store, clock: ManualClock, world: World, data_dir: Path, state: KernelState
) -> None:
    world.said = live(claimed(world.alices.id, state))
    settings = Settings(data_dir=data_dir, culling=Culling(kernel_idle=timedelta(hours=1)))
    part = cast(Any, world)
    culler = Culler(settings, store, part, part, part, Connections(clock), clock)
    decided = set()
    for _ in range(15):
        decided |= {decision.action for decision in await culler.run_once()}
        clock.advance(timedelta(seconds=50))
    assert decided & {Action.SHUT_KERNEL, Action.REPORT_DEAD}
    assert world.ended == []
    async with store.reading() as unit:
        assert await unit.kernels.find(world.alices.id) == world.alices
        assert not await unit.audit.list(10, action_prefix="kernel.")


@dataclass
class Listened:
    """The part of Agents that Watch uses."""

    on_kernel: Any = None
    on_lost: Any = None
    look_soon: Any = None


def watch_of(store: Store, world: World, clock: ManualClock) -> Watch:
    agents = cast(Any, Listened())
    return Watch(store, agents, agents, cast(Any, world), clock)


async def test_an_event_about_another_users_kernel_changes_nothing(
    store: Store, clock: ManualClock, world: World
) -> None:
    watch = watch_of(store, world, clock)
    watch.heard(world.workspaces[BOB].id, claimed(world.alices.id, KernelState.DEAD))
    await watch.write()
    assert await the_same(store, world.alices)


async def test_a_flood_of_invented_kernels_is_not_kept(store: Store, clock: ManualClock, world: World) -> None:
    watch = watch_of(store, world, clock)
    for _ in range(1000):
        watch.heard(world.workspaces[BOB].id, claimed(new_uuid(), KernelState.IDLE))
    assert sum(len(news) for news in watch._news.values()) == MAX_KERNELS_HEARD
    await watch.write()


@dataclass
class Obliging:
    """A container whose agent starts whatever it is asked to."""

    workspace: Workspace

    async def choose(self, user: User, wanted: str) -> Choice:
        return Choice("datascience", wanted, wanted)

    async def ensure(self, user: User, profile: str) -> Workspace:
        return self.workspace

    def client(self, workspace_id: WorkspaceId) -> Any:
        return self

    async def start_kernel(self, *_: Any) -> None:
        pass

    async def status(self, workspace_id: WorkspaceId) -> Live:
        return live()

    def forget_status(self, workspace_id: WorkspaceId) -> None:
        pass

    health = staticmethod(of_row)


async def test_kernels_and_sessions_of_one_user_are_bounded_whatever_the_agent_says(
    store: Store, clock: ManualClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels_module, "MAX_KERNELS", 2)
    monkeypatch.setattr(sessions_module, "MAX_SESSIONS", 3)
    async with store.reading() as unit:
        user = await unit.users.find(world.workspaces[BOB].user_id)
    assert user is not None
    part = cast(Any, Obliging(world.workspaces[BOB]))
    kernels = Kernels(store, part, part, part, Connections(clock), clock)
    sessions = Sessions(store, kernels, clock)
    first, _ = [(await kernels.start(user, "python3")).kernel.id for _ in range(2)]
    with pytest.raises(Conflict, match="shut one down"):
        await kernels.start(user, "python3")
    for number in range(3):
        await sessions.create(user, f"{number}.ipynb", "", "notebook", kernel_id=first)
    with pytest.raises(Conflict, match="sessions"):
        await sessions.create(user, "4.ipynb", "", "notebook", kernel_id=first)
    assert isinstance((await sessions.create(user, "0.ipynb", "", "notebook", kernel_id=first)).session, Session)
