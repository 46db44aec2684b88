"""hub.agent.programs.run_notebook against a real ipykernel, without hub and agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.harness.running import eventually

Json = dict[str, Any]
REPOSITORY = Path(__file__).parents[2]


def cell(source: str, *tags: str) -> Json:
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": [], "execution_count": None}


class World:
    """A home, a kernel in it, and the program."""

    def __init__(self, folder: Path) -> None:
        self.home, self.run = folder / "home", folder / "run"
        self.home.mkdir()
        self.run.mkdir()
        self.kernel_id, self.key = str(uuid.uuid4()), "a" * 64
        connection = {
            "transport": "ipc", "ip": f"{self.run}/{self.kernel_id}", "key": self.key,
            "shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5,
            "signature_scheme": "hmac-sha256",
        }  # fmt: skip
        (self.run / "connection.json").write_text(json.dumps(connection))
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", str(self.run / "connection.json")]
        self.kernel = subprocess.Popen(command, cwd=self.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def write(self, *cells: Json, name: str = "a.ipynb", metadata: Json | None = None) -> Path:
        """Put a notebook into the home."""
        book = {"cells": list(cells), "metadata": metadata or {}, "nbformat": 4, "nbformat_minor": 4}
        (self.home / name).write_text(json.dumps(book))
        return self.home / name

    def start(self, **arguments: Any) -> subprocess.Popen[str]:
        """Start the program."""
        given = {"kernel_id": self.kernel_id, "key": self.key, "path": "a.ipynb", "output": "a.ipynb", **arguments}
        code = "from hub.agent.programs.start import run; raise SystemExit(run('run_notebook'))"
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=self.home, text=True,
            env={**os.environ, "KERNELHUB_RUN": str(self.run), "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(given))
        process.stdin.close()
        process.stdin = None
        return process

    def perform(self, **arguments: Any) -> tuple[int, list[Json]]:
        """Run the program to its end: its exit status and events."""
        process = self.start(**arguments)
        output, complaints = process.communicate(timeout=60)
        self.complaints = complaints
        return process.returncode, [json.loads(line) for line in output.splitlines()]

    def outputs(self, name: str = "a.ipynb") -> list[list[str]]:
        """The outputs in the file, cell by cell, as texts."""
        book = nbformat.read(self.home / name, 4)
        nbformat.validate(book)
        return [
            [o.get("text") or o.get("ename") or o["data"]["text/plain"] for o in c["outputs"]]
            for c in book["cells"]
            if c["cell_type"] == "code"
        ]


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="kh-", dir="/tmp") as folder:
        world = World(Path(folder))
        yield world
        world.kernel.kill()
        world.kernel.wait()


def test_a_notebook_runs_from_top_to_bottom_and_keeps_its_outputs(world: World) -> None:
    markdown = {"cell_type": "markdown", "metadata": {}, "source": ["# Title"]}
    file = world.write(
        cell("x = 20"), markdown, cell("print('hello')\nx + 1"), cell("  "), cell("1/0", "skip-execution"),
        cell("from IPython.display import display\nh = display(1, display_id=True)"), cell("h.update(2)"),
        cell("from IPython.display import clear_output\nprint('gone')\nclear_output()\nprint('kept')"),
    )  # fmt: skip
    status, events = world.perform()
    assert status == 0, (events, world.complaints)
    assert events[0] == {"event": "begin", "total": 5}
    assert [e["cell"] for e in events if e["event"] == "cell_end"] == [1, 2, 3, 4, 5]
    assert [(e["index"], e["name"]) for e in events if e["event"] == "cell"][1] == (2, "print('hello')")
    assert events[-1] == {"event": "end", "state": "succeeded", "output": "a.ipynb", "error": None}
    assert world.outputs() == [[], ["hello\n", "21"], [], [], ["2"], [], ["kept\n"]]
    text = file.read_text()
    counts = [c.get("execution_count") for c in json.loads(text)["cells"]]
    assert counts == [1, None, 2, None, None, 3, 4, 5] and "papermill" not in text
    assert text == nbformat.writes(nbformat.reads(text, 4)) + "\n"


def test_the_first_error_ends_the_run_and_says_which_cell_and_why(world: World) -> None:
    world.write(
        cell("1", "x"), cell("raise KeyError('expected')", "raises-exception"), cell("def f():\n  1/0\nf()"), cell("2")
    )
    status, events = world.perform()
    error = events[-1]["error"]
    assert (status, events[-1]["state"]) == (1, "failed")
    assert (error["cell"], error["index"], error["execution_count"]) == (3, 2, 3)
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
    assert "in f()" in error["traceback"].replace("\x1b[39m", "") or "f" in error["traceback"]
    assert world.outputs() == [["1"], ["KeyError"], ["ZeroDivisionError"], []]


def test_what_was_in_the_file_before_does_not_stay_where_the_run_did_not_come(world: World) -> None:
    stale = cell("print(2)")
    stale["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "stale"}]
    world.write(cell("1/0"), stale)
    world.perform()
    assert world.outputs() == [["ZeroDivisionError"], []]


def test_input_is_refused_and_a_slow_cell_and_a_dead_kernel_are_said(world: World) -> None:
    world.write(cell("input('name? ')"))
    status, events = world.perform()
    assert status == 1 and events[-1]["error"]["ename"] == "StdinNotImplementedError"
    world.write(cell("import time\ntime.sleep(60)"))
    status, events = world.perform(cell_seconds=0.3)
    assert status == 1 and "longer than 0.3 s" in events[-1]["error"]["evalue"]
    world.write(cell("print('last words', flush=True)\nimport os\nos._exit(9)"), cell("1"))
    status, events = world.perform()
    assert (status, events[-1]["state"]) == (1, "died")
    assert events[-1]["error"]["ename"] == "KernelDied" and events[-1]["error"]["cell"] == 1
    assert "KernelDied" in world.outputs()[0]


def test_a_run_that_is_stopped_keeps_what_it_has(world: World) -> None:
    world.write(
        cell("1"),
        cell("print('so far', flush=True)\nimport time, pathlib\npathlib.Path('there').touch()\ntime.sleep(60)"),
    )
    process = world.start()
    eventually((world.home / "there").exists, what="the cell")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 3 and json.loads(output.splitlines()[-1])["state"] == "stopped"
    assert world.outputs() == [["1"], ["so far\n"]]


def test_another_file_carries_papermills_metadata_and_the_notebook_stays_as_it_was(world: World) -> None:
    before = world.write(cell("1", "t")).read_bytes()
    status, _ = world.perform(output="out.ipynb", note={"input_path": "a.ipynb", "parameters": {"a": 1}})
    assert status == 0 and (world.home / "a.ipynb").read_bytes() == before
    book = nbformat.read(world.home / "out.ipynb", 4)
    assert {"input_path", "parameters", "start_time", "end_time", "duration", "exception"} <= set(
        book.metadata.papermill
    )
    assert book.cells[0].metadata.papermill.status == "completed" and book.cells[0].metadata.tags == ["t"]


def test_a_run_whose_file_is_saved_by_somebody_else_goes_on_beside_it(world: World) -> None:
    world.write(cell("open('a.ipynb', 'w').write('theirs')"), cell("2"))
    status, events = world.perform()
    assert (status, events[-1]["output"]) == (0, "a-run.ipynb")
    assert (world.home / "a.ipynb").read_text() == "theirs" and world.outputs("a-run.ipynb")[1] == ["2"]


def test_much_output_and_long_errors_are_bounded(world: World) -> None:
    world.write(cell("for _ in range(40): print('x' * 1_000_000)"), cell("raise ValueError('\\U0001f600' * 100_000)"))
    status, events = world.perform()
    assert status == 1 and events[-1]["error"]["ename"] == "ValueError"
    assert (world.home / "a.ipynb").stat().st_size < 20 * 1024**2
    assert "more than a notebook file can hold" in world.outputs()[0][-1]


def test_what_cannot_be_run_is_said_in_a_sentence(world: World) -> None:
    (world.home / "a.ipynb").write_text("{}")
    assert world.perform()[0] == 2 and "notebook" in world.complaints
    world.write(cell("1"))
    assert world.perform(output="nowhere/b.ipynb")[0] == 2 and "could not be written" in world.complaints
