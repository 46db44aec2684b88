"""Executions, as they are found in a journal."""

from __future__ import annotations

import pytest

from hub.results.tracking import Index, digest_of
from tests.unit.results.conftest import Scribe


def read(kernel: Scribe) -> Index:
    index = Index()
    index.take(kernel.records)
    return index


def test_a_cell_begins_with_its_input_and_ends_when_the_kernel_is_idle(kernel: Scribe) -> None:
    kernel.begin("r1", "print(1)", "cell-a")
    running = read(kernel).find("r1")
    assert running is not None and not running.ended
    assert (running.cell_id, running.session, running.digest) == ("cell-a", "front-end", digest_of("print(1)"))
    kernel.print("r1", "1\n")
    last = kernel.end("r1")
    ended = read(kernel).find("r1")
    assert ended is not None and ended.ended and (ended.last_seq, ended.last_at) == (last.seq, last.at)


def test_what_is_printed_after_the_end_counts(kernel: Scribe) -> None:
    kernel.run("r1", "start_thread()", "a\n", "cell-a")
    late = kernel.print("r1", "late\n")
    found = read(kernel).find("r1")
    assert found is not None and found.ended and found.last_seq == late.seq


def test_reading_on_is_the_same_as_reading_all(kernel: Scribe) -> None:
    kernel.run("r1", "1", "a", "cell-a")
    kernel.run("r2", "2", "b", "cell-b")
    index = Index()
    for record in kernel.records:
        index.take([record])
        index.take([record])
    assert [vars_of(e) for e in index] == [vars_of(e) for e in read(kernel)]


def vars_of(execution: object) -> list[object]:
    return [getattr(execution, name) for name in execution.__slots__]  # type: ignore[attr-defined]


def test_without_a_note_the_front_end_is_the_parents(kernel: Scribe) -> None:
    kernel.begin("r1", "1")
    found = read(kernel).find("r1")
    assert found is not None and (found.session, found.cell_id) == ("front-end", "")


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"x"', b"[" * 100_000, b'{"execution_state": 5}', b"\xff\xfe", b'{"code": {}}']
)
@pytest.mark.parametrize("kind", ["status", "execute_input", "display_data", "update_display_data"])
def test_what_is_not_well_formed_is_passed_over(kernel: Scribe, kind: str, raw: bytes) -> None:
    kernel.begin("r1", "1", "cell-a")
    kernel.say("r1", kind, None, raw=raw)
    kernel.say("r9", kind, None, raw=raw)
    kernel.end("r1")
    found = read(kernel).find("r1")
    assert found is not None and found.ended


def test_an_update_of_another_cells_display_names_that_cell(kernel: Scribe) -> None:
    kernel.begin("r1", "1", "cell-a")
    kernel.say("r1", "display_data", {"data": {"text/plain": "0"}, "transient": {"display_id": "d"}})
    kernel.end("r1")
    kernel.begin("r2", "2", "cell-b")
    kernel.say("r2", "update_display_data", {"data": {"text/plain": "1"}, "transient": {"display_id": "d"}})
    kernel.end("r2")
    found = read(kernel).find("r2")
    assert found is not None and found.origins == {"r1"}


def test_the_end_of_the_kernel_ends_what_ran(kernel: Scribe) -> None:
    kernel.run("r1", "1", "a")
    kernel.begin("r2", "2")
    index = read(kernel)
    index.end_all()
    first, second = index.find("r1"), index.find("r2")
    assert first is not None and first.ended and not first.cut_off
    assert second is not None and second.ended and second.cut_off


NAMED = [
    ("cell-a", "1", "cell-a", "2", True),
    ("cell-a", "1", "cell-b", "1", False),
    ("", "1", "cell-a", "1", True),
    ("vscode-notebook-cell:/a.ipynb#W0", "1", "vscode-notebook-cell:/a.ipynb#W0", "1", True),
    ("vscode-notebook-cell:/a.ipynb#W0", "1", "vscode-notebook-cell:/a.ipynb#W0", "2", False),
    ("vscode-notebook-cell:/a.ipynb#W0", "1", "vscode-notebook-cell:/a.ipynb#W1", "1", False),
]


@pytest.mark.parametrize(("one", "code", "other", "other_code", "same"), NAMED)
def test_an_address_in_an_editor_is_a_cells_name_only_together_with_the_code(
    kernel: Scribe, one: str, code: str, other: str, other_code: str, same: bool
) -> None:
    kernel.run("r1", code, "a\n", one)
    kernel.run("r2", other_code, "b\n", other)
    first, second = read(kernel)
    assert first.same_cell(second) is same
