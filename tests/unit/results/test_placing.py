"""Which cell an execution's outputs belong to, and when none is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hub.contents.large import Scratch
from hub.results import work
from hub.results.apart import Insertion
from hub.results.folding import Wanted
from hub.results.placing import Fate
from hub.results.tracking import digest_of
from tests.unit.results.conftest import KERNEL, Scribe, notebook


def insert(kernel: Scribe, tmp_path: Path, document: Any, code: str, cell_id: str) -> tuple[work.Report, Any]:
    kernel.run("r1", code, "out\n", cell_id, count=3)
    kernel.write(tmp_path)
    wanted = Wanted(msg_id="r1", cell_id=cell_id, digest=digest_of(code), begin_seq=1)
    source = work.Source(folder=str(tmp_path), kernel_id=KERNEL, owner_uid=tmp_path.stat().st_uid, wanted=[wanted])
    insertion = Insertion(Scratch(tmp_path / "scratch"), [source])
    inserted = insertion(json.dumps(document).encode())
    return insertion.report, json.loads(inserted) if isinstance(inserted, bytes) else None


@pytest.mark.parametrize(
    ("sources", "code", "cell_id", "fate", "where"),
    [
        (["a", "b"], "b", "cell-1", Fate.PLACED, 1),
        (["same", "same"], "same", "cell-1", Fate.PLACED, 1),
        (["a", "b\n"], "b", "cell-1", Fate.PLACED, 1),
        (["a", "changed"], "b", "cell-1", Fate.CHANGED, None),
        (["b", "changed"], "b", "cell-1", Fate.CHANGED, None),
        (["a", "b"], "b", "", Fate.PLACED, 1),
        (["a", "b"], "b", "cell-of-a-copy", Fate.PLACED, 1),
        (["same", "same"], "same", "", Fate.AMBIGUOUS, None),
        (["a"], "b", "", Fate.ABSENT, None),
        ([], "b", "cell-0", Fate.ABSENT, None),
    ],
)
def test_the_cell_is_found_or_left_alone(
    kernel: Scribe, tmp_path: Path, sources: list[str], code: str, cell_id: str, fate: Fate, where: int | None
) -> None:
    report, document = insert(kernel, tmp_path, notebook(*sources), code, cell_id)
    assert report.fates == {"r1": fate}
    if where is None:
        assert document is None and not report.changed
        return
    for number, cell in enumerate(document["cells"]):
        assert bool(cell["outputs"]) == (number == where)
    assert document["cells"][where]["outputs"] == [{"output_type": "stream", "name": "stdout", "text": ["out\n"]}]
    assert document["cells"][where]["execution_count"] == 3


def test_what_is_there_already_is_no_change(kernel: Scribe, tmp_path: Path) -> None:
    _, document = insert(kernel, tmp_path, notebook("a"), "a", "cell-0")
    report, again = insert(Scribe(), tmp_path, document, "a", "cell-0")
    assert report.fates == {"r1": Fate.PLACED} and again is None


def test_times_are_recorded_where_the_notebook_records_them(kernel: Scribe, tmp_path: Path) -> None:
    timed = notebook("a", "b")
    timed["cells"][1]["metadata"]["execution"] = {"iopub.status.idle": "2026-01-01T00:00:00Z"}
    _, document = insert(kernel, tmp_path, timed, "a", "cell-0")
    assert "iopub.status.idle" in document["cells"][0]["metadata"]["execution"]
    _, document = insert(Scribe(), tmp_path, notebook("a"), "a", "cell-0")
    assert document["cells"][0]["metadata"] == {}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"cells": 5},
        {"cells": [5], "nbformat": 4},
        {"cells": [], "nbformat": 3},
        {"worksheets": [], "nbformat": 3},
    ],
)
def test_what_is_no_notebook_of_today_is_left_alone(kernel: Scribe, tmp_path: Path, document: Any) -> None:
    report, changed = insert(kernel, tmp_path, document, "a", "cell-0")
    assert report.unusable and changed is None and report.fates == {}


def test_large_journals_are_folded_in_a_process_of_their_own(
    kernel: Scribe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.results.apart.SMALL_BYTES", 0)
    report, document = insert(kernel, tmp_path, notebook("a"), "a", "cell-0")
    assert report.fates == {"r1": Fate.PLACED}
    assert document["cells"][0]["outputs"] == [{"output_type": "stream", "name": "stdout", "text": ["out\n"]}]
