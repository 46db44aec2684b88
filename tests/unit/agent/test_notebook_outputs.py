"""hub.agent.notebook_outputs and notebook_file: outputs as nbformat keeps them, files as Jupyter writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.agent import notebook_file
from hub.agent.notebook_file import Target, Unusable
from hub.agent.notebook_outputs import CellOutputs, Room, Screen

Json = dict[str, Any]


def folded(*messages: tuple[str, Json], most: int = 10_000) -> CellOutputs:
    outputs = CellOutputs({}, Room(), most)
    for kind, content in messages:
        outputs.take(kind, content)
    return outputs


def printed(text: str, name: str = "stdout") -> tuple[str, Json]:
    return "stream", {"name": name, "text": text}


def shown(text: str, display_id: str | None = None, kind: str = "display_data") -> tuple[str, Json]:
    return kind, {"data": {"text/plain": text}, "metadata": {}, "transient": {"display_id": display_id}}


def texts(outputs: CellOutputs) -> list[str]:
    return [o["text"] if o["output_type"] == "stream" else o["data"]["text/plain"] for o in outputs.finished()]


def test_adjacent_texts_of_a_stream_are_joined_and_others_are_not() -> None:
    outputs = folded(printed("a"), printed("b\n"), printed("c", "stderr"), printed("d"), shown("e"), printed("f"))
    assert texts(outputs) == ["ab\n", "c", "d", "e", "f"]


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["10%\r", "50%\r", "100%\n"], "100%\n"),
        (["hello\rJ"], "Jello"),
        (["ab\b", "c"], "ac"),
        (["a\r\n", "b"], "a\nb"),
        (["\b\bx"], "x"),
        (["one\ntwo\r", "three"], "one\nthree"),
    ],
)
def test_carriage_returns_and_backspaces_are_applied(pieces: list[str], text: str) -> None:
    assert texts(folded(*map(printed, pieces))) == [text]


@given(st.lists(st.text("ab\n\r\b", max_size=12), max_size=8))
def test_a_screen_shows_the_same_however_the_text_was_cut(pieces: list[str]) -> None:
    whole, cut = Screen(), Screen()
    whole.write("".join(pieces))
    for piece in pieces:
        cut.write(piece)
        cut.text()
    assert cut.text() == whole.text()


def test_clear_output_clears_at_once_or_with_the_next_output() -> None:
    assert texts(folded(printed("a"), ("clear_output", {"wait": False}), printed("b"))) == ["b"]
    assert texts(folded(printed("a"), ("clear_output", {"wait": True}))) == ["a"]
    assert texts(folded(printed("a"), ("clear_output", {"wait": True}), shown("b"), printed("c"))) == ["b", "c"]


def test_a_display_is_updated_wherever_it_is_shown_unless_it_was_cleared() -> None:
    displays: dict[str, list[Json]] = {}
    first, second = CellOutputs(displays, Room()), CellOutputs(displays, Room())
    first.take(*shown("old", "x"))
    second.take(*shown("old", "x"))
    second.take(*shown("another", "y"))
    second.take(*shown("new", "x", "update_display_data"))
    assert (texts(first), texts(second)) == (["new"], ["new", "another"])
    first.take("clear_output", {"wait": False})
    second.take(*shown("newest", "x", "update_display_data"))
    assert (texts(first), texts(second)) == ([], ["newest", "another"])


def test_results_carry_their_count_and_errors_their_traceback() -> None:
    outputs = folded(
        ("execute_input", {"execution_count": 3}),
        ("execute_result", {"data": {"text/plain": "4"}, "metadata": {}, "execution_count": 3}),
        ("error", {"ename": "E", "evalue": "v", "traceback": ["t"]}),
    )
    assert outputs.execution_count == 3 and outputs.finished() == [
        {"output_type": "execute_result", "data": {"text/plain": "4"}, "metadata": {}, "execution_count": 3},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]},
    ]


def test_what_is_too_much_is_left_out_said_once_and_errors_are_kept() -> None:
    outputs = folded(printed("a" * 60), printed("b" * 60), shown("c" * 60), ("error", {}), most=100)
    kinds = [output["output_type"] for output in outputs.finished()]
    assert kinds == ["stream", "stream", "error"]
    assert "more than a notebook file can hold" in texts(folded(printed("b" * 60), most=10))[0]
    cleared = folded(
        printed("a" * 60), ("clear_output", {}), printed("b" * 60), ("clear_output", {}), printed("c"), most=100
    )
    assert texts(cleared) == ["c"]


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
KINDS = ["stream", "display_data", "execute_result", "update_display_data", "error", "clear_output", "execute_input"]
FIELDS = ["name", "text", "data", "metadata", "transient", "wait", "ename", "traceback", "execution_count"]


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), JSONISH)), max_size=8))
def test_what_a_hostile_kernel_says_never_breaks_the_run(messages: list[tuple[str, Json]]) -> None:
    json.dumps(folded(*messages).finished())


# ---- files


def notebook(*cells: Json) -> Json:
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


LINES = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(deadline=None)  # the first example loads nbformat's schema
@given(LINES, LINES, LINES)
def test_a_file_is_written_as_nbformat_writes_it(source: str, text: str, picture: str) -> None:
    data = {"text/html": text, "image/png": picture, "image/svg+xml": text, "application/json": {"a": [text]}}
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": text},
        {"output_type": "display_data", "data": data, "metadata": {}},
        {"output_type": "error", "ename": "E", "evalue": text, "traceback": [text]},
    ]
    book = notebook(
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": source, "attachments": {"x": data}},
        {"cell_type": "code", "id": "b", "metadata": {"trusted": True}, "source": source, "outputs": outputs,
         "execution_count": 1},
    )  # fmt: skip
    expected: str = nbformat.writes(nbformat.from_dict(json.loads(json.dumps(book))))
    assert notebook_file.encode(book).decode() == expected + ("" if expected.endswith("\n") else "\n")


def test_a_lone_surrogate_is_written_as_an_escape() -> None:
    data = notebook_file.encode(notebook({"cell_type": "raw", "metadata": {}, "source": "\udc80"}))
    assert json.loads(data)["cells"][0]["source"] == ["\udc80"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"nbformat": 3, "worksheets": []}',
        b'{"nbformat": 4}',
        b'{"nbformat": 4, "metadata": {}, "cells": [1]}',
        b'{"nbformat": 4, "metadata": [], "cells": []}',
        b'{"nbformat": 4, "metadata": {}, "cells": [{"metadata": {}, "source": 1}]}',
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_notebook_of_version_4_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.ipynb"
    file.write_bytes(data)
    with pytest.raises(Unusable):
        notebook_file.read(str(file))


def test_folders_pipes_and_nothing_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing", Path("/dev/zero")):
        with pytest.raises(Unusable):
            notebook_file.read(str(path))


def test_a_file_keeps_its_mode_and_its_link_and_no_draft_is_left(tmp_path: Path) -> None:
    file, link = tmp_path / "real.ipynb", tmp_path / "link.ipynb"
    file.write_text("{}")
    file.chmod(0o600)
    link.symlink_to(file)
    Target(str(link)).write(notebook())
    assert link.is_symlink() and file.stat().st_mode & 0o777 == 0o600 and json.loads(file.read_text()) == notebook()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.ipynb", "real.ipynb"]


def test_a_file_that_somebody_else_saved_meanwhile_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.ipynb"
    file.write_text("{}")
    target = Target(str(file))
    target.write(notebook())
    file.write_text("theirs")
    target.write(notebook())
    target.write(notebook())
    assert file.read_text() == "theirs" and Path(target.path) == tmp_path / "a-run.ipynb"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-run.ipynb", "a.ipynb"]
