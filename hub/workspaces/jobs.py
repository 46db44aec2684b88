"""Use cases of jobs: programs of the agent's own that run in the user's container for the hub.

A job lives in the container and ends with it; hub and proxies may restart meanwhile. Whoever starts one keeps its id.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from hub.domain.ids import WorkspaceId
from hub.domain.users import User
from hub.domain.workspace import WorkspaceState
from hub.errors import HubError, NotFound, TooManyRequests
from hub.workspaces.agents import Agents, ask
from hub.workspaces.service import Workspaces
from proxy.contract.agent import JobInfo, JobOutput
from proxy.kit.tasks import TaskOwner

MAX_STARTING = 4
"""How many jobs of one user may wait for their container at once."""
NEWEST_BYTES = 64 * 1024
"""How much of what a job wrote is looked at, if it does not fit into one answer."""
MAX_FAILURES = 256
"""How many failed starts are remembered, of all users."""


@dataclass(slots=True)
class _Start:
    """A job that waits for its container, or could not be started."""

    user: User
    failure: HubError | None = None


class Jobs:
    """Jobs in the workspaces of users. What they write is untrusted: the container's user could have written it."""

    def __init__(self, workspaces: Workspaces, agents: Agents) -> None:
        self._workspaces = workspaces
        self._agents = agents
        self._tasks = TaskOwner("jobs")
        self._starts: dict[str, _Start] = {}

    async def start(
        self,
        user: User,
        workspace_id: WorkspaceId,
        program: str,
        arguments: Mapping[str, object],
        job_id: str | None = None,
    ) -> JobInfo:
        """Start `program` in a running workspace of the user's; with the `job_id` of one that is there: that one.

        Raises NotFound when the workspace is not the user's; Conflict when too many programs run; BadRequest;
        StartFailed when it cannot be run; AgentSilent.
        """
        await self._check(user, workspace_id)
        job_id = job_id or str(uuid.uuid4())
        try:
            return await ask(self._agents.client(workspace_id).start_job(job_id, program, arguments))
        finally:
            self._agents.forget_status(workspace_id)

    def start_soon(self, user: User, program: str, arguments: Mapping[str, object]) -> str:
        """Start `program` in the user's default workspace once that runs; the job's id, for `look`.

        Raises TooManyRequests when several of the user's wait already.
        """
        waiting = [start for start in self._starts.values() if start.user.id == user.id and start.failure is None]
        if len(waiting) >= MAX_STARTING:
            raise TooManyRequests("Several programs wait for your container already; try again when it runs.", 10)
        job_id = str(uuid.uuid4())
        self._starts[job_id] = start = _Start(user)
        self._tasks.start(self._start_when_running(job_id, start, program, arguments), f"start {program}")
        return job_id

    async def look(self, user: User, job_id: str) -> JobOutput | None:
        """What a job wrote last, wherever it runs; None while its container starts.

        Raises what its start failed with; NotFound when there is no such job of the user's.
        """
        start = self._starts.get(job_id)
        if start is not None and start.user.id == user.id:
            if start.failure is not None:
                raise start.failure
            return None
        for workspace in await self._workspaces.list_for(user):
            if workspace.state is WorkspaceState.RUNNING:
                try:
                    return await self._newest(workspace.id, job_id)
                except NotFound:
                    continue
        raise NotFound("There is no such job.")

    async def read(self, user: User, workspace_id: WorkspaceId, job_id: str, offset: int = 0) -> JobOutput:
        """What a job wrote from `offset` on, and how it is. Raises NotFound, AgentSilent."""
        await self._check(user, workspace_id)
        return await ask(self._agents.client(workspace_id).read_job(job_id, offset))

    async def stop(self, user: User, workspace_id: WorkspaceId, job_id: str) -> None:
        """End a job, returning when it has ended. Raises NotFound, AgentSilent."""
        await self._check(user, workspace_id)
        try:
            await ask(self._agents.client(workspace_id).stop_job(job_id))
        finally:
            self._agents.forget_status(workspace_id)

    async def close(self) -> None:
        """Give up what waits for its container. What runs goes on."""
        await self._tasks.close()

    async def _newest(self, workspace_id: WorkspaceId, job_id: str) -> JobOutput:
        client = self._agents.client(workspace_id)
        output = await ask(client.read_job(job_id))
        if output.next_offset < output.job.output_bytes:
            output = await ask(client.read_job(job_id, max(0, output.job.output_bytes - NEWEST_BYTES)))
        return output

    async def _start_when_running(
        self, job_id: str, start: _Start, program: str, arguments: Mapping[str, object]
    ) -> None:
        try:
            workspace = await self._workspaces.ensure(start.user)
            await self.start(start.user, workspace.id, program, arguments, job_id)
        except HubError as error:
            start.failure = error
            failed = [known for known, other in self._starts.items() if other.failure is not None]
            for oldest in failed[:-MAX_FAILURES]:
                del self._starts[oldest]
        else:
            del self._starts[job_id]

    async def _check(self, user: User, workspace_id: WorkspaceId) -> None:
        if all(workspace.id != workspace_id for workspace in await self._workspaces.list_for(user)):
            raise NotFound("There is no such workspace.")
