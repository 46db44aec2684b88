"""What a kernel says of a cell, folded into the outputs that a notebook file keeps. No I/O.

Sources: "Messaging in Jupyter", messages on the IOPub channel; nbformat 4.5, "Code cell outputs". Adjacent texts of
one stream are joined, with carriage returns and backspaces applied as a terminal and JupyterLab apply them, so
that a progress bar is one line in the file.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_CELL_BYTES = 16 * 1024**2
"""The outputs of one cell, as JSON, about; what comes on top is left out, and a line in the file says so."""
MAX_NOTEBOOK_BYTES = 100 * 1024**2
"""The outputs of all cells together: a file of 128 MiB could not be opened."""
MAX_TRACEBACK_CHARACTERS = 256 * 1024

Json = dict[str, Any]
_CONTROL = re.compile("([\n\r\b])")


class Screen:
    """A stream's text as a terminal shows it: newlines, carriage returns and backspaces have their effect."""

    def __init__(self) -> None:
        self._above: list[str] = []
        self._line = ""
        self._cursor = 0

    def write(self, text: str) -> None:
        """Add text."""
        for part in _CONTROL.split(text):
            if part == "\n":
                self._above.append(self._line + "\n")
                self._line, self._cursor = "", 0
            elif part == "\r":
                self._cursor = 0
            elif part == "\b":
                self._cursor = max(0, self._cursor - 1)
            elif part:
                after = self._cursor + len(part)
                self._line = self._line[: self._cursor] + part + self._line[after:]
                self._cursor = after

    def text(self) -> str:
        """All of it."""
        self._above = ["".join(self._above)]
        return self._above[0] + self._line


class Room:
    """How much more the notebook may hold; shared by all of its cells."""

    def __init__(self, left: int = MAX_NOTEBOOK_BYTES) -> None:
        self.left = left

    def take(self, size: int) -> bool:
        """Take room for so many bytes, if there is as much."""
        if size > self.left:
            return False
        self.left -= size
        return True


class CellOutputs:
    """The outputs of one cell, in the order in which they came.

    `displays` is the notebook's: display id → the outputs that show it, in whichever cell. `room` is too.
    """

    def __init__(self, displays: dict[str, list[Json]], room: Room, most: int = MAX_CELL_BYTES) -> None:
        self._displays = displays
        self._room = room
        self._left = most
        self._outputs: list[Json] = []
        self._screens: dict[int, Screen] = {}
        self._clear_next = False
        self._overflowed = False
        self.error: Json | None = None
        self.execution_count: int | None = None

    def finished(self) -> list[Json]:
        """The outputs in the form of nbformat 4, texts joined."""
        for index, screen in self._screens.items():
            self._outputs[index]["text"] = screen.text()
        return self._outputs

    def take(self, kind: str, content: Json) -> None:
        """Take in a message of IOPub; those that are no outputs, or not well formed, change nothing."""
        if kind == "stream":
            self._stream(content)
        elif kind in ("display_data", "execute_result"):
            self._show(kind, content)
        elif kind == "update_display_data":
            self._update(content)
        elif kind == "error":
            self._fail(content)
        elif kind == "clear_output":
            self._clear_next = bool(content.get("wait"))
            if not self._clear_next:
                self._clear()
        elif kind == "execute_input":
            self._count(content)

    def _count(self, content: Json) -> None:
        count = content.get("execution_count")
        self.execution_count = count if type(count) is int else None

    def _stream(self, content: Json) -> None:
        name, text = content.get("name"), content.get("text")
        if name not in ("stdout", "stderr") or not isinstance(text, str) or not self._fits(len(text)):
            return
        last = len(self._outputs) - 1
        if last < 0 or last not in self._screens or self._outputs[last]["name"] != name:
            self._outputs.append({"output_type": "stream", "name": name, "text": ""})
            last += 1
            self._screens[last] = Screen()
        self._screens[last].write(text)

    def _show(self, kind: str, content: Json) -> None:
        data, metadata = content.get("data"), content.get("metadata")
        if not isinstance(data, dict) or not self._fits(_size(data)):
            return
        output: Json = {"output_type": kind, "data": data, "metadata": metadata if isinstance(metadata, dict) else {}}
        if kind == "execute_result":
            self._count(content)
            output["execution_count"] = self.execution_count
        transient = content.get("transient")
        display_id = transient.get("display_id") if isinstance(transient, dict) else None
        if isinstance(display_id, str):
            self._displays.setdefault(display_id, []).append(output)
        self._outputs.append(output)

    def _update(self, content: Json) -> None:
        data, transient = content.get("data"), content.get("transient")
        if not isinstance(data, dict) or not isinstance(transient, dict):
            return
        shown = self._displays.get(str(transient.get("display_id")), [])
        if not shown:
            return
        size = _size(data)
        for output in shown:
            grown = size - _size(output["data"])
            if self._overflows(grown):
                return
            output["data"] = data
            output["metadata"] = content["metadata"] if isinstance(content.get("metadata"), dict) else {}

    def _fail(self, content: Json) -> None:
        traceback = content.get("traceback")
        lines = [str(line) for line in traceback] if isinstance(traceback, list) else []
        whole = "\n".join(lines)
        if len(whole) > MAX_TRACEBACK_CHARACTERS:
            lines = whole[-MAX_TRACEBACK_CHARACTERS:].split("\n")
        self._clear_if_due()
        self.error = {
            "output_type": "error",
            "ename": str(content.get("ename", ""))[:1000],
            "evalue": str(content.get("evalue", ""))[:MAX_TRACEBACK_CHARACTERS],
            "traceback": lines,
        }
        self._outputs.append(self.error)

    def _fits(self, size: int) -> bool:
        """Clear if that was asked for, then say whether so many bytes more are kept."""
        self._clear_if_due()
        return not self._overflows(size)

    def _overflows(self, size: int) -> bool:
        if self._overflowed:
            return True
        if size <= self._left and self._room.take(size):
            self._left -= size
            return False
        self._overflowed = True
        text = "kernelhub: this cell wrote more than a notebook file can hold; the rest was left out.\n"
        self._outputs.append({"output_type": "stream", "name": "stderr", "text": text})
        return True

    def _clear_if_due(self) -> None:
        if self._clear_next:
            self._clear_next = False
            self._clear()

    def _clear(self) -> None:
        for shown in self._displays.values():
            shown[:] = [output for output in shown if not any(output is mine for mine in self._outputs)]
        freed = sum(_size(output) for output in self.finished())
        self._left += freed
        self._room.left += freed
        self._outputs.clear()
        self._screens.clear()
        self._overflowed = False


def _size(value: Any) -> int:
    """About how long the value is as JSON."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict) and all(isinstance(part, str) for part in value.values()):
        return sum(map(len, value.values()))
    return len(json.dumps(value, ensure_ascii=False))
