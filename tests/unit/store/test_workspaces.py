"""Workspaces, kernels and Jupyter's sessions in the database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hub.domain.ids import KernelId, SessionId, UserId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState, Session
from hub.domain.users import Role, User
from hub.domain.workspace import Limits, StartRequested, Workspace, WorkspaceState, advance
from hub.errors import BadRequest, Conflict, NotFound
from hub.store.engine import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def bob(store: Store) -> User:
    async with store.unit() as unit:
        return await unit.users.add("bob", Role.USER, NOW)


@pytest.fixture
async def place(store: Store, bob: User) -> Workspace:
    """A workspace of bob's."""
    workspace = a_workspace(bob)
    async with store.unit() as unit:
        await unit.workspaces.add(workspace)
    return workspace


@pytest.fixture
async def kernel(store: Store, place: Workspace) -> Kernel:
    """A kernel of bob's."""
    kernel = a_kernel(place)
    async with store.unit() as unit:
        await unit.kernels.add(kernel)
    return kernel


def a_workspace(user: User, name: str = "w1", profile: str = "datascience") -> Workspace:
    limits = Limits(memory_bytes=2**40, cpus=1.5, pids=None)
    return Workspace(WorkspaceId(name), user.id, profile, WorkspaceState.STOPPED, "image:latest", limits)


def a_kernel(place: Workspace, name: str = "k1", at: datetime = NOW) -> Kernel:
    return Kernel(KernelId(name), place.id, place.user_id, "python3", KernelState.STARTING, at, at)


def a_session(kernel: Kernel, name: str = "s1", path: str = "a/b.ipynb") -> Session:
    return Session(SessionId(name), kernel.user_id, kernel.id, path, "b.ipynb", "notebook", NOW)


async def test_a_workspace_is_found_by_id_and_by_user_and_profile(store: Store, bob: User, place: Workspace) -> None:
    async with store.reading() as unit:
        assert await unit.workspaces.find(place.id) == place
        assert await unit.workspaces.find_for(bob.id, "datascience") == place
        assert await unit.workspaces.find_for(bob.id, "gpu") is None
        assert await unit.workspaces.find_for(UserId("nobody"), "datascience") is None


async def test_a_paused_workspace_stays_paused_until_that_is_taken_back(store: Store, place: Workspace) -> None:
    for paused_at in (NOW, None):
        async with store.unit() as unit:
            await unit.workspaces.save(replace(place, paused_at=paused_at))
        async with store.reading() as unit:
            assert (await unit.workspaces.list_for(place.user_id))[0].paused_at == paused_at


async def test_a_user_has_one_workspace_of_a_profile(store: Store, bob: User, place: Workspace) -> None:
    with pytest.raises(Conflict):
        async with store.unit() as unit:
            await unit.workspaces.add(a_workspace(bob, "w2"))
    async with store.unit() as unit:
        await unit.workspaces.add(a_workspace(bob, "w2", "gpu"))
        assert [workspace.id for workspace in await unit.workspaces.list_for(bob.id)] == ["w1", "w2"]


async def test_all_that_can_change_in_a_workspace_is_saved(store: Store, place: Workspace) -> None:
    changed = replace(
        place,
        state=WorkspaceState.RUNNING,
        image="other",
        limits=Limits(None, None, 100),
        container_id="c1",
        started_at=NOW,
        last_activity_at=NOW + HOUR,
        stop_reason="because",
    )
    async with store.unit() as unit:
        await unit.workspaces.save(changed)
    async with store.unit() as unit:
        assert await unit.workspaces.find(place.id) == changed
        await unit.workspaces.touch(place.id, NOW + 2 * HOUR)
        assert await unit.workspaces.find(place.id) == replace(changed, last_activity_at=NOW + 2 * HOUR)


async def test_saving_a_workspace_that_is_gone_says_so(store: Store, place: Workspace) -> None:
    async with store.unit() as unit:
        assert await unit.workspaces.delete(place.id)
        assert not await unit.workspaces.delete(place.id)
    with pytest.raises(NotFound):
        async with store.unit() as unit:
            await unit.workspaces.save(place)


async def test_workspaces_are_listed_by_state(store: Store, bob: User, place: Workspace) -> None:
    running = replace(a_workspace(bob, "w2", "gpu"), state=WorkspaceState.RUNNING)
    async with store.unit() as unit:
        await unit.workspaces.add(running)
        assert await unit.workspaces.list_by_state(WorkspaceState.RUNNING, WorkspaceState.UNKNOWN) == [running]
        assert await unit.workspaces.list_by_state() == []
        assert await unit.workspaces.list() == [place, running]


async def test_of_many_who_start_a_workspace_at_once_one_does(store: Store, place: Workspace) -> None:
    async def start() -> bool:
        async with store.unit() as unit:
            found = await unit.workspaces.find(place.id)
            assert found is not None
            transition = advance(found, StartRequested())
            await unit.workspaces.save(transition.workspace)
            return transition.ignored is None

    assert sum(await asyncio.gather(*(start() for _ in range(10)))) == 1


async def test_a_kernel_is_saved_and_found(store: Store, bob: User, place: Workspace, kernel: Kernel) -> None:
    changed = replace(kernel, state=KernelState.DEAD, last_activity_at=NOW + HOUR, executions=3, reason="killed")
    async with store.unit() as unit:
        assert await unit.kernels.find(kernel.id) == kernel
        await unit.kernels.save(changed)
        assert await unit.kernels.find(kernel.id) == changed
        assert await unit.kernels.find(KernelId("k2")) is None
        assert await unit.kernels.list_for(bob.id) == [changed]
        assert await unit.kernels.list_in(place.id) == [changed]
        assert await unit.kernels.list() == [changed]
        assert await unit.kernels.list_in(WorkspaceId("w2")) == []


