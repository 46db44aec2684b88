"""Who watches, and who asks on their behalf."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.domain.ids import PrincipalId, UserId, WorkspaceId
from hub.domain.users import Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import AgentSilent, EngineSilent, NotFound, TooManyRequests
from hub.live import sampler as module
from hub.live.sampler import Sampler
from hub.live.sizes import HomeSizes
from hub.live.viewers import MAX_OF_PRINCIPAL, MAX_OF_USER, Viewers
from hub.store.engine import Store
from hub.workspaces.agents import Live
from proxy.contract.agent import ContainerInfo
from proxy.kit.clock import ManualClock

ADA, BOB = PrincipalId("ada"), PrincipalId("bob")


async def test_streams_of_ended_sign_ins_end_and_no_others() -> None:
    viewers = Viewers()
    ada, bob = viewers.join(ADA), viewers.join(BOB)

    async def live(held: set[PrincipalId]) -> set[str]:
        assert held == {ADA, BOB}
        return {BOB}

    await viewers.end_dead(live)
    assert ada.ended.is_set() and ada.reason == "signed-out" and not bob.ended.is_set()


async def test_a_hub_that_stops_ends_all_streams_and_takes_no_more() -> None:
    viewers = Viewers()
    viewer = viewers.join(ADA)
    viewers.close()
    assert viewer.reason == "stopping" and await viewer.wait(1.0)
    with pytest.raises(TooManyRequests):
        viewers.join(BOB)


async def test_one_sign_in_has_so_many_streams_and_others_theirs() -> None:
    viewers = Viewers()
    mine = [viewers.join(ADA) for _ in range(MAX_OF_PRINCIPAL)]
    with pytest.raises(TooManyRequests):
        viewers.join(ADA)
    viewers.join(BOB)
    viewers.leave(mine[0])
    viewers.join(ADA)


async def test_one_user_with_many_tokens_leaves_streams_for_others() -> None:
    viewers = Viewers()
    for number in range(MAX_OF_USER):
        viewers.join(PrincipalId(f"token {number}"), "ada")
    with pytest.raises(TooManyRequests):
        viewers.join(PrincipalId("another token"), "ada")
    viewers.join(BOB, "bob")


@dataclass
class FakePlaces:
    """Running workspaces, their agents and the engine, all in one."""

    clock: ManualClock
    name: str = "docker"
    running: list[WorkspaceId] = field(default_factory=list)
    silent: set[WorkspaceId] = field(default_factory=set)
    engine_silent: bool = False
    asked: int = 0
    at_once: int = 0
    most_at_once: int = 0

    async def list_running(self) -> list[Workspace]:
        limits, state = Limits(None, None, None), WorkspaceState.RUNNING
        return [Workspace(each, UserId("u"), "small", state, "image", limits, "c") for each in self.running]

    def is_held(self, workspace_id: WorkspaceId) -> bool:
        return False

    async def status(self, workspace_id: WorkspaceId, max_age: float) -> Live:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if workspace_id in self.silent:
            raise AgentSilent("nobody answers")
        now = self.clock.monotonic()
        return Live(now, {}, [], ContainerInfo(memory_bytes=1000, cpu_seconds=now * 0.5))

    async def ping(self) -> None:
        if self.engine_silent:
            raise EngineSilent("The container engine does not answer.")


def make(store: Store, places: FakePlaces, folder: Path) -> Sampler:
    fake: Any = places
    return Sampler(store, fake, fake, fake, folder, places.clock)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 1, tzinfo=UTC))


async def test_every_container_is_asked_once_a_round_and_not_all_at_once(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    places = FakePlaces(clock, running=[WorkspaceId(f"w{number}") for number in range(200)])
    sampler = make(store, places, tmp_path)
    await sampler.sample()
    clock.advance(timedelta(seconds=10))
    await sampler.sample()
    assert places.asked == 400 and places.most_at_once <= module.AT_ONCE
    assert sampler.uses[WorkspaceId("w7")].cpu.last == pytest.approx(0.5)
    places.running = places.running[:1]
    await sampler.sample()
    assert list(sampler.uses) == [WorkspaceId("w0")]


async def test_silence_of_an_agent_or_of_the_engine_is_said_and_stops_nothing(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    ada, bob = WorkspaceId("a"), WorkspaceId("b")
    places = FakePlaces(clock, running=[ada, bob], silent={ada}, engine_silent=True)
    sampler = make(store, places, tmp_path)
    await sampler.sample()
    assert sampler.uses[ada].silent_since is not None and sampler.uses[bob].newest is not None
    assert sampler.house.engine == "The container engine does not answer." and sampler.house.database is None


async def test_a_home_is_counted_when_somebody_looks_and_not_again_for_a_while(clock: ManualClock) -> None:
    counted: list[str] = []

    async def count(user: User) -> tuple[int, int, bool]:
        counted.append(user.name)
        if user.name == "broken":
            raise NotFound("There is no home.")
        return 5, 1, True

    def user(name: str) -> User:
        return User(id=UserId(name), number=1, name=name, role=Role.USER, created_at=clock.now())

    sizes = HomeSizes(count, clock)
    assert sizes.find(user("ada")) is None
    assert sizes.find(user("broken")) is None
    for _ in range(5):
        await asyncio.sleep(0)
    found = sizes.find(user("ada"))
    assert found is not None and found.stored_bytes == 5 and counted == ["ada", "broken"]
    clock.advance(timedelta(minutes=3))
    assert sizes.find(user("ada")) == found
    for _ in range(5):
        await asyncio.sleep(0)
    assert counted == ["ada", "broken", "ada"]
    await sizes.close()


async def test_a_page_that_is_opened_shows_what_is_there_now_and_waits_for_no_large_home(clock: ManualClock) -> None:
    files, hold = 0, asyncio.Event()

    async def count(user: User) -> tuple[int, int, bool]:
        if files > 1:
            await hold.wait()
        return 10 * files, files, True

    sizes = HomeSizes(count, clock)
    ada = User(id=UserId("ada"), number=1, name="ada", role=Role.USER, created_at=clock.now())
    first = await sizes.look(ada)
    assert first is not None and first.files == 0
    files = 1
    clock.advance(timedelta(seconds=5))
    second = await sizes.look(ada)
    assert second is not None and second.files == 1
    files = 2
    clock.advance(timedelta(seconds=5))
    assert await sizes.look(ada) == second, "the last count, while a large home is counted"
    hold.set()
    third = await sizes.look(ada)
    assert third is not None and third.files == 2
    await sizes.close()
