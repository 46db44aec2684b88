"""Runs a notebook from top to bottom on a kernel of this container and keeps the outputs in a file.

Arguments: ``kernel_id`` and ``key`` (of a fresh kernel), ``path`` (the notebook, in the home), ``output`` (the file
that is written after each cell; may be `path`), ``cell_seconds`` (None: without limit), ``note`` (an object that is
merged into ``metadata.papermill``; None leaves the metadata alone, and so the file's other lines).

Events: ``{"event": "begin", "total"}``, ``{"event": "cell", "cell", "index", "name"}``, ``{"event": "cell_end",
"cell", "state", "seconds"}``, and at last ``{"event": "end", "state", "output", "error"}``. Cells are counted from 1
among those that have code to run; `index` is the place in the notebook, from 0. States: succeeded, failed, stopped,
died. Rules are nbclient's: the run ends at the first error but in cells tagged ``raises-exception``; cells tagged
``skip-execution`` and empty ones are left out; nobody answers ``input()``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any, NoReturn

from hub.agent import notebook_file
from hub.agent.notebook_file import Target, Unusable
from hub.agent.notebook_kernel import CellTooSlow, InputAsked, KernelDied, NotebookKernel
from hub.agent.notebook_outputs import CellOutputs, Json, Room
from hub.agent.programs.output import tell

READY_SECONDS = 120.0
MAX_NAME_CHARACTERS = 120
MAX_TOLD_BYTES = 40_000
"""Of a traceback, in an event: with the rest it still fits a line."""
WRITE_SHARE = 10.0
"""A cell's end is written at once, but large files no more often than makes a tenth of the time."""

SUCCEEDED, FAILED, STOPPED, DIED = "succeeded", "failed", "stopped", "died"
EXIT_STATUS = {SUCCEEDED: 0, FAILED: 1, DIED: 1, STOPPED: 3}


class Stopped(BaseException):
    """Somebody asked the run to end."""


