"""What becomes of an execution, as a table."""

from __future__ import annotations

import math

import pytest

from hub.results import deciding
from hub.results.deciding import Ended, Known, Shown
from hub.results.tracking import Execution, Index
from hub.workspaces.connections import ANYBODY
from tests.unit.results.conftest import Scribe

S = "front-end"
BEGAN, END_SEQ, END_AT = 1001.0, 10, 1010.0
LATER = END_AT + 5


def execution(*, ended: bool = True) -> Execution:
    return Execution("r1", S, "cell-a", "digest", 1, BEGAN, END_SEQ, END_AT, ended)


def seen(through: int | None) -> dict[str, Ended]:
    return {S: Ended("closed", LATER, "ab", through)}


SETTLED: dict[str, tuple[Known, set[str], bool]] = {
    "nothing is known": (Known(), set(), False),
    "it was watched, not saved": (Known(ended=seen(END_SEQ)), set(), False),
    "saved by its own front end after the end": (Known(saved_by={S: LATER}, notebooks={"a": LATER}), {S}, True),
    "saved before the end": (Known(saved_by={S: END_AT - 1}, notebooks={"a": END_AT - 1}), {S}, False),
    "saved by its own, which had it all, and is gone": (Known(saved_by={S: LATER}, ended=seen(END_SEQ)), set(), True),
    "saved by its own, which had not got the end": (Known(saved_by={S: LATER}, ended=seen(END_SEQ - 1)), set(), False),
    "saved by its own, whose proxy was killed": (Known(saved_by={S: LATER}), set(), True),
    "saved by another": (Known(saved_by={"other": LATER}, notebooks={"a": LATER}), {"other"}, False),
    "saved by somebody without a name": (Known(saved_by={ANYBODY: LATER}), set(), True),
    "shown": (Known(shown={"r1": Shown(END_SEQ, LATER)}, notebooks={"a": END_AT}), set(), False),
    "shown, then saved": (Known(shown={"r1": Shown(END_SEQ, LATER)}, notebooks={"a": LATER + 1}), set(), True),
    "a part was shown, then saved": (
        Known(shown={"r1": Shown(END_SEQ - 1, LATER)}, notebooks={"a": LATER + 1}), set(), False,
    ),
    "written by the hub": (Known(settled={"r1": END_SEQ}), set(), True),
    "a part was written by the hub": (Known(settled={"r1": END_SEQ - 1}), set(), False),
    "all up to there is settled": (Known(settled_through=END_SEQ), set(), True),
    "all up to before its end is settled": (Known(settled_through=END_SEQ - 1), set(), False),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTLED)
def test_settled(case: str) -> None:
    known, connected, expected = SETTLED[case]
    assert deciding.is_settled(execution(), known, connected) is expected


def test_what_runs_is_never_settled_by_a_save() -> None:
    known = Known(saved_by={S: LATER}, notebooks={"a": LATER}, shown={"r1": Shown(END_SEQ, END_AT)})
    assert not deciding.is_settled(execution(ended=False), known, {S})


NOW = 5000.0
OPEN: dict[str, tuple[Known, set[str], dict[str, float], float, float]] = {
    # what is known, who is connected, when they were last heard, when the hub began, for how long it is open
    "somebody is connected": (Known(), {"x"}, {}, 0, math.inf),
    "nobody ever was": (Known(), set(), {}, 0, 0),
    "closed a second ago": (Known(ended={S: Ended("closed", NOW - 1)}), set(), {}, 0, 2),
    "closed long ago": (Known(ended={S: Ended("closed", NOW - 3)}), set(), {}, 0, 0),
    "dropped a second ago": (Known(ended={S: Ended("dropped", NOW - 1)}), set(), {}, 0, 44),
    "silent for a minute": (Known(ended={S: Ended("silent", NOW - 60)}), set(), {}, 0, 540),
    "ended in a way nobody knows": (Known(ended={S: Ended("?", NOW - 60)}), set(), {}, 0, 540),
    "its proxy vanished": (Known(), set(), {S: NOW - 60}, 0, 540),
    "it came back before that": (Known(ended={S: Ended("closed", NOW - 90)}), set(), {S: NOW - 60}, 0, 540),
    "somebody without a name": (Known(), set(), {ANYBODY: NOW - 5}, 0, 10),
    "the hub was away, it may come back": (Known(), set(), {}, NOW - 100, 500),
}


