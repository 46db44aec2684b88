"""Runs: a notebook executed from top to bottom without a browser. Pure.

    starting → running → succeeded | failed | died | stopped
    starting → refused

Whatever it was, an end is final. A verification is a run whose outputs are compared with those in the file and then
thrown away; what came of it is its `verdict`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from hub.domain.ids import KernelId, UserId, WorkspaceId

RunId = NewType("RunId", str)
"""A UUID, which is also the id of the job in the container."""


class RunKind(StrEnum):
    """What a run is for."""

    RUN = "run"
    VERIFY = "verify"


class RunState(StrEnum):
    """How far a run is. `DIED`: the kernel or its container ended; `REFUSED`: nothing could be run at all."""

    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DIED = "died"
    STOPPED = "stopped"
    REFUSED = "refused"

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen any more."""
        return self not in (RunState.STARTING, RunState.RUNNING)


class Verdict(StrEnum):
    """What a verification found: `UNKNOWN` when it could not be brought to its end."""

    REPRODUCIBLE = "reproducible"
    FAILS = "fails"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `cell` of `total` (from 1) is where it is or ended; `name` that cell's first line.

    `output` is the file that holds the outputs. `error` says what went wrong: ``ename``, ``evalue``, ``traceback``
    and, where a cell did, ``cell``, ``index`` (its place in the notebook, from 0), ``execution_count``; of a
    verification also ``difference``. `spec_name` is the kernelspec, `cell_seconds` the most that a cell may take
    (None: no limit). `digest` is that of the notebook's version that a verification is about; in the end, of the one
    that it judged.
    """

    id: RunId
    user_id: UserId
    kind: RunKind
    path: str
    output: str
    kernel_id: KernelId
    spec_name: str
    workspace_id: WorkspaceId | None
    state: RunState
    started_at: datetime
    cell_seconds: float | None = None
    ended_at: datetime | None = None
    cell: int = 0
    total: int = 0
    name: str = ""
    error: dict[str, Any] | None = None
    verdict: Verdict | None = None
    digest: str | None = None