async def test_a_kernel_without_a_workspace_is_a_conflict(store: Store, place: Workspace) -> None:
    with pytest.raises(Conflict):
        async with store.unit() as unit:
            await unit.kernels.add(replace(a_kernel(place), workspace_id=WorkspaceId("gone")))


async def test_many_kernels_are_observed_at_once_and_those_that_are_gone_are_left_out(
    store: Store, place: Workspace
) -> None:
    kernels = [a_kernel(place, f"k{number}", NOW + number * HOUR) for number in range(5)]
    seen = [
        replace(kernel, state=KernelState.IDLE, last_activity_at=NOW + 9 * HOUR, executions=7, reason="not written")
        for kernel in kernels
    ]
    async with store.unit() as unit:
        for kernel in kernels:
            await unit.kernels.add(kernel)
        await unit.kernels.observe([*reversed(seen), a_kernel(place, "gone")])
        await unit.kernels.observe([])
        assert await unit.kernels.list_in(place.id) == [replace(kernel, reason=None) for kernel in seen]


async def test_observations_from_several_hubs_at_once_do_not_block_each_other(store: Store, place: Workspace) -> None:
    kernels = [a_kernel(place, f"k{number}") for number in range(10)]
    async with store.unit() as unit:
        for kernel in kernels:
            await unit.kernels.add(kernel)

    async def observe(order: list[Kernel]) -> None:
        async with store.unit() as unit:
            await unit.kernels.observe(order)

    await asyncio.gather(*(observe(kernels if turn % 2 else kernels[::-1]) for turn in range(10)))


async def test_counts_and_reasons_that_a_hostile_agent_sends_are_cut_to_what_fits(store: Store, kernel: Kernel) -> None:
    async with store.unit() as unit:
        await unit.kernels.observe([replace(kernel, executions=10**30)])
        await unit.kernels.save(replace(kernel, executions=-5, reason="\0" * 10_000))
        found = await unit.kernels.find(kernel.id)
    assert found is not None
    assert found.executions == 0
    assert found.reason is not None
    assert len(found.reason) == 1000
    assert "\0" not in found.reason


async def test_a_session_is_found_by_id_and_by_path(store: Store, bob: User, kernel: Kernel) -> None:
    session = a_session(kernel)
    async with store.unit() as unit:
        await unit.sessions.add(session)
        assert await unit.sessions.find(session.id) == session
        assert await unit.sessions.find_by_path(bob.id, "a/b.ipynb") == session
        assert await unit.sessions.find_by_path(bob.id, "a/B.ipynb") is None
        assert await unit.sessions.list_for(bob.id) == [session]


async def test_a_path_has_one_session(store: Store, kernel: Kernel) -> None:
    async with store.unit() as unit:
        await unit.sessions.add(a_session(kernel))
        await unit.sessions.add(a_session(kernel, "s2", "other.ipynb"))
    with pytest.raises(Conflict):
        async with store.unit() as unit:
            await unit.sessions.add(a_session(kernel, "s3"))
    with pytest.raises(Conflict):
        async with store.unit() as unit:
            await unit.sessions.save(a_session(kernel, "s2"))


async def test_a_session_moves_to_another_path_and_kernel(store: Store, place: Workspace, kernel: Kernel) -> None:
    moved = replace(a_session(kernel), path="c.ipynb", name="c.ipynb", type="console", kernel_id=KernelId("k2"))
    async with store.unit() as unit:
        await unit.kernels.add(a_kernel(place, "k2"))
        await unit.sessions.add(a_session(kernel))
        await unit.sessions.save(moved)
        assert await unit.sessions.find(moved.id) == moved
        assert await unit.sessions.delete(moved.id)
        assert not await unit.sessions.delete(moved.id)
    with pytest.raises(NotFound):
        async with store.unit() as unit:
            await unit.sessions.save(moved)


async def test_sessions_go_with_their_kernel(store: Store, bob: User, place: Workspace, kernel: Kernel) -> None:
    async with store.unit() as unit:
        await unit.kernels.add(a_kernel(place, "k2"))
        await unit.sessions.add(a_session(kernel))
        await unit.sessions.add(a_session(a_kernel(place, "k2"), "s2", "c.ipynb"))
        assert await unit.sessions.delete_for_kernel(KernelId("k2")) == 1
        assert await unit.kernels.delete(kernel.id)
        assert not await unit.kernels.delete(kernel.id)
        assert await unit.sessions.list_for(bob.id) == []


async def test_a_path_that_cannot_be_stored_is_a_bad_request(store: Store, bob: User) -> None:
    with pytest.raises(BadRequest):
        async with store.reading() as unit:
            await unit.sessions.find_by_path(bob.id, "a\0b.ipynb")


async def test_workspaces_kernels_and_sessions_go_with_their_user(store: Store, bob: User, kernel: Kernel) -> None:
    async with store.unit() as unit:
        await unit.sessions.add(a_session(kernel))
        await unit.users.delete(bob.id)
        assert await unit.workspaces.list() == []
        assert await unit.kernels.list() == []
        assert await unit.sessions.find(SessionId("s1")) is None
