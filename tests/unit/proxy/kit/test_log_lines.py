"""A record is one line, whatever strangers put into it."""

from __future__ import annotations

import logging
import sys

from proxy.kit.logs import LineFormatter


def record(text: str, cause: bool = False) -> logging.LogRecord:
    info = sys.exc_info() if cause else None
    return logging.LogRecord("x", logging.INFO, "", 0, "kernel died: %s", (text,), info)


def test_a_reason_that_an_agent_made_up_cannot_forge_a_line_or_move_the_cursor() -> None:
    line = LineFormatter("%(levelname)s %(message)s").format(record("\n12:00 hub INFO all is well\x1b[2J\u202e\ud800"))
    assert line == "INFO kernel died: \\n12:00 hub INFO all is well\\x1b[2J\\u202e\\ud800"


def test_a_traceback_keeps_its_lines() -> None:
    try:
        raise ValueError("x")
    except ValueError:
        assert LineFormatter("%(message)s").format(record("é", cause=True)).startswith("kernel died: é\nTraceback")
