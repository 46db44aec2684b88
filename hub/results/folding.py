"""The outputs of executions, made of their messages as front ends make them. Pure; slow for many messages.

Streams are joined with carriage returns applied, ``clear_output`` and updates of displays have their effect, in
whichever cell the display is (`hub.agent.notebook_outputs`). What a notebook file cannot hold is left out: messages'
buffers, and data that is of no form that nbformat knows.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from hub.agent.notebook_outputs import CellOutputs, Room
from hub.results.tracking import HEADERS, MALFORMED, PARENTS
from proxy.kit.journal_format import Kind, Record

MAX_SOURCE_CHARS = 1024**2
_JSON_TYPE = re.compile(r"application/(?:json|.*\+json)\Z")

Json = dict[str, Any]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An execution whose outputs are wanted.

    `echo`: its outputs are in the file already, and only what later executions changed of its displays is wanted.
    `cut_off`: why the kernel is no more, for one that was running then.
    """

    msg_id: str
    cell_id: str
    digest: str
    begin_seq: int
    echo: bool = False
    cut_off: str | None = None


class Folded(msgspec.Struct, kw_only=True):
    """What a cell holds after an execution, or so far. `before` is what an echo's outputs were, None for others.

    `times`: what JupyterLab records of an execution, by its names.
    """

    wanted: Wanted
    source: str | None
    outputs: list[Json]
    execution_count: int | None
    times: dict[str, str]
    before: list[Json] | None = None


class _Fold:
    def __init__(self, wanted: Wanted, displays: dict[str, list[Json]], room: Room) -> None:
        self.wanted = wanted
        self.cell = CellOutputs(displays, room)
        self.source: str | None = None
        self.times: dict[str, str] = {}
        self.last: list[Json] | None = None

    def take(self, kind: str, content: Json, date: str) -> None:
        if kind == "execute_input":
            code = content.get("code")
            self.source = code[:MAX_SOURCE_CHARS] if isinstance(code, str) else None
            self.times["iopub.execute_input"] = date
        elif kind == "status":
            state = content.get("execution_state")
            if state in ("busy", "idle"):
                self.times.setdefault(f"iopub.status.{state}", date)
        self.cell.take(kind, content)

    def result(self, before: list[Json] | None) -> Folded:
        outputs = _clean(self.cell.finished())
        if self.wanted.cut_off is not None:
            outputs.append(_cut_off(self.wanted.cut_off))
        return Folded(
            wanted=self.wanted,
            source=self.source,
            outputs=outputs,
            execution_count=self.cell.execution_count,
            times={name: date for name, date in self.times.items() if date},
            before=before,
        )


def fold(records: Iterable[Record], wanted: Iterable[Wanted]) -> list[Folded]:
    """The wanted executions' outputs, in their order. The records begin where the first of them does."""
    displays: dict[str, list[Json]] = {}
    room = Room()
    folds = {each.msg_id: _Fold(each, displays, room) for each in wanted}
    strays = CellOutputs(displays, room)
    first_new = min((each.begin_seq for each in wanted if not each.echo), default=0)
    echoes = [each for each in folds.values() if each.wanted.echo]
    before: dict[str, list[Json]] = {}
    for record in records:
        if echoes and record.seq >= first_new:
            before = {each.wanted.msg_id: copy.deepcopy(_clean(each.cell.finished())) for each in echoes}
            echoes = []
        if record.kind is not Kind.MESSAGE:
            continue
        try:
            header, parent = HEADERS.decode(record.parts[0]), PARENTS.decode(record.parts[1])
            mine = folds.get(parent.msg_id)
            if mine is None and header.msg_type != "update_display_data":
                continue
            content = json.loads(record.parts[3])
        except MALFORMED:
            continue
        if not isinstance(content, dict):
            continue
        if mine is not None:
            mine.take(header.msg_type, content, header.date)
        else:
            strays.take(header.msg_type, content)
    return [f.result(before.get(f.wanted.msg_id)) for f in folds.values()]


def _cut_off(reason: str) -> Json:
    return {
        "output_type": "error",
        "ename": "KernelDied",
        "evalue": reason,
        "traceback": [f"KernelDied: {reason}", "The outputs above are all that the cell wrote until then."],
    }


def _clean(outputs: list[Json]) -> list[Json]:
    """The outputs without what nbformat does not allow, and without empty ones."""
    cleaned = []
    for output in outputs:
        if output.get("text") == "":
            continue
        if "data" in output:
            data = {kind: value for kind, value in output["data"].items() if _is_allowed(kind, value)}
            if not data:
                continue
            output = {**output, "data": data}
        cleaned.append(output)
    return cleaned


def _is_allowed(kind: Any, value: Any) -> bool:
    if isinstance(kind, str) and _JSON_TYPE.match(kind):
        return True
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(line, str) for line in value))
