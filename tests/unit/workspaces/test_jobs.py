"""hub.workspaces.jobs: whose jobs are whose, and what is said while a container starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from hub.domain.ids import UserId, WorkspaceId
from hub.domain.users import Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import Conflict, HubError, NotFound, StartFailed, TooManyRequests
from hub.workspaces.agents import ask
from hub.workspaces.jobs import MAX_STARTING, NEWEST_BYTES, Jobs
from proxy.contract.agent import JobInfo, JobOutput
from proxy.kit.agent_client import AgentRefused

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA, BOB = (User(UserId(f"{name}-id"), 1, name, Role.USER, NOW) for name in ("ada", "bob"))
HERS = Workspace(WorkspaceId("w"), ADA.id, "base", WorkspaceState.RUNNING, "i", Limits(None, None, None))


@dataclass
class World:
    """Ada's workspace, which runs as soon as `up` is set, and its agent in memory."""

    up: asyncio.Event = field(default_factory=asyncio.Event)
    failure: HubError | None = None
    place: Workspace = HERS
    jobs: dict[str, tuple[str, Any]] = field(default_factory=dict)
    size: int = 3

    async def list_for(self, user: User) -> list[Workspace]:
        return [self.place] if user.id == ADA.id else []

    async def ensure(self, user: User, profile: str | None = None) -> Workspace:
        await self.up.wait()
        if self.failure is not None:
            raise self.failure
        return self.place

    def forget_status(self, workspace_id: WorkspaceId) -> None:
        pass

    def client(self, workspace_id: WorkspaceId) -> World:
        return self

    async def start_job(self, job_id: str, program: str, arguments: Any) -> JobInfo:
        self.jobs.setdefault(job_id, (program, arguments))
        return JobInfo(job_id, program, 0.0)

    async def read_job(self, job_id: str, offset: int = 0) -> JobOutput:
        if job_id not in self.jobs:
            raise AgentRefused("not_found", "there is no such job")
        if offset == 0:
            return JobOutput(JobInfo(job_id, "git_pull", 0.0, self.size), 0, 3, "{}\n")
        return JobOutput(JobInfo(job_id, "git_pull", 0.0, self.size), offset, self.size, f"from {offset}\n")

    async def stop_job(self, job_id: str) -> None:
        del self.jobs[job_id]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def jobs(world: World) -> AsyncIterator[Jobs]:
    part = cast(Any, world)
    made = Jobs(part, part)
    yield made
    await made.close()


async def started(jobs: Jobs, job_id: str) -> JobOutput:
    async with asyncio.timeout(5):
        while (output := await jobs.look(ADA, job_id)) is None:
            await asyncio.sleep(0)
        return output


async def test_a_job_waits_for_its_container_and_is_then_found_there(world: World, jobs: Jobs) -> None:
    job_id = jobs.start_soon(ADA, "git_pull", {"repo": "x"})
    assert await jobs.look(ADA, job_id) is None
    world.up.set()
    assert (await started(jobs, job_id)).text == "{}\n"
    assert world.jobs == {job_id: ("git_pull", {"repo": "x"})}


async def test_a_hub_that_was_restarted_meanwhile_finds_it_too(world: World, jobs: Jobs) -> None:
    info = await jobs.start(ADA, HERS.id, "git_pull", {})
    part = cast(Any, world)
    assert await Jobs(part, part).look(ADA, info.job_id) is not None


async def test_of_a_job_that_wrote_much_the_last_is_looked_at(world: World, jobs: Jobs) -> None:
    info = await jobs.start(ADA, HERS.id, "git_pull", {})
    world.size = 10**6
    output = await jobs.look(ADA, info.job_id)
    assert output is not None and output.text == f"from {10**6 - NEWEST_BYTES}\n"


async def test_nobody_else_can_start_read_stop_or_look_at_it(world: World, jobs: Jobs) -> None:
    world.up.set()
    info = await jobs.start(ADA, HERS.id, "git_pull", {})
    waiting = jobs.start_soon(ADA, "git_pull", {})
    for attempt in (
        jobs.start(BOB, HERS.id, "git_pull", {}),
        jobs.read(BOB, HERS.id, info.job_id),
        jobs.stop(BOB, HERS.id, info.job_id),
        jobs.look(BOB, info.job_id),
        jobs.look(BOB, waiting),
    ):
        with pytest.raises(NotFound):
            await attempt
    await jobs.stop(ADA, HERS.id, info.job_id)
    assert info.job_id not in world.jobs


async def test_a_container_that_does_not_start_is_the_jobs_failure(world: World, jobs: Jobs) -> None:
    world.failure = StartFailed("The image is missing.")
    job_id = jobs.start_soon(ADA, "git_pull", {})
    world.up.set()
    for _ in range(2):
        with pytest.raises(StartFailed, match="The image is missing"):
            await started(jobs, job_id)


async def test_few_of_one_user_may_wait_at_once(jobs: Jobs) -> None:
    for _ in range(MAX_STARTING):
        jobs.start_soon(ADA, "git_pull", {})
    with pytest.raises(TooManyRequests):
        jobs.start_soon(ADA, "git_pull", {})
    jobs.start_soon(BOB, "git_pull", {})


async def test_a_job_of_a_container_that_was_stopped_is_over(world: World, jobs: Jobs) -> None:
    info = await jobs.start(ADA, HERS.id, "git_pull", {})
    world.place = replace(HERS, state=WorkspaceState.STOPPED)
    with pytest.raises(NotFound):
        await jobs.look(ADA, info.job_id)


async def test_an_agent_of_an_earlier_version_is_told_apart_from_a_program_that_fails() -> None:
    async def refuse() -> None:
        raise AgentRefused("unknown_op", "there is no operation 'job.start'")

    with pytest.raises(Conflict, match="earlier version of the hub"):
        await ask(refuse())
