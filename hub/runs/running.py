"""A run for its outputs: a fresh kernel of the user's, the job, and the kernel's end."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import PurePosixPath

from hub.contents.service import ContentsOfUsers
from hub.domain.ids import WorkspaceId
from hub.domain.kernels import KernelState
from hub.domain.runs import Run, RunState
from hub.domain.users import User
from hub.domain.workspace import WorkspaceState
from hub.errors import AgentSilent, Conflict, HubError, NotFound, StartFailed
from hub.runs.events import Progress
from hub.runs.jobs import UNBEGUN, JobGone, Told, begin, failure, follow_to_its_end
from hub.store.engine import Store
from hub.workspaces.agents import Agents, ask
from hub.workspaces.kernels import Kernels
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

READY_AFTER = timedelta(seconds=120)
POLL_SECONDS = 0.1

Save = Callable[[Run], Awaitable[None]]


class Running:
    """Performs runs, and goes on with those that a hub before this one began."""

    def __init__(self, store: Store, agents: Agents, kernels: Kernels, contents: ContentsOfUsers, clock: Clock) -> None:
        self._store = store
        self._agents = agents
        self._kernels = kernels
        self._contents = contents
        self._clock = clock

    async def perform(self, run: Run, user: User, told: Told, save: Save) -> Run:
        """Bring the run to its end and give it. Raises HubErrors when it could not begin."""
        if run.state is RunState.STARTING:
            run = await self._start(run, user, save)
        ended = await self._follow(run, told)
        await self._trust(ended, user)
        return ended

    async def clear(self, run: Run, user: User) -> None:
        """Shut the run's kernel down, if it is there."""
        try:
            await self._kernels.shutdown(user, run.kernel_id, "its notebook's run ended")
        except NotFound:
            pass
        except HubError as error:
            log.warning("the kernel of run %s was not shut down: %s", run.id, error.message)

    async def stop(self, run: Run) -> None:
        """End the run's job; who follows it sees that. Raises HubErrors."""
        if run.workspace_id is not None:
            await ask(self._agents.client(run.workspace_id).stop_job(run.id))

    async def _start(self, run: Run, user: User, save: Save) -> Run:
        try:
            await self._kernels.start(user, run.spec_name, run.path, run.kernel_id)
        except Conflict:
            await self._kernels.row(user, run.kernel_id)  # begun by a hub before this one
        kernel = await self._kernels.row(user, run.kernel_id)
        run = replace(run, workspace_id=kernel.workspace_id)
        await wait_ready(self._agents, self._clock, kernel.workspace_id, run)
        note = None if run.output == run.path else {"input_path": run.path, "output_path": run.output}
        run = replace(run, state=RunState.RUNNING)
        await save(run)
        arguments = {"path": run.output, "output": run.output, "note": note}
        await begin(self._agents, kernel.workspace_id, run, arguments)
        return run

    async def _follow(self, run: Run, told: Told) -> Run:
        if (workspace_id := run.workspace_id) is None:
            return replace(run, state=RunState.REFUSED, error=failure(UNBEGUN))
        try:
            progress = await follow_to_its_end(
                self._agents, workspace_id, run, told, lambda: self._why_gone(workspace_id)
            )
        except JobGone as gone:
            return replace(run, state=RunState.DIED, error=failure(str(gone)))
        if progress.end is RunState.DIED:
            progress = replace(progress, error=await self._explained(run, progress))
        output = progress.output if is_beside(run.output, progress.output) else run.output
        return replace(
            run,
            state=progress.end or RunState.DIED,
            output=output,
            cell=progress.cell,
            total=progress.total,
            name=progress.name,
            error=progress.error,
        )

    async def _why_gone(self, workspace_id: WorkspaceId) -> str | None:
        async with self._store.reading() as unit:
            workspace = await unit.workspaces.find(workspace_id)
        if workspace is None:
            return "it was removed"
        if workspace.state is WorkspaceState.STOPPED:
            return workspace.stop_reason or "it was stopped"
        return None

    async def _explained(self, run: Run, progress: Progress) -> dict[str, object] | None:
        """The error of a run whose kernel died, with the reason that the agent knows."""
        if run.workspace_id is None or progress.error is None:
            return progress.error
        try:
            live = await self._agents.status(run.workspace_id, max_age=0.0)
        except AgentSilent:
            return progress.error
        kernel = live.kernels.get(run.kernel_id)
        if kernel is None or not kernel.reason:
            return progress.error
        return {**progress.error, "evalue": f"The kernel died: {kernel.reason}"}

    async def _trust(self, run: Run, user: User) -> None:
        """The user asked for these outputs as one does who runs the cells in a browser."""
        if run.state in (RunState.REFUSED, RunState.STARTING):
            return
        try:
            await self._contents.of(user).trust(run.output)
        except HubError as error:
            log.info("the outputs of run %s are not trusted: %s", run.id, error.message)


async def wait_ready(agents: Agents, clock: Clock, workspace_id: WorkspaceId, run: Run) -> None:
    """Wait until the run's kernel answers. Raises StartFailed with the reason."""
    deadline = clock.monotonic() + READY_AFTER.total_seconds()
    while clock.monotonic() < deadline:
        kernel = (await agents.status(workspace_id, max_age=POLL_SECONDS)).kernels.get(run.kernel_id)
        if kernel is not None and kernel.state is KernelState.DEAD:
            raise StartFailed(f"The kernel {run.spec_name} did not start: {kernel.reason or 'it ended at once'}.")
        if kernel is not None and kernel.state in (KernelState.IDLE, KernelState.BUSY):
            return
        await asyncio.sleep(POLL_SECONDS)
    raise StartFailed(f"The kernel {run.spec_name} did not answer within {READY_AFTER.total_seconds():.0f} s.")


def is_beside(output: str, told: str) -> bool:
    """Whether the file that a program names may be where it put the outputs: the one it was given, or beside it."""
    if told == output:
        return True
    given, said = PurePosixPath(output), PurePosixPath(told)
    name = re.escape(given.stem) + r"(-run\d{0,6})+" + re.escape(given.suffix)
    return said.parent == given.parent and re.fullmatch(name, said.name) is not None
