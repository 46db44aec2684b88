"""The job of a run: started in a container, followed to its end, whatever happens to hub and caller meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from hub.domain.ids import WorkspaceId
from hub.domain.runs import Run, RunState
from hub.errors import AgentSilent, NotFound
from hub.runs.events import Progress, cleaned, follow
from hub.workspaces.agents import Agents, ask
from proxy.contract.agent import JobInfo

PROGRAM = "run_notebook"
POLL_SECONDS = (0.1, 1.0)
"""How often a job is read: from the first value, growing while it says nothing, to the second."""
MAX_REASON_CHARS = 1000
GONE = "The container ended while the notebook ran"
UNBEGUN = "The hub was restarted just as the run began; start it again."

Told = Callable[[Progress], None]
Gone = Callable[[], Awaitable[str | None]]
"""Asked while the agent is silent: why the container is gone for good, None while it may come back."""


class JobGone(Exception):
    """There is no such job, or its container ended; the message is a sentence for the user."""


async def begin(agents: Agents, workspace_id: WorkspaceId, run: Run, arguments: Mapping[str, object]) -> None:
    """Start the run's job on its kernel, whose key is asked of the agent. Raises HubErrors."""
    client = agents.client(workspace_id)
    attachment = await ask(client.attach_kernel(run.kernel_id))
    await ask(client.detach_kernel(run.kernel_id))
    given = {"kernel_id": run.kernel_id, "key": attachment.key, "cell_seconds": run.cell_seconds, **arguments}
    await ask(client.start_job(run.id, PROGRAM, given))
    agents.forget_status(workspace_id)


async def follow_to_its_end(agents: Agents, workspace_id: WorkspaceId, run: Run, told: Told, gone: Gone) -> Progress:
    """Read what the job says until it has ended. Raises JobGone."""
    progress, offset, pause = Progress(), 0, POLL_SECONDS[0]
    while True:
        try:
            output = await ask(agents.client(workspace_id).read_job(run.id, offset))
        except NotFound as error:
            raise JobGone(UNBEGUN) from error
        except AgentSilent as error:
            if (reason := await gone()) is not None:
                raise JobGone(f"{GONE}: {reason}") from error
            await asyncio.sleep(POLL_SECONDS[1])
            continue
        pause = POLL_SECONDS[0] if output.text else min(pause * 1.5, POLL_SECONDS[1])
        offset = output.next_offset
        progress = follow(progress, output.text)
        told(progress)
        if output.job.exit_status is not None and offset >= output.job.output_bytes:
            return progress if progress.end is not None else _unsaid(progress, output.job)
        await asyncio.sleep(pause)


def _unsaid(progress: Progress, job: JobInfo) -> Progress:
    """How a job ended that did not say so itself: it could not begin, or was killed."""
    reason = cleaned(job.reason or f"it ended with status {job.exit_status}", MAX_REASON_CHARS)
    begun = progress.total > 0
    words = f"The program that runs the notebook ended: {reason}" if begun else reason
    state = RunState.DIED if begun else RunState.REFUSED
    return Progress(progress.cell, progress.total, progress.name, state, "", failure(words))


def failure(words: str) -> dict[str, object]:
    """The `error` of a run that went wrong outside of any cell."""
    return {"ename": "", "evalue": words, "traceback": ""}
