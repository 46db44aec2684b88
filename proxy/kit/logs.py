"""Logging, configured once per process: lines for people, or one JSON object per line.

What a record knows beside its message is given as ``extra={"fields": {…}}``: columns of the JSON form.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from proxy.kit import request_ids


class LineFormatter(logging.Formatter):
    """A line per record for people. What came from strangers cannot end it, nor move the terminal's cursor."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """See `logging.Formatter.formatMessage`."""
        return "".join(c if c.isprintable() else _escaped(c) for c in super().formatMessage(record))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time (UTC, ISO 8601), level, logger, process, message, and what else is known.

    That is the id of the `request` it was written for, the record's fields, and the `cause` of an error.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": self._process,
            "message": record.getMessage(),
        }
        if request := request_ids.current.get():
            entry["request"] = request
        for name, value in getattr(record, "fields", {}).items():
            entry.setdefault(name, value)
        if record.exc_info:
            entry["cause"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure_logs(process: str, style: Literal["text", "json"] = "text", level: int = logging.INFO) -> None:
    """Send all logs of this process to standard error. `process` is ``hub`` or ``proxy``."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonFormatter(process))
    else:
        handler.setFormatter(
            LineFormatter(f"%(asctime)s {process:5} %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("docker", "urllib3", "asyncio", "alembic", "aiosqlite"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
