"""Replies of execute requests that the kernel gave while nobody listened, made again from what it published."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.core.executions import Execution
from proxy.core.wire import Part


class _Count(msgspec.Struct):
    execution_count: int | None = None


class _State(msgspec.Struct):
    execution_state: str = ""


class ErrorContent(msgspec.Struct):
    """What an ``error`` message says, which is also what the reply says."""

    ename: str = ""
    evalue: str = ""
    traceback: list[str] = []


_count = msgspec.json.Decoder(_Count)
_state = msgspec.json.Decoder(_State)
_error = msgspec.json.Decoder(ErrorContent)


def count_of(content: Part) -> int:
    """The count in an ``execute_input``; 0 when there is none."""
    try:
        return _count.decode(content).execution_count or 0
    except (ValueError, RecursionError):
        return 0


def state_of(content: Part) -> str:
    """The state in a ``status``; empty when there is none."""
    try:
        return _state.decode(content).execution_state
    except (ValueError, RecursionError):
        return ""


def error_of(content: Part) -> ErrorContent:
    """What an ``error`` says, as far as it can be read."""
    try:
        return _error.decode(content)
    except (ValueError, RecursionError):
        return ErrorContent()


def reply_content(execution: Execution | None, error: ErrorContent | None, *, is_cut: bool = False) -> dict[str, Any]:
    """The content of the ``execute_reply``; `is_cut`: the kernel ended meanwhile, which is no success."""
    count = (execution.count if execution is not None else 0) or None
    if error is not None or (execution is not None and execution.failed):
        told = error or ErrorContent("Error", "the kernel's reply is gone; the error stands in the cell's output")
        return {
            "status": "error",
            "execution_count": count,
            "ename": told.ename,
            "evalue": told.evalue,
            "traceback": told.traceback,
            "user_expressions": {},
            "payload": [],
        }
    if is_cut:
        return {"status": "aborted", "execution_count": count}
    return {"status": "ok", "execution_count": count, "user_expressions": {}, "payload": []}
