"""How far a run is and how it ended, on a terminal or in a log."""

from __future__ import annotations

import re
import sys
from types import TracebackType
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

_COLOUR = re.compile(r"(\x1b\[[0-9;]{0,40}m)")
WIDTH = 50
"""Most characters of a cell's first line beside the bar."""
WORDS = {
    "failed": "failed",
    "died": "did not end",
    "stopped": "was stopped",
    "refused": "could not be run",
}


class Screen:
    """A bar at a terminal, a line per cell elsewhere; on stderr, so that stdout is the caller's.

    Resource handling: a context manager; leaving it gives the terminal back.
    """

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.fields[title]}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("starting a kernel", title=printable(title), total=None)
        self._last = (0, "")

    def __enter__(self) -> Screen:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, run: dict[str, Any]) -> None:
        """Show a run as the hub's API gives it."""
        cell, total, name = run["cell"], run["total"], printable(run["name"])[:WIDTH]
        over = run["state"] == "succeeded"
        if total:
            done = total if over else max(cell - 1, 0)
            self._bar.update(self._task, total=total, completed=done, description="" if over else name)
        if not self._console.is_terminal and cell and (cell, name) != self._last:
            self._console.print(Text(f"cell {cell} of {total}: {name}"))
        self._last = (cell, name)


def report(run: dict[str, Any], shown: str | None = None, output: str | None = None) -> int:
    """Say how a run ended; the exit status: 0 if all of its cells ran, else 1.

    `shown` and `output` name the notebook and the file of its outputs, where both are on this machine.
    """
    path, result = printable(shown or run["path"]), printable(output or run["output"])
    if run["state"] == "succeeded":
        cells = "1 cell" if run["total"] == 1 else f"{run['total']} cells"
        click.echo(f"{path}: {cells} ran; outputs in {result}", err=True)
        return 0
    error = run["error"] or {}
    words = f"{path} {WORDS.get(run['state'], run['state'])}"
    if error.get("cell"):
        count = error.get("execution_count")
        words = f"Cell {error['cell']} of {run['total']}{f' (In [{count}])' if count else ''} of {words}"
    elif run["cell"] and run["state"] in ("stopped", "died"):
        words = f"{words}, in cell {run['cell']} of {run['total']}"
    kind = "" if run["state"] == "died" else error.get("ename")
    summary = ": ".join(part for part in (kind, error.get("evalue")) if part)
    click.echo(words + (f": {printable(summary)}" if summary else ""), err=True)
    if run["name"] and error.get("cell"):
        click.echo(f"    {printable(run['name'])}", err=True)
    if error.get("traceback"):
        traceback = Text.from_ansi(coloured(error["traceback"]))
        if not sys.stderr.isatty():
            traceback = Text(traceback.plain)
        Console(stderr=True, highlight=False, soft_wrap=True).print(traceback)
    if run["state"] in ("failed", "died", "stopped"):
        click.echo(f"The outputs up to there are in {result}", err=True)
    return 1


def coloured(text: str) -> str:
    """A traceback with its colours, and with nothing else that a terminal would obey."""
    parts = _COLOUR.split(text)
    return "".join(part if _COLOUR.fullmatch(part) else printable(part, keep="\n") for part in parts)


def printable(text: str, keep: str = "") -> str:
    """Text from a notebook, with nothing in it that a terminal would obey."""
    return "".join(char if char.isprintable() or char in keep else " " for char in text)
