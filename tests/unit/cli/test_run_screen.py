"""hub.cli.run_screen and run_notebook: what a terminal is shown of a run, and how values are read."""

from __future__ import annotations

import math
from typing import Any

import click
import pytest

from hub.cli.run_notebook import _parameters
from hub.cli.run_screen import coloured, printable, report


def run(**changes: Any) -> dict[str, Any]:
    known = {"path": "a.ipynb", "output": "b.ipynb", "state": "succeeded", "cell": 3, "total": 3, "name": "x = 1"}
    return {**known, "error": None, **changes}


def error(**changes: Any) -> dict[str, Any]:
    return {"cell": 2, "execution_count": 5, "ename": "E", "evalue": "v", "traceback": "line 1\nline 2", **changes}


@pytest.mark.parametrize(
    ("shown", "status", "words"),
    [
        (run(), 0, "a.ipynb: 3 cells ran; outputs in b.ipynb"),
        (run(total=1), 0, "a.ipynb: 1 cell ran; outputs in b.ipynb"),
        (run(state="failed", error=error()), 1, "Cell 2 of 3 (In [5]) of a.ipynb failed: E: v"),
        (run(state="died", error=error(evalue="out of memory")), 1, "of a.ipynb did not end: out of memory"),
        (run(state="stopped", cell=2), 1, "a.ipynb was stopped, in cell 2 of 3"),
        (run(state="refused", cell=0, error={"ename": "", "evalue": "no kernel"}), 1, "could not be run: no kernel"),
    ],
)
def test_an_end_is_a_sentence_and_a_status(
    shown: dict[str, Any], status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(shown) == status
    said = capsys.readouterr()
    assert words in said.err and said.out == ""


def test_of_a_file_on_this_machine_the_output_here_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    report(run(path="kernelhub-run/x.ipynb", output="kernelhub-run/x-out.ipynb"), "here.ipynb", "result.ipynb")
    assert capsys.readouterr().err == "here.ipynb: 3 cells ran; outputs in result.ipynb\n"


def test_nothing_in_a_notebook_speaks_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\x1bPx\x1b\\\x9b31m"
    report(
        run(path=evil, name=evil, state="failed", error=error(ename=evil, evalue=evil, traceback=evil + "\x1b[31mred"))
    )
    assert not {"\x1b", "\x07", "\x9b"} & set(capsys.readouterr().err)
    assert coloured("\x1b[31mred\x1b[0m\n" + evil).count("\x1b") == 2
    assert printable("a\tb\u202ec") == "a b c"


def options(**given: Any) -> dict[str, Any]:
    return {"parameter": (), "raw": (), "yaml": (), "parameters_file": None, **given}


def test_values_are_read_as_papermill_reads_them() -> None:
    pairs = [("a", "1"), ("b", "1.5"), ("c", "True"), ("d", "None"), ("e", "true"), ("f", "1e3"), ("g", "[1]")]
    assert _parameters(options(parameter=pairs)) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "true", "f": 1000.0, "g": "[1]",
    }  # fmt: skip
    assert _parameters(options(raw=[("a", "1")], yaml=["{a: 2, b: [1, {c: 2026-01-01}]}"])) == {
        "a": "1", "b": [1, {"c": "2026-01-01"}],
    }  # fmt: skip


@pytest.mark.parametrize("given", [{"yaml": ["[1]"]}, {"yaml": ["{"]}, {"parameter": [("a", str(math.inf))]}])
def test_values_that_cannot_be_sent_are_mistakes_of_the_call(given: Any) -> None:
    with pytest.raises(click.UsageError):
        _parameters(options(**given))
