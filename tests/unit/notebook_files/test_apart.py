"""The child process: it does what it is asked within its bounds, and starts no program whatever a text says."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hub.contents import workers
from hub.errors import BadRequest, TooLarge, TooManyRequests
from hub.notebook_files import apart
from hub.notebook_files.jobs import Combine, Compare, Comparison, Line, NotebookRead, ReadText, TextWritten, WriteText

UID = 212_345 if os.geteuid() == 0 else None


def file_of(*cells: object, **metadata: object) -> bytes:
    made = new_notebook(cells=list(cells), metadata=metadata)
    return str(nbformat.writes(made)).encode()


def test_a_notebook_becomes_text_and_comes_back() -> None:
    notebook = file_of(new_markdown_cell("# T", id="m"), new_code_cell("x = 1", id="c"))
    text = apart.do(WriteText(notebook, ".py", "percent"), TextWritten, "a.py", UID).text
    assert b"# %% [markdown]\n# # T\n\n# %%\nx = 1\n" in text
    assert b'"x = 1"' in apart.do(ReadText(text, ".py"), NotebookRead, "a.py", UID).notebook
    combined = apart.do(Combine(text, notebook, ".py", "percent"), NotebookRead, "a.py", UID)
    assert combined.is_same


@pytest.mark.parametrize(
    "extension, text",
    [
        (
            ".md",
            "---\njupyter:\n  jupytext:\n    text_representation: {extension: .md, format_name: pandoc}\n---\nx\n",
        ),
        (".py", "import marimo\napp = marimo.App()\n\n@app.cell\ndef _():\n    return\n"),
    ],
)
def test_a_text_that_asks_for_a_program_starts_none(
    extension: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("pandoc", "marimo"):
        file = tmp_path / program
        file.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\necho {program} 9.9.9\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    try:
        apart.do(ReadText(text.encode(), extension), NotebookRead, "a")
    except BadRequest as error:
        assert error.message.startswith("a: ")
    assert not (tmp_path / "started").exists()


def test_what_is_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooLarge, match="MiB"):
        apart.do(ReadText(b"x" * (apart.MAX_BYTES + 1), ".py"), NotebookRead, "a.py")
    monkeypatch.setattr(apart, "SECONDS", 0.01)
    with pytest.raises(TooLarge, match="longer than"):
        apart.do(ReadText(b"x", ".py"), NotebookRead, "a.py")


def test_a_text_that_says_how_to_make_a_huge_notebook_is_refused_where_it_is_read() -> None:
    aliases = [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 4)]
    text = "\n".join(["---", "jupyter:", f"  a0: &a0 [{'x' * 80_000}]", *aliases, "---", "", "# x", ""])
    with pytest.raises(BadRequest, match="64 MiB"):
        apart.do(ReadText(text.encode(), ".md"), NotebookRead, "a.md", UID)


def test_so_many_metadata_keys_are_named_and_no_more() -> None:
    many = {f"key{n}": n for n in range(5000)}
    found = apart.do(Compare(file_of(), file_of(**many)), Comparison, "a.ipynb", UID)
    assert len(found.metadata) == 51
    assert found.metadata[-1] == "4950 more"


def test_those_who_wait_for_a_conversion_leave_threads_to_all_other_file_work() -> None:
    assert apart.MOST_WAITING <= workers.THREADS - 16
    with ExitStack() as stack:
        for _ in range(apart.MOST_WAITING):
            stack.enter_context(apart._inside)
        with pytest.raises(TooManyRequests):
            apart.do(ReadText(b"x", ".py"), NotebookRead, "a.py")


def test_two_notebooks_are_compared_cell_by_cell() -> None:
    shown = new_output("stream", text="1\n")
    old = file_of(
        new_markdown_cell("# gone", id="m"),
        *(new_code_cell(f"same {n}", id=f"s{n}") for n in range(3)),
        new_code_cell("x = 1\ny = 2", id="c", outputs=[shown]),
        title="a",
    )
    image = new_output("display_data", {"text/html": "<script>alert(1)</script>", "text/plain": "2"})
    new = file_of(
        *(new_code_cell(f"same {n}", id=f"s{n}") for n in range(3)),
        new_code_cell("x = 1\ny = 3", id="c", outputs=[image]),
        new_code_cell("new", id="n"),
        title="b",
    )
    found = apart.do(Compare(old, new), Comparison, "a.ipynb", UID)
    assert (found.added, found.removed, found.changed, found.is_same) == (1, 1, 1, False)
    assert [(cell.kind, cell.count, cell.old_number, cell.new_number) for cell in found.cells] == [
        ("removed", 1, 1, None),
        ("same", 3, 2, 1),
        ("changed", 1, 5, 4),
        ("added", 1, None, 5),
    ]
    changed = found.cells[2]
    assert changed.lines == [Line("same", "x = 1"), Line("removed", "y = 2"), Line("added", "y = 3")]
    assert [line.kind for line in changed.outputs] == ["removed", "added", "added"]
    assert "<script" not in str(changed.outputs)
    assert found.metadata == ["title"]
    assert apart.do(Compare(old, old), Comparison, "a.ipynb", UID).is_same


def test_what_is_no_notebook_is_said_to_be_none() -> None:
    with pytest.raises(BadRequest, match="not a notebook"):
        apart.do(Compare(b"[]", b"{"), Comparison, "a.ipynb", UID)