@pytest.mark.parametrize("case", OPEN)
def test_open_for(case: str) -> None:
    known, connected, heard, began_at, expected = OPEN[case]
    seconds = deciding.open_for(NOW, known, connected, [execution()], began_at=began_at, last_heard=heard)
    assert seconds == expected


def test_a_cell_that_was_run_again_and_saved_is_not_overwritten_by_the_run_before(kernel: Scribe) -> None:
    kernel.run("r1", "x", "old", "cell-a")
    kernel.run("r2", "x", "old too", "cell-a")
    kernel.run("r3", "x", "new", "cell-a")
    kernel.run("r4", "y", "another", "cell-b")
    index = Index()
    index.take(kernel.records)
    newer = index.find("r3")
    assert newer is not None
    assert [each.msg_id for each in deciding.unsettled(index, Known(), ())] == ["r1", "r2", "r3", "r4"]
    left = deciding.unsettled(index, Known(settled={"r3": newer.last_seq}), ())
    assert [each.msg_id for each in left] == ["r4"]


def test_what_is_settled_stays_so_and_what_is_left_does_not_hide_it(kernel: Scribe) -> None:
    kernel.run("r1", "a", "1", "cell-a")
    kernel.begin("r2", "b", "cell-b")
    kernel.run("r3", "c", "3", "cell-c")
    index, known = Index(), Known()
    index.take(kernel.records)
    first, second, third = (index.find(f"r{n}") for n in (1, 2, 3))
    assert first is not None and second is not None and third is not None
    deciding.settle(index, known, [first, third], [second])
    assert [each.msg_id for each in deciding.unsettled(index, known, ())] == ["r2"]
    assert known.settled_through == second.begin_seq - 1
    kernel.end("r2")
    index.take(kernel.records)
    deciding.settle(index, known, [second], [])
    assert known.settled_through == index.read_to and not known.settled
    kernel.print("r1", "late")
    index.take(kernel.records)
    assert [each.msg_id for each in deciding.unsettled(index, known, ())] == ["r1"]


def test_notebooks_follow_renames() -> None:
    known = Known(notebooks={"a/x.ipynb": 5.0, "ab/y.ipynb": 6.0})
    assert deciding.note_renamed(known, "a", "c/d")
    assert known.notebooks == {"c/d/x.ipynb": 5.0, "ab/y.ipynb": 6.0}
    assert not deciding.note_renamed(known, "a", "b")
    deciding.note_notebook(known, "new.ipynb", "c/d/x.ipynb")
    assert known.notebooks == {"ab/y.ipynb": 6.0, "new.ipynb": 5.0}


def test_what_a_console_or_an_extension_ran_is_no_cells(kernel: Scribe) -> None:
    kernel.run("r1", "x", "1", "cell-a")
    kernel.run("r2", "x", "asked by an extension of the same front end")
    kernel.session = "console"
    kernel.run("r3", "x", "typed in a console")
    index = Index()
    index.take(kernel.records)
    assert [each.msg_id for each in deciding.unsettled(index, Known(has_console=True), ())] == ["r1"]
    assert [each.msg_id for each in deciding.unsettled(index, Known(), ())] == ["r1", "r3"]


def test_a_front_end_that_never_names_cells_has_them_found_by_their_code(kernel: Scribe) -> None:
    kernel.run("r1", "x", "1")
    index = Index()
    index.take(kernel.records)
    assert [each.msg_id for each in deciding.unsettled(index, Known(has_console=True), ())] == ["r1"]
