"""``api/kernelhub/runs``: notebooks run from top to bottom without a browser."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from hub.domain.runs import Run, RunId
from hub.errors import BadRequest, NotFound
from hub.jupyter.handler import JupyterHandler
from hub.jupyter.kernels import kernel_id_of
from hub.runs.hidden_state import HiddenState
from hub.runs.service import RunRequest
from hub.runs.state import CellState


class StartRun(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST api/kernelhub/runs``; `timeout` in seconds is that of each cell."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    output: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] | None = None
    parameters: dict[str, Any] = {}
    kernel: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0, le=30 * 86400)] | None = None


class Verify(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST api/kernelhub/verify``; `timeout` in seconds is that of each cell."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    kernel: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0, le=30 * 86400)] | None = None


class BadgeModel(msgspec.Struct):
    """What is known of a notebook as it is now: nothing, where `verdict` is null. `running` is a verification now."""

    path: str
    version: str
    verdict: str | None
    verified_at: datetime | None
    error: dict[str, Any] | None
    running: RunModel | None


class RunModel(msgspec.Struct):
    """A run as the API shows it. `cell` of `total` is the one that runs, or ran last; `name` its first line."""

    id: str
    kind: str
    path: str
    output: str
    state: str
    cell: int
    total: int
    name: str
    kernel: dict[str, str]
    started_at: datetime
    ended_at: datetime | None
    error: dict[str, Any] | None
    verdict: str | None


def run_model(run: Run) -> RunModel:
    """A run in the API's form."""
    return RunModel(
        id=run.id,
        kind=run.kind.value,
        path=run.path,
        output=run.output,
        state=run.state.value,
        cell=run.cell,
        total=run.total,
        name=run.name,
        kernel={"id": run.kernel_id, "name": run.spec_name},
        started_at=run.started_at,
        ended_at=run.ended_at,
        error=run.error,
        verdict=None if run.verdict is None else run.verdict.value,
    )


def _without_traceback(model: RunModel) -> RunModel:
    if model.error is None:
        return model
    return msgspec.structs.replace(model, error={k: v for k, v in model.error.items() if k != "traceback"})


def run_id_of(value: str) -> RunId:
    """A run's id in an address. Raises NotFound when it is none."""
    try:
        return RunId(kernel_id_of(value))
    except BadRequest as error:
        raise NotFound(f"There is no run {value[:64]}.") from error


class RunsHandler(JupyterHandler):
    """The user's runs."""

    async def get(self, _name: str) -> None:
        """List them, the newest first, without tracebacks: those are in each run's own answer."""
        self.write_json([_without_traceback(run_model(run)) for run in await self.services.runs.list(self.user)])

    async def post(self, _name: str) -> None:
        """Begin one; the answer comes at once, and its address tells how far it is."""
        asked = self.body(StartRun)
        request = RunRequest(
            path=asked.path.strip("/"),
            output=None if asked.output is None else asked.output.strip("/"),
            parameters=asked.parameters,
            kernel=asked.kernel,
            cell_seconds=asked.timeout,
        )
        run = await self.services.runs.start(self.user, request)
        self.set_header("Location", self.url("api/kernelhub/runs", run.id))
        self.write_json(run_model(run), 202)


class RunHandler(JupyterHandler):
    """One run."""

    async def get(self, _name: str, run_id: str) -> None:
        """How far it is, or how it ended."""
        self.write_json(run_model(await self.services.runs.get(self.user, run_id_of(run_id))))

    async def delete(self, _name: str, run_id: str) -> None:
        """Stop it; the cells that ran keep their outputs."""
        self.write_json(run_model(await self.services.runs.stop(self.user, run_id_of(run_id))))


class VerifyHandler(JupyterHandler):
    """Whether a notebook gives anew what is in its file."""

    async def get(self, _name: str) -> None:
        """The badge of the notebook as it is now."""
        path = self.query("path").strip("/")
        badge = await self.services.verifications.badge(self.user, path)
        last = badge.last
        model = BadgeModel(
            path=path,
            version=badge.digest,
            verdict=None if last is None or last.verdict is None else last.verdict.value,
            verified_at=None if last is None else last.ended_at,
            error=None if last is None else last.error,
            running=None if badge.under_way is None else run_model(badge.under_way),
        )
        self.write_json(model)

    async def post(self, _name: str) -> None:
        """Begin to verify it; the answer comes at once, and its address tells how far it is."""
        asked = self.body(Verify)
        run = await self.services.verifications.start(self.user, asked.path.strip("/"), asked.kernel, asked.timeout)
        self.set_header("Location", self.url("api/kernelhub/runs", run.id))
        self.write_json(run_model(run), 202)


class StateHandler(JupyterHandler):
    """What the kernel of an open notebook has in its memory that the notebook does not say."""

    async def get(self, _name: str) -> None:
        """Cells out of order, changed, deleted or never run, as far as the kernel's executions are remembered."""
        hidden = await self.services.hidden_states.look(self.user, self.query("path").strip("/"))
        self.write_json(state_model(hidden))


def state_model(hidden: HiddenState) -> dict[str, Any]:
    """A notebook's hidden state in the API's form: the whole list of cells, and the four lists of what is hidden."""
    report = hidden.report
    if report is None:
        return {"path": hidden.path, "kernel": None}
    cells = report.cells
    return {
        "path": hidden.path,
        "kernel": {"id": hidden.kernel_id},
        "complete": report.complete,
        "clean": report.is_clean,
        "cells": cells,
        "out_of_order": [cell.number for cell in cells if cell.before],
        "changed": [cell.number for cell in cells if cell.state is CellState.CHANGED],
        "deleted": report.ghosts,
        "elsewhere": report.elsewhere,
        "never_run": [cell.number for cell in cells if cell.state is CellState.NEVER_RUN],
    }
