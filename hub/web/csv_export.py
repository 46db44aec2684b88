"""Tables as files: CSV that spreadsheets cannot take for formulas, and JSON lines, written piece by piece.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line's end may be run as a formula by whoever opens the
file (OWASP, "CSV injection"), and names and reasons are what strangers chose; an apostrophe before it makes it text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime

from hub.web.page import PageHandler

Cell = str | int | float | bool | datetime | None
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")


def safe_cell(value: Cell) -> str:
    """A cell's text. Numbers stay as they are; texts that could be formulas get an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, (int, float)):
        return str(value)
    looks_like_one = value.startswith(_FORMULA) or value.lstrip(" \u00a0\ufeff").startswith(_FORMULA)
    return "'" + value if looks_like_one else value


def csv_lines(rows: Iterable[Sequence[Cell]]) -> str:
    """Rows as lines of CSV (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([safe_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


async def send_csv(
    handler: PageHandler, name: str, header: Sequence[str], pieces: AsyncIterator[Sequence[Sequence[Cell]]]
) -> None:
    """Answer with a file of that name, piece by piece as they come."""
    begin_file(handler, name, "text/csv; charset=utf-8")
    handler.write(csv_lines([header]))
    async for rows in pieces:
        handler.write(csv_lines(rows))
        await handler.flush()
    await handler.finish()


def begin_file(handler: PageHandler, name: str, content_type: str) -> None:
    """The headers of a file that is downloaded and never shown."""
    handler.set_header("Content-Type", content_type)
    handler.set_header("Content-Disposition", f'attachment; filename="{name}"')
