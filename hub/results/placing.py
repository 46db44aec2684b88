"""Executions' outputs put into the cells of a notebook: which cell, and whether it may be touched. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from hub.agent.notebook_outputs import Screen
from hub.results.folding import Folded
from hub.results.tracking import digest_of

Json = dict[str, Any]


class Fate(StrEnum):
    """What became of an execution's outputs."""

    PLACED = "placed"
    CHANGED = "changed"
    """The cell's code is another one now."""
    AMBIGUOUS = "ambiguous"
    """Several cells have this code, and nobody told which one it was."""
    ABSENT = "absent"
    """No cell has this code."""


def place(notebook: Json, folded: Sequence[Folded]) -> dict[str, Fate]:
    """Put outputs, counts and times into their cells, in the given order; gives what became of each.

    The notebook is of version 4, as on the disk or as on the wire, and is changed in place.
    """
    cells = [cell for cell in notebook["cells"] if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    timed = any("execution" in cell.get("metadata", {}) for cell in cells)
    fates: dict[str, Fate] = {}
    for each in folded:
        found = _find(cells, each)
        if isinstance(found, Fate):
            fate = found
        else:
            fate = Fate.PLACED
            _fill(found, each, timed)
        if not each.wanted.echo:
            fates[each.wanted.msg_id] = fate
    return fates


def source_of(cell: Json) -> str:
    """A cell's code, whether it is kept as lines or as one text; "" for what is neither."""
    return _joined(cell.get("source"))


def _find(cells: list[Json], each: Folded) -> Json | Fate:
    wanted = each.wanted
    by_id = [cell for cell in cells if wanted.cell_id and cell.get("id") == wanted.cell_id]
    if len(by_id) == 1:
        return by_id[0] if digest_of(source_of(by_id[0])) == wanted.digest else Fate.CHANGED
    same = [cell for cell in cells if digest_of(source_of(cell)) == wanted.digest]
    if len(same) == 1:
        return same[0]
    return Fate.AMBIGUOUS if same else Fate.ABSENT


def _fill(cell: Json, each: Folded, timed: bool) -> None:
    if each.before is not None:
        _echo(cell, each, each.before)
        return
    cell["outputs"] = each.outputs
    cell["execution_count"] = each.execution_count
    if timed and each.times and isinstance(cell.get("metadata"), dict):
        cell["metadata"]["execution"] = dict(each.times)


def _echo(cell: Json, each: Folded, before: list[Json]) -> None:
    """Change displays that later executions updated; a cell whose outputs are others by now is left alone."""
    there = cell.get("outputs")
    if not isinstance(there, list) or not len(there) == len(before) == len(each.outputs):
        return
    for number, (was, now) in enumerate(zip(before, each.outputs, strict=True)):
        if was != now and _comparable(there[number]) == _comparable(was):
            there[number] = now


def _comparable(output: Any) -> Any:
    """An output with its texts joined, as in the file they may be lists of lines."""
    if not isinstance(output, dict):
        return output
    shown = {name: value for name, value in output.items() if name not in ("data", "text", "metadata")}
    if "text" in output:
        screen = Screen()
        screen.write(_joined(output["text"]))
        shown["text"] = screen.text()
    data = output.get("data")
    if isinstance(data, dict):
        shown["data"] = {kind: _joined(value) if _is_lines(value) else value for kind, value in data.items()}
    return shown


def _is_lines(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(line, str) for line in value)


def _joined(text: Any) -> str:
    if isinstance(text, str):
        return text
    return "".join(text) if _is_lines(text) else ""
