"""Use cases of runs: start, list, follow, stop, and go on after the hub was restarted.

The row is written before anything happens; the work itself is done in the user's container, by a job that needs
neither its caller nor the hub.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from hub.contents.models import Model, SaveRequest
from hub.contents.service import ContentsOfUsers
from hub.domain.ids import KernelId, new_uuid
from hub.domain.runs import Run, RunId, RunKind, RunState
from hub.domain.users import User
from hub.errors import BadRequest, Conflict, HubError, NotFound
from hub.runs.events import Progress
from hub.runs.jobs import Told, failure
from hub.runs.notebooks import Wanted, require_parameters, wanted_kernel, with_parameters
from hub.runs.running import Save
from hub.store.engine import Store
from hub.workspaces.kernelspecs import Kernelspecs
from proxy.kit.clock import Clock
from proxy.kit.tasks import TaskOwner

log = logging.getLogger(__name__)

MAX_OPEN = 4
"""Runs of one user at a time."""
MAX_KEPT = 200
"""Runs of a user that are remembered, and as many verifications."""
MAX_PATH_CHARS = 1000
RETRY_SECONDS = 5.0


class Stage(Protocol):
    """What performs the runs of one kind."""

    async def perform(self, run: Run, user: User, told: Told, save: Save) -> Run:
        """Bring the run to its end and give it. Raises HubErrors when it could not begin."""

    async def clear(self, run: Run, user: User) -> None:
        """Remove what was started for the run; nothing is fine. Raises nothing."""

    async def stop(self, run: Run) -> None:
        """Make a run that is under way end soon. Raises HubErrors."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is to be run. `output` None: outputs go into the notebook itself. `kernel` None: the one it names."""

    path: str
    output: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    kernel: str | None = None
    cell_seconds: float | None = None


