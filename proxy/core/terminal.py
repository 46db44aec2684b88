"""The terminal WebSocket's messages, as terminado defined them: JSON arrays of a name and arguments.

Down: ``["setup", {}]``, ``["stdout", text]``, ``["disconnect", 1]``. Up: ``["stdin", text]``,
``["set_size", rows, cols, height, width]``.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass

import msgspec

from proxy.errors import BadFrame

MAX_INPUT_CHARACTERS = 1024 * 1024
MAX_SIZE = 5000
QUEUE_CHARACTERS = 4 * 1024 * 1024
MESSAGE_CHARACTERS = 256 * 1024


@dataclass(frozen=True, slots=True)
class Input:
    """The user typed or pasted."""

    data: str


@dataclass(frozen=True, slots=True)
class Resize:
    """The page's terminal has this many rows and columns."""

    rows: int
    cols: int


_messages = msgspec.json.Decoder(list[str | int | float | None])


def decode(message: str | bytes) -> Input | Resize | None:
    """What the client wants; None for a message of an unknown name. Raises BadFrame."""
    try:
        name, *args = _messages.decode(message)
    except (ValueError, RecursionError) as error:
        raise BadFrame("terminal.json", "a message is not the JSON of a terminal message") from error
    if name == "stdin":
        data = args[0] if args else ""
        if not isinstance(data, str) or len(data) > MAX_INPUT_CHARACTERS:
            raise BadFrame("terminal.stdin", "what was typed is not text, or too much")
        return Input(data)
    if name == "set_size":
        size = [int(a) for a in args[:2] if isinstance(a, int | float)]
        if len(size) != 2:
            raise BadFrame("terminal.set_size", "a size is not two numbers")
        return Resize(*(min(max(n, 1), MAX_SIZE) for n in size))
    return None


def encode(name: str, *args: object) -> str:
    """A message to the client."""
    return json.dumps([name, *args], ensure_ascii=False, separators=(",", ":"))


class OutputQueue:
    """Output that waits for one client: joined, bounded, with a note where some was left out."""

    def __init__(self, most: int = QUEUE_CHARACTERS) -> None:
        self._most = most
        self._waiting: deque[str] = deque()
        self._characters = 0
        self._omitted = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._omitted)

    def push(self, data: str) -> None:
        """Add output, or count it as left out when too much waits."""
        if self._omitted or self._characters + len(data) > self._most:
            self._omitted += len(data)
            return
        self._waiting.append(data)
        self._characters += len(data)

    def pop(self) -> str:
        """All that waits, up to the size of one message. Raises IndexError when nothing does."""
        pieces: list[str] = []
        size = 0
        while self._waiting and size < MESSAGE_CHARACTERS:
            pieces.append(self._waiting.popleft())
            size += len(pieces[-1])
        self._characters -= size
        if not self._waiting and self._omitted:
            pieces.append(f"\r\n[{self._omitted} characters of output were left out here]\r\n")
            self._omitted = 0
        elif not pieces:
            raise IndexError("nothing waits")
        return "".join(pieces)
