"""Reading journals and folding what is in them: into a notebook's bytes, or into notebooks of single cells. Blocking.

Much of it is done in a process of its own (`apart`): what a kernel wrote is hostile, and parsing it takes long.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hub.results.folding import Folded, Wanted, fold
from hub.results.placing import Fate, place
from proxy.kit.journal import Journal, Record

MOST_PAGES = 64

Json = dict[str, Any]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Executions of one kernel, and where its journal is."""

    folder: str
    kernel_id: str
    owner_uid: int
    wanted: list[Wanted]


class Report(msgspec.Struct, kw_only=True):
    """What came of it: each execution's fate, whether the notebook is another now, and why nothing could be done."""

    fates: dict[str, Fate] = {}
    changed: bool = False
    unusable: str = ""


def insert(sources: Sequence[Source], document: bytes) -> tuple[Report, bytes]:
    """The notebook file with the executions' outputs in their cells; b"" when it is the same as before."""
    try:
        notebook = json.loads(document)
        problem = _problem(notebook)
    except (ValueError, RecursionError):
        problem = "it is not a notebook"
    if problem:
        return Report(unusable=problem), b""
    before = json.dumps([cell.get(name) for cell in notebook["cells"] for name in _WRITTEN], sort_keys=True)
    report = Report()
    for source in sources:
        report.fates.update(place(notebook, folded(source)))
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []) if isinstance(cell.get("outputs"), list) else []:
            _split(output)
    after = json.dumps([cell.get(name) for cell in notebook["cells"] for name in _WRITTEN], sort_keys=True)
    report.changed = before != after
    return report, json.dumps(notebook).encode() if report.changed else b""


def cells(sources: Sequence[Source]) -> Json:
    """A notebook for each execution, of its one cell, by the request's id."""
    made: Json = {}
    for source in sources:
        for each in folded(source):
            if not each.wanted.echo:
                made[each.wanted.msg_id] = _notebook(each)
    return made


def folded(source: Source) -> list[Folded]:
    """What the kernel's journal says of the wanted executions."""
    begin = min((each.begin_seq for each in source.wanted), default=1)
    return fold(records(source, begin - 1), source.wanted)


def records(source: Source, after: int) -> Iterator[Record]:
    """All records of a journal after number `after`."""
    journal = Journal(Path(source.folder), source.kernel_id, source.owner_uid)
    for _ in range(MOST_PAGES):
        page = journal.read(after)
        yield from page.records
        if page.complete:
            return
        after = page.last


_WRITTEN = ("outputs", "execution_count", "metadata")


def _problem(notebook: Any) -> str:
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        return "it is not a notebook"
    if notebook.get("nbformat") != 4:
        return "its format is an older one; open and save it once"
    if not all(isinstance(cell, dict) and isinstance(cell.get("metadata", {}), dict) for cell in notebook["cells"]):
        return "it does not follow its format"
    return ""


def _notebook(each: Folded) -> Json:
    for output in each.outputs:
        _split(output)
    cell = {
        "cell_type": "code",
        "execution_count": each.execution_count,
        "id": "missed",
        "metadata": {"execution": each.times} if each.times else {},
        "outputs": each.outputs,
        "source": (each.source or "# The code is no longer known.").splitlines(True),
    }
    return {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def _split(output: Any) -> None:
    """Texts as lists of lines, as on the disk: what is the same as before then looks the same."""
    if not isinstance(output, dict):
        return
    if isinstance(output.get("text"), str):
        output["text"] = output["text"].splitlines(True)
    data = output.get("data")
    if isinstance(data, dict):
        for kind, value in data.items():
            if isinstance(value, str) and _is_text(kind):
                data[kind] = value.splitlines(True)


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind in ("application/javascript", "image/svg+xml")


def sizes(sources: Iterable[Source]) -> int:
    """About how many bytes of journals are to be read, at most."""
    total = 0
    for source in sources:
        for file in Path(source.folder).glob(f"journal-{source.kernel_id}-*"):
            try:
                total += file.lstat().st_size
            except OSError:
                continue
    return total