class Run:
    """One notebook's way through its cells. `perform` is the whole of it."""

    def __init__(self, arguments: Json) -> None:
        self._notebook = notebook_file.read(arguments["path"])
        self._target = Target(arguments["output"])
        self._path = arguments["path"]
        self._note: Json | None = arguments.get("note")
        self._cell_seconds: float | None = arguments.get("cell_seconds")
        self._cells = notebook_file.code_cells(self._notebook)
        self._outputs: dict[str, CellOutputs] = {}
        self._displays: dict[str, list[Json]] = {}
        self._room = Room()
        self._died = False
        self._began_at = time.time()
        self._write_not_before = 0.0

    def perform(self, kernel: NotebookKernel) -> str:
        """Run all cells; write and tell how it ended. Gives the state. Raises OSError when nothing can be written."""
        notebook_file.clear(self._notebook)
        state, error = SUCCEEDED, None
        try:
            tell({"event": "begin", "total": len(self._cells)})
            kernel.wait_ready(READY_SECONDS)
            for number, (index, cell) in enumerate(self._cells, 1):
                error = self._run_cell(kernel, number, index, cell)
                if error is not None:
                    state = DIED if self._died else FAILED
                    break
        except KernelDied as death:
            state, error = DIED, {"ename": "KernelDied", "evalue": str(death), "traceback": ""}
        except Stopped:
            state = STOPPED
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._note_run(state)
        self._write()
        tell({"event": "end", "state": state, "output": self._shown_path(), "error": error})
        return state

    def _run_cell(self, kernel: NotebookKernel, number: int, index: int, cell: Json) -> Json | None:
        """Run one cell and write the file. Gives what is wrong, None when the run may go on."""
        source = notebook_file.source_of(cell)
        tell({"event": "cell", "cell": number, "index": index, "name": _name(source)})
        outputs = CellOutputs(self._displays, self._room)
        may_raise = "raises-exception" in notebook_file.tags_of(cell)
        began_at = time.time()
        error: Json | None = None
        try:
            reply = kernel.execute(
                source,
                stop_on_error=not may_raise,
                seconds=self._cell_seconds,
                on_sent=lambda message_id: self._outputs.update({message_id: outputs}),
                on_output=self._take,
            )
            error = _failure(reply, outputs)
        except (CellTooSlow, InputAsked, KernelDied) as problem:
            error = {"ename": type(problem).__name__, "evalue": str(problem), "traceback": ""}
            outputs.take("error", {**error, "traceback": [str(problem)]})
            self._died = isinstance(problem, KernelDied)
            may_raise = False
        except Stopped:
            self._finish(cell, outputs, began_at, "failed")
            raise
        state = "failed" if error is not None and not may_raise else "completed"
        self._finish(cell, outputs, began_at, state)
        if time.monotonic() >= self._write_not_before:
            self._write()
        tell({"event": "cell_end", "cell": number, "state": state, "seconds": round(time.time() - began_at, 3)})
        if error is None or may_raise:
            return None
        return {**error, "cell": number, "index": index, "execution_count": cell["execution_count"]}

    def _take(self, parent: str, kind: str, content: Json) -> None:
        outputs = self._outputs.get(parent)
        if outputs is not None:
            outputs.take(kind, content)

    def _finish(self, cell: Json, outputs: CellOutputs, began_at: float, state: str) -> None:
        cell["outputs"] = outputs.finished()
        cell["execution_count"] = outputs.execution_count
        if self._note is not None:
            ended_at = time.time()
            cell["metadata"]["papermill"] = {
                "start_time": _iso(began_at),
                "end_time": _iso(ended_at),
                "duration": round(ended_at - began_at, 6),
                "exception": state == "failed",
                "status": state,
            }

    def _note_run(self, state: str) -> None:
        if self._note is None:
            return
        ended_at = time.time()
        known = self._notebook["metadata"].get("papermill")
        self._notebook["metadata"]["papermill"] = {
            **(known if isinstance(known, dict) else {}),
            **self._note,
            "start_time": _iso(self._began_at),
            "end_time": _iso(ended_at),
            "duration": round(ended_at - self._began_at, 6),
            "exception": None if state == SUCCEEDED else True,
        }

    def _write(self) -> None:
        """Write the file, undisturbed by whoever stops the run."""
        began_at = time.monotonic()
        for outputs in self._outputs.values():
            outputs.finished()  # what threads of a cell printed after its end belongs to it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            self._target.write(self._notebook)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        now = time.monotonic()
        self._write_not_before = now + (now - began_at) * WRITE_SHARE

    def _shown_path(self) -> str:
        """Where the outputs are, relative to the home if it is there."""
        relative = os.path.relpath(self._target.path, os.path.realpath("."))
        return self._target.path if relative.startswith("..") else relative


def main(arguments: Json) -> int:
    """Run the notebook. The exit status: 0 well, 1 a cell failed, 2 it could not be run, 3 stopped."""
    run_folder = os.environ.pop("KERNELHUB_RUN")
    signal.signal(signal.SIGTERM, _stop)
    try:
        run = Run(arguments)
        kernel = NotebookKernel(run_folder, arguments["kernel_id"], arguments["key"])
        try:
            return EXIT_STATUS[run.perform(kernel)]
        finally:
            kernel.close()
    except Unusable as problem:
        return _refuse(str(problem))
    except OSError as problem:
        return _refuse(f"The outputs could not be written: {problem.strerror} ({arguments['output']}).")
    except Stopped:
        return EXIT_STATUS[STOPPED]


def _stop(number: int, frame: Any) -> NoReturn:
    raise Stopped


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return 2


def _failure(reply: Json, outputs: CellOutputs) -> Json | None:
    """What a reply says went wrong, None when nothing did."""
    if reply.get("status") == "ok":
        return None
    seen = outputs.error or reply
    traceback = seen.get("traceback")
    text = "\n".join(str(line) for line in traceback) if isinstance(traceback, list) else ""
    return {
        "ename": str(seen.get("ename", reply.get("status", "error")))[:200],
        "evalue": str(seen.get("evalue", ""))[:500],
        "traceback": _end_of(text),
    }


def _end_of(text: str) -> str:
    """The end of a text that fits an event."""
    while len(json.dumps(text)) > MAX_TOLD_BYTES:
        text = text[len(text) // 4 + 1 :]
    return text


def _name(source: str) -> str:
    """A cell's first line, as its name."""
    return source.strip().splitlines()[0][:MAX_NAME_CHARACTERS]


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}+00:00"
