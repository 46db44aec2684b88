"""hub.workspaces.quotas: quotas looked up on both databases, and held."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from hub.config.limits import DefaultLimits
from hub.domain.history import Begin, End, Outcome, Run
from hub.domain.ids import GroupId, KernelId, UserId, WorkspaceId, new_id, new_uuid
from hub.domain.kernel_names import Choice
from hub.domain.kernels import Kernel, KernelState
from hub.domain.users import Group, Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import NoSpace, QuotaExceeded
from hub.store.engine import Store
from hub.workspaces.connections import Connections
from hub.workspaces.kernels import Kernels
from hub.workspaces.quotas import WARNED_FOR, HoursWatch, Quotas
from proxy.kit.clock import ManualClock

GIB = 1024**3


@dataclass
class Place:
    store: Store
    clock: ManualClock
    defaults: DefaultLimits = field(default_factory=DefaultLimits)
    sizes: dict[UserId, int] = field(default_factory=dict)
    recounted: list[str] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)
    told: list[UserId] = field(default_factory=list)

    @property
    def quotas(self) -> Quotas:
        sizes: Callable[[User], int | None] = lambda user: self.sizes.get(user.id)  # noqa: E731
        return Quotas(
            self.store, self.clock, lambda: self.defaults, sizes, lambda user: self.recounted.append(user.name)
        )

    @property
    def watch(self) -> HoursWatch:
        stop: Callable[[Workspace, str], Awaitable[object]] = self._stop
        return HoursWatch(self.store, self.clock, self.quotas, self._running, stop, self.told.append)

    async def user(self, name: str = "ada", **quotas: Any) -> User:
        """A user in a group with these quotas."""
        async with self.store.unit() as unit:
            user = await unit.users.add(name, Role.USER, self.clock.now())
            if quotas:
                group = Group(GroupId(new_id()), f"of {name}", self.clock.now(), properties={"quotas": quotas})
                await unit.groups.add(group)
                await unit.groups.add_member(group.id, user.id)
        return user

    async def ran(self, user: User, hours: float, *, is_running: bool = False, profile: str = "p") -> Workspace:
        """A container that ran for some hours until now, or runs still."""
        workspace = Workspace(
            WorkspaceId(new_id()), user.id, profile, WorkspaceState.STOPPED, "image", Limits(None, None, None)
        )
        now = self.clock.now()
        began = now - timedelta(hours=hours)
        running = replace(workspace, state=WorkspaceState.RUNNING, container_id="c", started_at=began)
        async with self.store.unit() as unit:
            await unit.workspaces.add(running if is_running else workspace)
            await unit.lives.record(workspace, running, Begin(), "hub", began)
            await unit.lives.record(running, running, Run({}), "hub", began)
            if not is_running:
                await unit.lives.record(running, workspace, End(Outcome.ENDED, "stopped"), "hub", now)
        return running if is_running else workspace

    async def _running(self) -> list[Workspace]:
        async with self.store.reading() as unit:
            return await unit.workspaces.list_by_state(WorkspaceState.RUNNING)

    async def _stop(self, workspace: Workspace, reason: str) -> None:
        self.stopped.append((workspace.id, reason))


@pytest.fixture
def place(store: Store, clock: ManualClock) -> Place:
    return Place(store, clock)


async def test_who_has_no_quota_is_never_refused(place: Place) -> None:
    ada = await place.user()
    await place.ran(ada, 1000, is_running=True)
    place.sizes[ada.id] = 10**15
    await place.quotas.check_container(ada)
    await place.quotas.check_kernel(ada)
    await place.quotas.check_growth(ada)


async def test_containers_at_once_are_counted(place: Place) -> None:
    ada = await place.user(containers=1)
    await place.ran(ada, 1)
    await place.quotas.check_container(ada)
    await place.ran(ada, 1, is_running=True, profile="q")
    with pytest.raises(QuotaExceeded, match="1 container at once"):
        await place.quotas.check_container(ada)
    async with place.store.reading() as unit:
        assert [event.action for event in await unit.audit.list(1)] == ["quota.refused"]


async def test_hours_are_those_of_the_last_seven_days_what_runs_included(place: Place) -> None:
    ada = await place.user(hours_per_week=10)
    await place.ran(ada, 6)
    place.clock.advance(timedelta(hours=3))
    await place.ran(ada, 3, is_running=True, profile="q")
    assert (await place.quotas.standing(ada)).use.hours == pytest.approx(9)
    await place.quotas.check_container(ada)
    place.clock.advance(timedelta(hours=1))
    with pytest.raises(QuotaExceeded, match="10 hours"):
        await place.quotas.check_container(ada)
    place.clock.advance(timedelta(days=7) - timedelta(hours=8))
    # Of the first six hours all are older than seven days; of what runs, seven days count.
    assert (await place.quotas.standing(ada)).use.hours > 100


async def test_kernels_are_counted_and_a_group_beats_the_hubs_own(place: Place) -> None:
    place.defaults = DefaultLimits(kernels=1)
    ada, bob = await place.user(kernels=2), await place.user("bob")
    for user in (ada, bob):
        workspace = await place.ran(user, 1, is_running=True)
        now = place.clock.now()
        kernel = Kernel(KernelId(new_uuid()), workspace.id, user.id, "python3", KernelState.IDLE, now, now)
        async with place.store.unit() as unit:
            await unit.kernels.add(kernel)
    await place.quotas.check_kernel(ada)
    with pytest.raises(QuotaExceeded, match="1 kernel at once"):
        await place.quotas.check_kernel(bob)


async def test_a_full_home_is_refused_growth_and_counted_again(place: Place) -> None:
    ada = await place.user(disk_bytes=GIB)
    await place.quotas.check_growth(ada)
    assert place.recounted == []
    place.sizes[ada.id] = GIB
    with pytest.raises(NoSpace, match="take 1 GB, and you may have 1 GB"):
        await place.quotas.check_growth(ada)
    assert place.recounted == ["ada"]
    await place.quotas.check_growth(ada, slack=1.1)
    place.sizes[ada.id] = int(1.2 * GIB)
    with pytest.raises(NoSpace):
        await place.quotas.check_growth(ada, slack=1.1)


async def test_whose_hours_are_used_up_is_told_and_stopped_a_quarter_of_an_hour_later(place: Place) -> None:
    ada = await place.user(hours_per_week=1)
    bob = await place.user("bob")
    running = await place.ran(ada, 0.99, is_running=True)
    await place.ran(bob, 50, is_running=True)
    watch = place.watch
    await watch.look()
    assert place.told == []
    place.clock.advance(timedelta(minutes=1))
    await watch.look()
    assert place.told == [ada.id]
    async with place.store.reading() as unit:
        [message] = await unit.messages.list_open(ada.id, place.clock.now())
    assert "stopped in 15 minutes" in message.text
    place.clock.advance(WARNED_FOR - timedelta(seconds=1))
    await watch.look()
    assert place.stopped == []
    place.clock.advance(timedelta(seconds=1))
    await watch.look()
    assert place.stopped == [(running.id, "the hours of containers in seven days are used up")]


async def test_who_is_given_more_hours_goes_on(place: Place) -> None:
    ada = await place.user(hours_per_week=1)
    await place.ran(ada, 2, is_running=True)
    watch = place.watch
    await watch.look()
    async with place.store.unit() as unit:
        [group] = await unit.groups.list_for(ada.id)
        await unit.groups.save(replace(group, properties={"quotas": {"hours_per_week": 5}}))
    place.clock.advance(WARNED_FOR)
    await watch.look()
    assert place.stopped == []


class Obliging:
    """A container whose agent starts whatever it is asked to, in its own time."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    async def choose(self, user: User, wanted: str) -> Choice:
        return Choice("p", wanted, wanted)

    async def ensure(self, user: User, profile: str) -> Workspace:
        await asyncio.sleep(0)
        return self.workspace

    def client(self, workspace_id: WorkspaceId) -> Any:
        return self

    async def start_kernel(self, *_: Any) -> None:
        pass

    def forget_status(self, workspace_id: WorkspaceId) -> None:
        pass


async def test_of_twenty_kernels_asked_for_at_once_the_quota_lets_one_start(place: Place) -> None:
    ada = await place.user(kernels=1)
    part: Any = Obliging(await place.ran(ada, 1, is_running=True))
    kernels = Kernels(place.store, part, part, part, Connections(place.clock), place.clock, place.quotas)
    outcomes = await asyncio.gather(*(kernels.start(ada, "python3") for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 19
    async with place.store.reading() as unit:
        assert len(await unit.kernels.list_for(ada.id)) == 1


async def test_who_asks_again_and_again_does_not_fill_the_audit_log(place: Place) -> None:
    ada, quotas = await place.user(containers=1), place.quotas
    await place.ran(ada, 1, is_running=True)
    for _ in range(20):
        with pytest.raises(QuotaExceeded):
            await quotas.check_container(ada)
    async with place.store.reading() as unit:
        assert len(await unit.audit.list(action_prefix="quota.refused")) == 1
    place.clock.advance(timedelta(minutes=2))
    with pytest.raises(QuotaExceeded):
        await quotas.check_container(ada)
    async with place.store.reading() as unit:
        assert len(await unit.audit.list(action_prefix="quota.refused")) == 2