class Runs:
    """Everybody's runs. Owns a task for each that is under way; `close` ends the tasks, not the runs."""

    def __init__(
        self,
        store: Store,
        kernelspecs: Kernelspecs,
        contents: ContentsOfUsers,
        stages: Mapping[RunKind, Stage],
        clock: Clock,
    ) -> None:
        self._store = store
        self._kernelspecs = kernelspecs
        self._contents = contents
        self._stages = stages
        self._clock = clock
        self._tasks = TaskOwner("runs")
        self._under_way: dict[RunId, asyncio.Task[None]] = {}
        self._progress: dict[RunId, Progress] = {}

    async def start(self, user: User, request: RunRequest) -> Run:
        """Begin to run a notebook; gives the run, which goes on by itself.

        Raises NotFound and BadRequest for a notebook that is not there or none, for parameters without an output
        file or in a language that has none, and for a kernel that does not exist; Conflict for one run too many.
        """
        require_notebook(request.path, "The notebook")
        output = request.output or request.path
        require_notebook(output, "The output file")
        require_parameters(request.parameters)
        if request.parameters and output == request.path:
            raise BadRequest("Name an output file: with parameters, the notebook itself would be changed.")
        await self._require_room(user)
        contents = self._contents.of(user)
        model = await contents.get(request.path, type="notebook")
        content = content_of(model)
        wanted = await asyncio.to_thread(wanted_kernel, content)
        kernel, language = await self.choose_kernel(user, request.kernel, wanted)
        if request.parameters:
            content = await with_parameters(user.id, content, request.parameters, kernel, language)
        if output != request.path:
            await contents.save(output, SaveRequest(type="notebook", content=msgspec.Raw(content)))
        run = self._new(user, RunKind.RUN, request.path, output, kernel)
        return await self.begin(user, replace(run, cell_seconds=request.cell_seconds))

    async def begin(self, user: User, run: Run) -> Run:
        """Record a run and start to perform it. Raises Conflict for one too many."""
        await self._require_room(user)
        async with self._store.unit() as unit:
            await unit.runs.add(run)
            await unit.runs.trim(user.id, run.kind, MAX_KEPT)
        self._go_on(run, user)
        return run

    async def list(self, user: User) -> list[Run]:
        """The user's runs that are remembered, the newest first."""
        async with self._store.reading() as unit:
            found = await unit.runs.list_for(user.id, 2 * MAX_KEPT)
        return [self._seen(run) for run in found]

    async def get(self, user: User, run_id: RunId) -> Run:
        """One run, as it is now. Raises NotFound, also for another user's."""
        async with self._store.reading() as unit:
            run = await unit.runs.find(run_id)
        if run is None or run.user_id != user.id:
            raise NotFound(f"There is no run {run_id}.")
        return self._seen(run)

    async def stop(self, user: User, run_id: RunId) -> Run:
        """End a run; what its notebook has printed is kept. One that is over is left as it is. Raises NotFound."""
        run = await self.get(user, run_id)
        if run.state.is_over:
            return run
        task = self._under_way.get(run_id)
        if run.state is RunState.RUNNING:
            await self._stages[run.kind].stop(run)
            if task is not None:
                await asyncio.wait([task], timeout=RETRY_SECONDS)
        elif task is not None:
            task.cancel()
            await asyncio.wait([task])
            await self._stages[run.kind].clear(run, user)
            await self._end(replace(run, state=RunState.STOPPED, ended_at=self._clock.now()))
        return await self.get(user, run_id)

    async def resume(self) -> None:
        """Go on with all runs that are not over; the hub was restarted meanwhile."""
        async with self._store.reading() as unit:
            for run in await unit.runs.list_open():
                user = await unit.users.find(run.user_id)
                if user is not None and run.id not in self._under_way:
                    log.info("going on with run %s of %s", run.id, run.path)
                    self._go_on(run, user)

    async def close(self) -> None:
        """End the tasks. The runs go on in their containers; the next hub finds them."""
        await self._tasks.close()

    def is_under_way(self, run_id: RunId) -> bool:
        """Whether this hub is following the run now."""
        return run_id in self._under_way

    def new(self, user: User, kind: RunKind, path: str, kernel: str) -> Run:
        """A run that is about to begin."""
        return self._new(user, kind, path, path, kernel)

    async def choose_kernel(self, user: User, asked: str | None, wanted: Wanted) -> tuple[str, str]:
        """The name and language of the kernel that is meant: asked for, named by the notebook, or the default.

        A notebook from elsewhere may name a kernel that this hub lacks; that is said, never guessed.
        """
        listed = await self._kernelspecs.list(user)
        name = asked or wanted.kernel or listed.default
        choice = await self._kernelspecs.choose(user, name)
        for spec in listed.specs:
            if spec.name == choice.listed:
                language = spec.spec.get("language")
                return choice.listed, language if isinstance(language, str) else wanted.language
        raise await self._kernelspecs.unknown(user, name)

    def _new(self, user: User, kind: RunKind, path: str, output: str, kernel: str) -> Run:
        return Run(
            id=RunId(new_uuid()),
            user_id=user.id,
            kind=kind,
            path=path,
            output=output,
            kernel_id=KernelId(new_uuid()),
            spec_name=kernel,
            workspace_id=None,
            state=RunState.STARTING,
            started_at=self._clock.now(),
        )

    async def _require_room(self, user: User) -> None:
        async with self._store.reading() as unit:
            under_way = [run for run in await unit.runs.list_open() if run.user_id == user.id]
        if len(under_way) >= MAX_OPEN:
            raise Conflict(f"You have {MAX_OPEN} notebooks running already; stop one, or wait for its end.")

    def _go_on(self, run: Run, user: User) -> None:
        task = self._tasks.start(self._perform(run, user), f"run {run.id}")
        self._under_way[run.id] = task

        def ended(_: asyncio.Task[None]) -> None:
            self._under_way.pop(run.id, None)
            self._progress.pop(run.id, None)

        task.add_done_callback(ended)

    async def _perform(self, run: Run, user: User) -> None:
        stage = self._stages[run.kind]
        try:
            ended = await stage.perform(run, user, lambda told: self._progress.update({run.id: told}), self._save)
        except HubError as error:
            ended = replace(run, state=RunState.REFUSED, error=failure(error.message))
        except Exception:
            log.exception("run %s failed inside the hub", run.id)
            words = "The run failed inside the hub; its log says why."
            ended = replace(run, state=RunState.REFUSED, error=failure(words))
        await stage.clear(ended, user)
        await self._end(replace(ended, ended_at=self._clock.now()))

    async def _save(self, run: Run) -> None:
        async with self._store.unit() as unit:
            await unit.runs.save(run)

    async def _end(self, run: Run) -> None:
        """Record the end, however long the database takes to answer."""
        while True:
            try:
                await self._save(run)
            except NotFound:
                return  # its user was deleted meanwhile
            except HubError as error:
                log.warning("the end of run %s is not recorded yet: %s", run.id, error.message)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                log.info("run %s of user %s is over: %s", run.id, run.user_id, run.state)
                return

    def _seen(self, run: Run) -> Run:
        """A row with what its program said since."""
        progress = self._progress.get(run.id)
        if progress is None or run.state.is_over:
            return run
        return replace(run, cell=progress.cell, total=progress.total, name=progress.name)


def content_of(model: Model) -> bytes:
    """The JSON of a notebook's model."""
    if not isinstance(model.content, msgspec.Raw):
        raise BadRequest(f"{model.path} is not a notebook.")
    return bytes(model.content)


def require_notebook(path: str, what: str) -> None:
    """Raise BadRequest for a path that cannot be a notebook's; `what` begins the sentence."""
    if not path.endswith(".ipynb") or len(path) > MAX_PATH_CHARS:
        raise BadRequest(f"{what} must be a path in your home that ends in .ipynb.")
