"""How two notebooks differ, cell by cell: nbdime aligns the cells, what is said about them is text. For the child."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import nbdime
import nbformat

from hub.errors import BadRequest
from hub.notebook_files.jobs import CellChange, Compare, Comparison, Line

CONTEXT = 3
MAX_LINES = 5_000
MAX_LINE_CHARS = 500
MAX_OUTPUT_LINES = 60
MAX_KEYS = 50
_UNSAID = frozenset({"trusted"})


def compare(job: Compare) -> Comparison:
    """What changed from the old to the new. Raises BadRequest for what is not a notebook."""
    old, new = _notebook(job.old), _notebook(job.new)
    changes = list(_joined(_align(old["cells"], new["cells"])))
    count = {kind: sum(change.kind == kind for change in changes) for kind in ("added", "removed", "changed")}
    metadata = _differing(old["metadata"], new["metadata"])
    cells, is_cut = _cut(changes)
    return Comparison(
        is_same=not metadata and not any(count.values()), **count, cells=cells, metadata=metadata, is_cut=is_cut
    )


def _notebook(data: bytes) -> Any:
    try:
        notebook: Any = nbformat.reads(data.decode(), as_version=4)  # type: ignore[no-untyped-call]
        for cell in notebook["cells"]:
            cell["source"] = _text(cell.get("source", ""))
        return notebook
    except Exception as error:
        raise BadRequest("One of the two is not a notebook that can be read.") from error


def _align(old: Sequence[Any], new: Sequence[Any]) -> Iterator[CellChange]:
    """One change for each cell, in the new order; what was removed stands where it was."""
    found: Any = nbdime.diff_notebooks({"cells": old, "metadata": {}}, {"cells": new, "metadata": {}})
    steps: Any = next((step["diff"] for step in found if step["key"] == "cells"), [])
    at, now = 0, 0
    for step in steps:
        while at < step["key"]:
            yield _pair(old[at], new[now], at, now)
            at, now = at + 1, now + 1
        if step["op"] == "addrange":
            for cell in step["valuelist"]:
                yield _alone("added", cell, now)
                now += 1
        elif step["op"] == "removerange":
            for _ in range(step["length"]):
                yield _alone("removed", old[at], at)
                at += 1
        else:
            yield _pair(old[at], new[now], at, now)
            at, now = at + 1, now + 1
    while at < len(old):
        yield _pair(old[at], new[now], at, now)
        at, now = at + 1, now + 1


def _pair(old: Any, new: Any, at: int, now: int) -> CellChange:
    lines = _lines(old["source"], new["source"]) if old["source"] != new["source"] else []
    before, after = _outputs(old), _outputs(new)
    outputs = _lines("\n".join(before), "\n".join(after)) if before != after else []
    metadata = _differing(old.get("metadata", {}), new.get("metadata", {}))
    kind_changed = old["cell_type"] != new["cell_type"]
    if kind_changed:
        metadata = ["cell type", *metadata]
    is_same = not (lines or outputs or metadata)
    return CellChange(
        kind="same" if is_same else "changed",
        cell_type=new["cell_type"],
        old_number=at + 1,
        new_number=now + 1,
        lines=lines,
        outputs=outputs,
        metadata=metadata,
    )


def _alone(kind: Any, cell: Any, index: int) -> CellChange:
    lines = [Line(kind, _short(line)) for line in cell["source"].split("\n")]
    outputs = [Line(kind, line) for line in _outputs(cell)]
    old, new = (None, index + 1) if kind == "added" else (index + 1, None)
    return CellChange(
        kind=kind, cell_type=cell["cell_type"], old_number=old, new_number=new, lines=lines, outputs=outputs
    )


def _lines(old: str, new: str) -> list[Line]:
    """The lines of both with three equal ones around each change."""
    before, after = old.split("\n"), new.split("\n")
    lines: list[Line] = []
    end = 0
    for group in difflib.SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(CONTEXT):
        if skipped := group[0][1] - end:
            lines.append(_gap(skipped))
        for tag, low, high, new_low, new_high in group:
            if tag == "equal":
                lines += [Line("same", _short(line)) for line in before[low:high]]
            else:
                lines += [Line("removed", _short(line)) for line in before[low:high]]
                lines += [Line("added", _short(line)) for line in after[new_low:new_high]]
        end = group[-1][2]
    if skipped := len(before) - end:
        lines.append(_gap(skipped))
    return lines


def _outputs(cell: Mapping[str, Any]) -> list[str]:
    """The outputs in lines: texts as they are, anything else by its type and size. No script, no image."""
    lines: list[str] = []
    for output in cell.get("outputs", []):
        kind = output.get("output_type")
        if kind == "stream":
            lines += _text(output.get("text", "")).rstrip("\n").split("\n")
        elif kind == "error":
            lines.append(f"{output.get('ename', '')}: {output.get('evalue', '')}")
        else:
            lines += _shown(output.get("data", {}))
    shown = [_short(line) for line in lines[:MAX_OUTPUT_LINES]]
    if len(lines) > MAX_OUTPUT_LINES:
        shown.append(f"… {len(lines) - MAX_OUTPUT_LINES} more lines")
    return shown


def _shown(data: Mapping[str, Any]) -> list[str]:
    rich = [
        f"[{mime}, {len(_text(value))} characters, {_mark(value)}]"
        for mime, value in data.items()
        if mime != "text/plain"
    ]
    return rich + (_text(data["text/plain"]).split("\n") if "text/plain" in data else [])


def _mark(value: object) -> str:
    """A few characters that change when the content does."""
    return f"{hash(_text(value)) & 0xFFFF:04x}"


def _joined(changes: Iterator[CellChange]) -> Iterator[CellChange]:
    """Equal cells in a row as one entry."""
    held: CellChange | None = None
    for change in changes:
        if held is not None and change.kind == "same":
            held = CellChange(
                kind="same",
                cell_type=held.cell_type,
                old_number=held.old_number,
                new_number=held.new_number,
                count=held.count + 1,
            )
            continue
        if held is not None:
            yield held
        held = change if change.kind == "same" else None
        if held is None:
            yield change
    if held is not None:
        yield held


def _cut(changes: list[CellChange]) -> tuple[list[CellChange], bool]:
    """As many changes as a page can show."""
    left = MAX_LINES
    for number, change in enumerate(changes):
        left -= 1 + len(change.lines) + len(change.outputs)
        if left < 0:
            return changes[:number], True
    return changes, False


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    keys = sorted({*old, *new} - _UNSAID)
    found = [_short(str(key)) for key in keys if old.get(key) != new.get(key)]
    return found if len(found) <= MAX_KEYS else [*found[:MAX_KEYS], f"{len(found) - MAX_KEYS} more"]


def _gap(count: int) -> Line:
    return Line("gap", f"{count} equal line{'s' if count > 1 else ''}")


def _text(value: object) -> str:
    if isinstance(value, list):
        return "".join(str(one) for one in value)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _short(line: str) -> str:
    return line if len(line) <= MAX_LINE_CHARS else f"{line[:MAX_LINE_CHARS]}… ({len(line)} characters)"
