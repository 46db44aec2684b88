"""A verification: the notebook runs in a throw-away container, its outputs are compared, and nothing else remains."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from hub.config import Settings
from hub.contents.amending import Change
from hub.contents.service import ContentsOfUsers
from hub.domain.runs import Run, RunState, Verdict
from hub.domain.users import User
from hub.errors import HubError
from hub.runs.events import Progress, cleaned
from hub.runs.jobs import UNBEGUN, JobGone, Told, begin, failure, follow_to_its_end
from hub.runs.judge import digest_of, frame
from hub.runs.notebooks import run_child
from hub.runs.running import Save, wait_ready
from hub.runs.scratch import Scratches
from hub.workspaces.agents import Agents, ask
from hub.workspaces.kernelspecs import Kernelspecs
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

LONGEST = timedelta(hours=6)
HERE_BYTES = 1024**2
"""Up to this size a version's digest is made in a thread: a page asks for it while it is open."""
RESULT = ".kernelhub-verify.ipynb"
"""The file in the throw-away home that gets the outputs."""
MAX_DIFFERENCE_CHARS = 10_000


Glance = Callable[[User, str], AbstractAsyncContextManager[Change | None]]
"""Gives, for a look at a user's notebook, what its cells printed that is not in the file yet."""


@dataclass(frozen=True, slots=True)
class Content:
    """A notebook as it is now, with what is not in the file yet, and its version's digest."""

    data: bytes
    digest: str


class Verifying:
    """Performs verifications, and goes on with those that a hub before this one began."""

    def __init__(
        self,
        settings: Settings,
        scratches: Scratches,
        agents: Agents,
        kernelspecs: Kernelspecs,
        contents: ContentsOfUsers,
        glance: Glance,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._scratches = scratches
        self._agents = agents
        self._kernelspecs = kernelspecs
        self._contents = contents
        self._glance = glance
        self._clock = clock

    async def perform(self, run: Run, user: User, told: Told, save: Save) -> Run:
        """Bring the verification to its end and give it. Raises HubErrors when it could not begin."""
        if run.workspace_id is None:
            return _unknown(run, RunState.REFUSED, UNBEGUN)
        if run.state is RunState.STARTING:
            run = await self._start(run, user, save)
        try:
            async with asyncio.timeout(LONGEST.total_seconds()):
                progress = await self._follow(run, told)
        except JobGone as gone:
            return _unknown(run, RunState.DIED, str(gone))
        except TimeoutError:
            hours = LONGEST.total_seconds() / 3600
            return _unknown(run, RunState.STOPPED, f"It took longer than {hours:.0f} hours.")
        run = replace(
            run,
            state=progress.end or RunState.DIED,
            cell=progress.cell,
            total=progress.total,
            name=progress.name,
            error=progress.error,
            verdict=Verdict.UNKNOWN,
        )
        if run.state in (RunState.SUCCEEDED, RunState.FAILED, RunState.DIED):
            return await self._judged(run, user)
        return run

    async def clear(self, run: Run, user: User) -> None:
        """Remove the throw-away container. One that stays is removed when the hub starts the next time."""
        if run.workspace_id is None:
            return
        try:
            await self._scratches.close(run.workspace_id)
        except (HubError, OSError) as error:
            log.warning("the container of verification %s was not removed yet: %s", run.id, error)

    async def stop(self, run: Run) -> None:
        """End the job; who follows it sees that. Raises HubErrors."""
        if run.workspace_id is not None:
            await ask(self._agents.client(run.workspace_id).stop_job(run.id))

    async def _start(self, run: Run, user: User, save: Save) -> Run:
        workspace_id = run.workspace_id
        assert workspace_id is not None  # noqa: S101 - said by `perform`
        await self._scratches.close(workspace_id)  # what a hub before this one began
        choice = await self._kernelspecs.choose(user, run.spec_name)
        await self._scratches.open(workspace_id, user, self._kernelspecs.profile(user, choice.profile), run.path)
        folder = str(PurePosixPath(run.path).parent).removeprefix(".")
        client = self._agents.client(workspace_id)
        await ask(client.start_kernel(run.kernel_id, choice.kernel, folder, {"JPY_SESSION_NAME": run.path}))
        await wait_ready(self._agents, self._clock, workspace_id, run)
        run = replace(run, state=RunState.RUNNING)
        await save(run)
        await begin(self._agents, workspace_id, run, {"path": run.path, "output": RESULT, "note": None})
        return run

    async def _follow(self, run: Run, told: Told) -> Progress:
        assert run.workspace_id is not None  # noqa: S101 - said by `perform`
        workspace_id = run.workspace_id
        return await follow_to_its_end(
            self._agents, workspace_id, run, told, lambda: self._scratches.why_gone(workspace_id)
        )

    async def _judged(self, run: Run, user: User) -> Run:
        """The run with its verdict: the first cell that differs or fails, whichever comes first.

        What the notebook's cells printed meanwhile is compared; with other code than was run there is no verdict.
        """
        workspace_id = run.workspace_id
        assert workspace_id is not None  # noqa: S101 - said by `perform`
        contents = self._contents.of(user)
        error = run.error or {}
        try:
            kept = await read_version(self._contents, self._glance, user, run.path)
            run = replace(run, digest=kept.digest)
            found = await contents.read_out(self._scratches.written(workspace_id), RESULT)
            before = error.get("index") if run.state is not RunState.SUCCEEDED else None
            difference = await _first_difference(user, kept.data, found, before)
        except HubError as problem:
            return replace(run, error=failure(problem.message))
        if difference is not None:
            return replace(run, verdict=Verdict.DIFFERS, error=difference)
        if run.state is RunState.SUCCEEDED:
            return replace(run, verdict=Verdict.REPRODUCIBLE)
        return replace(run, verdict=Verdict.FAILS) if "cell" in error else run


async def read_version(contents: ContentsOfUsers, glance: Glance, user: User, path: str) -> Content:
    """The notebook and its version's digest. Raises NotFound, BadRequest."""
    async with glance(user, path) as amend:
        model = await contents.of(user).get(path, type="notebook", amend=amend)
    data = bytes(model.content)  # type: ignore[arg-type]
    if len(data) <= HERE_BYTES:
        return Content(data, await asyncio.to_thread(digest_of, data))
    digest: str = json.loads(await _judge(user, {"task": "digest"}, data))
    return Content(data, digest)


async def _first_difference(user: User, kept: bytes, found: bytes, before: int | None) -> dict[str, Any] | None:
    told = json.loads(await _judge(user, {"task": "compare", "before": before}, kept, found))
    if told is None:
        return None
    return {
        **failure(f"Cell {told['cell']} gives something else than is in the file."),
        "cell": told["cell"],
        "index": told["index"],
        "name": cleaned(told["name"], 200),
        "difference": cleaned(told["difference"], MAX_DIFFERENCE_CHARS),
    }


async def _judge(user: User, head: dict[str, Any], *notebooks: bytes) -> bytes:
    """Ask the child process (see `hub.runs.judge`), which has limits of its own."""
    given = b"".join(map(frame, (json.dumps(head).encode(), *notebooks)))
    return await run_child(user.id, "hub.runs.judge", given)


def _unknown(run: Run, state: RunState, words: str) -> Run:
    return replace(run, state=state, verdict=Verdict.UNKNOWN, error=failure(words))
