"""hub.runs.events and what else is pure: a container's word about a run, and which files it may name."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.runs import RunState
from hub.errors import BadRequest
from hub.runs.events import MAX_TEXT_CHARS, MAX_TRACEBACK_CHARS, Progress, follow
from hub.runs.notebooks import MAX_PARAMETERS_BYTES, Wanted, require_parameters, wanted_kernel
from hub.runs.running import is_beside
from hub.store.types import is_storable


def lines(*events: Any) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def test_a_run_is_followed_from_its_begin_to_its_end() -> None:
    progress = follow(Progress(), lines({"event": "begin", "total": 3}, {"event": "cell", "cell": 2, "name": "x = 1"}))
    assert progress == Progress(cell=2, total=3, name="x = 1")
    error = {"ename": "E", "evalue": "v", "traceback": "t", "cell": 2, "index": 4, "execution_count": 2}
    ended = follow(progress, lines({"event": "end", "state": "failed", "output": "a.ipynb", "error": error}))
    assert ended == Progress(2, 3, "x = 1", RunState.FAILED, "a.ipynb", error)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "1",
        "nonsense",
        '{"event": 1}',
        '{"event": "begin", "total": -1}',
        '{"event": "begin", "total": 1e99}',
        '{"event": "end", "state": "reproducible"}',
        '{"event": "end", "state": "starting"}',
        "[" * 100_000,
        '{"event": "other", "cell": 4}',
    ],
)
def test_what_is_no_event_changes_nothing(line: str) -> None:
    assert follow(Progress(cell=1), line + "\n") == Progress(cell=1)


TEXT = st.text(st.characters(), max_size=20)


@given(TEXT, TEXT, st.integers(), st.integers())
def test_all_that_is_kept_of_a_hostile_program_can_be_stored(name: str, text: str, cell: int, total: int) -> None:
    error = {"ename": text, "evalue": text, "traceback": text, "cell": cell}
    progress = follow(
        Progress(),
        lines(
            {"event": "begin", "total": total},
            {"event": "cell", "cell": cell, "name": name},
            {"event": "end", "state": "failed", "output": text, "error": error},
        ),
    )
    assert all(map(is_storable, [progress.name, progress.output, *map(str, (progress.error or {}).values())]))
    assert 0 <= progress.cell < 2**31 and 0 <= progress.total < 2**31


def test_of_a_flood_of_lines_only_the_edges_are_read() -> None:
    begin, end = lines({"event": "begin", "total": 3}), lines({"event": "end", "state": "succeeded"})
    flood = lines({"event": "cell", "cell": 2, "name": "x"}) * 100_000
    began = time.process_time()
    progress = follow(Progress(), begin + flood + end)
    assert time.process_time() - began < 0.1
    assert (progress.total, progress.cell, progress.end) == (3, 2, RunState.SUCCEEDED)


def test_long_texts_are_cut() -> None:
    error = {"ename": "e" * 10**6, "evalue": "v" * 10**6, "traceback": "t" * 10**6}
    kept = follow(Progress(), lines({"event": "end", "state": "failed", "error": error})).error
    assert kept is not None and {name: len(text) for name, text in kept.items()} == {
        "ename": MAX_TEXT_CHARS, "evalue": MAX_TEXT_CHARS, "traceback": MAX_TRACEBACK_CHARS,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        ("a/b.ipynb", True),
        ("a/b-run.ipynb", True),
        ("a/b-run2.ipynb", True),
        ("a/b-run-run.ipynb", True),
        ("b-run.ipynb", False),
        ("a/other.ipynb", False),
        ("a/b-run.html", False),
        ("a/../x-run.ipynb", False),
        ("/a/b.ipynb", False),
        ("", False),
    ],
)
def test_a_program_may_name_the_file_that_it_was_given_or_one_beside_it(told: str, believed: bool) -> None:
    assert is_beside("a/b.ipynb", told) is believed


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ({"kernelspec": {"name": "ir", "language": "R"}}, Wanted("ir", "R")),
        ({"kernelspec": {"name": "x"}, "language_info": {"name": "python"}}, Wanted("x", "python")),
        ({}, Wanted("", "")),
        ({"kernelspec": 1}, Wanted("", "")),
    ],
)
def test_a_notebook_names_its_kernel_or_does_not(metadata: Any, wanted: Wanted) -> None:
    assert wanted_kernel(json.dumps({"metadata": metadata, "cells": [{}]}).encode()) == wanted


def test_parameters_are_variables_and_bounded() -> None:
    require_parameters({"x": 1, "größe": 2, "r.name": 3})
    for parameters in ({"x y": 1}, {"1x": 1}, {"": 1}, {"x\n": 1}, {"x": "y" * MAX_PARAMETERS_BYTES}):
        with pytest.raises(BadRequest):
            require_parameters(parameters)
