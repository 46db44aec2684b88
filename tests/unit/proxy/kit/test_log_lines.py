"""A record is one line, whatever strangers put into it."""

from __future__ import annotations

import contextvars
import json
import logging
import sys

from proxy.kit import request_ids
from proxy.kit.logs import JsonFormatter, LineFormatter


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


def test_a_json_line_carries_the_request_it_was_written_for_and_its_fields() -> None:
    access = logging.LogRecord("kernelhub.access", logging.INFO, "", 0, "GET /x 200", (), None)
    access.fields = {"status": 200, "path": "/x", "message": "not this one"}
    context = contextvars.copy_context()
    context.run(request_ids.current.set, "0123456789abcdef0123456789")
    entry = json.loads(context.run(JsonFormatter("hub").format, access))
    assert (entry["request"], entry["status"], entry["path"]) == ("0123456789abcdef0123456789", 200, "/x")
    assert entry["message"] == "GET /x 200"


def test_a_json_line_outside_of_requests_names_none() -> None:
    assert "request" not in json.loads(JsonFormatter("hub").format(record("a reason")))
