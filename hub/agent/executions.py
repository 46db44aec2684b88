"""What was run in a kernel's process, in order: so that a notebook can be compared with its kernel's memory. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from hub.agent import bounds


class Execution(NamedTuple):
    """One execution: `number` counts from 1 in this process, `execution_count` is the kernel's own, ``In [n]``.

    `at` is the time in seconds since the epoch. `code`, UTF-8, is cut at `bounds.MAX_EXECUTION_CHARACTERS`.
    """

    number: int
    execution_count: int
    code: bytes
    at: float


class Executions:
    """A bounded record: the oldest are forgotten."""

    def __init__(self) -> None:
        self._kept: deque[Execution] = deque()
        self._bytes = 0
        self._next = 1

    def add(self, count: int, code: str, at: float) -> None:
        """Record one."""
        execution = Execution(self._next, count, code[: bounds.MAX_EXECUTION_CHARACTERS].encode(), at)
        self._next += 1
        self._kept.append(execution)
        self._bytes += len(execution.code)
        while len(self._kept) > bounds.MAX_EXECUTIONS or self._bytes > bounds.MAX_EXECUTIONS_BYTES:
            self._bytes -= len(self._kept.popleft().code)

    def reset(self) -> None:
        """The process is a new one, which remembers nothing."""
        self._kept.clear()
        self._bytes = 0
        self._next = 1

    def after(self, number: int) -> dict[str, Any]:
        """Those after `number`, as many as one answer holds, and how many there have been in all."""
        found: list[dict[str, Any]] = []
        left = bounds.MAX_EXECUTIONS_ANSWER_CHARACTERS
        for execution in self._kept:
            if execution.number > number:
                left -= len(execution.code)
                if found and left < 0:
                    break
                found.append({**execution._asdict(), "code": execution.code.decode()})
        return {"executions": found, "total": self._next - 1}
