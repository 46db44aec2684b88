"""What the program ``run_notebook`` tells, line by line, taken into a run. Pure.

It runs in the user's container, so its word is anybody's: what is not of the expected form is ignored, and all that is
kept is bounded and can be stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import msgspec

from hub.domain.runs import RunState

MAX_TRACEBACK_CHARS = 40_000
MAX_TEXT_CHARS = 1_000
MOST_CELLS = 2**31 - 1
EDGE_LINES = 500
"""Of one answer so many lines from its beginning and its end are read. How a run began and ended stands there; a
container that says megabytes without a pause must not keep the hub busy."""
ENDS = {
    "succeeded": RunState.SUCCEEDED,
    "failed": RunState.FAILED,
    "died": RunState.DIED,
    "stopped": RunState.STOPPED,
}

_Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_CELLS)]


class _Error(msgspec.Struct):
    ename: str = ""
    evalue: str = ""
    traceback: str = ""
    cell: _Count | None = None
    index: _Count | None = None
    execution_count: _Count | None = None


class _Event(msgspec.Struct):
    event: str = ""
    total: _Count = 0
    cell: _Count = 0
    name: str = ""
    state: str = ""
    output: str = ""
    error: _Error | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is by its program's word. `end` None: it goes on. `output`: the file that has the outputs."""

    cell: int = 0
    total: int = 0
    name: str = ""
    end: RunState | None = None
    output: str = ""
    error: dict[str, Any] | None = None


def follow(progress: Progress, text: str) -> Progress:
    """What is known after more lines."""
    for line in _edges(text):
        try:
            event = msgspec.json.decode(line, type=_Event)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        progress = _after(progress, event)
    return progress


def _edges(text: str) -> list[str]:
    """The first and the last lines."""
    if text.count("\n") <= 2 * EDGE_LINES:
        return text.split("\n")
    return [*text.split("\n", EDGE_LINES)[:EDGE_LINES], *text.rsplit("\n", EDGE_LINES)[1:]]


def _after(progress: Progress, event: _Event) -> Progress:
    match event.event:
        case "begin":
            return replace(progress, total=event.total)
        case "cell":
            return replace(progress, cell=event.cell, name=cleaned(event.name, MAX_TEXT_CHARS))
        case "end" if event.state in ENDS:
            error = None if event.error is None else _error(event.error)
            output = cleaned(event.output, MAX_TEXT_CHARS)
            return replace(progress, end=ENDS[event.state], output=output, error=error)
        case _:
            return progress


def _error(told: _Error) -> dict[str, Any]:
    error: dict[str, Any] = {
        "ename": cleaned(told.ename, MAX_TEXT_CHARS),
        "evalue": cleaned(told.evalue, MAX_TEXT_CHARS),
        "traceback": cleaned(told.traceback, MAX_TRACEBACK_CHARS),
    }
    if told.cell is not None:
        error |= {"cell": told.cell, "index": told.index, "execution_count": told.execution_count}
    return error


def cleaned(text: str, most: int) -> str:
    """Text that both databases can keep, cut to `most` characters."""
    return text[:most].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
