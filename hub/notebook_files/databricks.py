"""Databricks' source form of a notebook: ``.py`` (and ``.sql``, ``.scala``, ``.r``) as it exports and syncs them. Pure.

    # Databricks notebook source
    # MAGIC %md
    # MAGIC # A heading

    # COMMAND ----------

    # DBTITLE 1,The title of a cell
    print(1)

A cell of another language is written in comments, ``# MAGIC`` before each line; ``%md`` makes it Markdown. What the
notebook does not show but the file has (how many blank lines, a missing space) is kept in the metadata, so that a
source that is read and written again has the same bytes, and a changed cell changes its own lines only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COMMENTS = {".py": "#", ".r": "#", ".R": "#", ".sql": "--", ".scala": "//"}
LANGUAGES = {".py": "python", ".r": "r", ".R": "r", ".sql": "sql", ".scala": "scala"}
MARK = "Databricks notebook source"
CELL_KEY = "application/vnd.databricks.v1+cell"
"""Where Databricks' own ipynb export keeps a cell's title."""
OWN_KEY = "databricks_source"
"""Where this module keeps what only the source form has: in a notebook's and in a cell's metadata."""
FORMAT_MINOR = 5

Notebook = dict[str, Any]
Cell = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Form:
    """The lines that have a meaning, for one comment sign."""

    comment: str

    @property
    def head(self) -> str:
        return f"{self.comment} {MARK}"

    @property
    def command(self) -> str:
        return f"{self.comment} COMMAND ----------"

    @property
    def magic(self) -> str:
        return f"{self.comment} MAGIC"

    @property
    def title(self) -> str:
        return f"{self.comment} DBTITLE "


def is_source(text: str, extension: str) -> bool:
    """Whether the text of a file with this extension is Databricks' source of a notebook."""
    comment = COMMENTS.get(extension)
    return comment is not None and text.split("\n", 1)[0].rstrip("\r") == _Form(comment).head


def is_from_source(notebook: Mapping[str, Any]) -> bool:
    """Whether the notebook was read from a source: it is to be written as one."""
    return isinstance(notebook.get("metadata", {}).get(OWN_KEY), dict)


def read(text: str, extension: str) -> Notebook:
    """The notebook that a source stands for, for which `is_source` holds. Cells have no ids yet."""
    form = _Form(COMMENTS[extension])
    own: dict[str, Any] = {"extension": extension}
    if "\r\n" in text and text.count("\r\n") == text.count("\n") and text.count("\r") == text.count("\n"):
        text, own["newline"] = text.replace("\r\n", "\n"), "\r\n"
    head, found, rest = text.partition("\n")
    if head.endswith("\r"):
        own["mixed"] = head.removeprefix(form.head)
    if not found:
        own["empty"] = True
    if rest == form.command or rest.endswith(f"\n{form.command}"):
        # Separated from nothing, and without a line's end.
        own["ends"], rest = True, rest.removesuffix(form.command)
    chunks = _split(rest, form) if found else []
    cells = [_read_chunk(chunk, form, n == 0, n == len(chunks) - 1) for n, chunk in enumerate(chunks)]
    language = LANGUAGES[extension]
    metadata: dict[str, Any] = {OWN_KEY: own, "language_info": {"name": language}}
    if language == "python":
        metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": FORMAT_MINOR, "metadata": metadata, "cells": cells}


def write(notebook: Mapping[str, Any], extension: str = ".py") -> str:
    """The source of any notebook of version 4, outputs left out."""
    form = _Form(COMMENTS[extension])
    own = notebook.get("metadata", {}).get(OWN_KEY)
    own = own if isinstance(own, dict) and own.get("extension") == extension else {}
    cells = notebook.get("cells", [])
    mixed = own.get("mixed")
    head = form.head + (mixed if isinstance(mixed, str) and not mixed.strip("\r") else "")
    if own.get("empty") and not cells:
        text = head
    else:
        last = len(cells) - 1
        chunks = [_write_chunk(cell, form, n == 0, n == last) for n, cell in enumerate(cells)]
        text = head + "\n" + f"{form.command}\n".join(chunks)
        if own.get("ends"):
            text += form.command if text.endswith("\n") else f"\n{form.command}"
    return text.replace("\n", "\r\n") if own.get("newline") == "\r\n" else text


def _split(rest: str, form: _Form) -> list[str]:
    """The text between the lines that separate cells; each but the last ends with a line's end, or is empty."""
    chunks = [""]
    for line in re.split(r"(?<=\n)", rest):
        if line == f"{form.command}\n":
            chunks.append("")
        else:
            chunks[-1] += line
    return chunks


def _read_chunk(chunk: str, form: _Form, is_first: bool, is_last: bool) -> Cell:
    body = chunk.strip("\n")
    lead = len(chunk) - len(chunk.lstrip("\n"))
    edges = [lead, len(chunk) - lead - len(body)]
    cell = _read_body(body, form)
    own: dict[str, Any] = {}
    if edges != _edges(is_first, is_last):
        own["edges"] = edges
    if _write_body(cell, form) != body:
        own["text"] = body
    if own:
        cell["metadata"][OWN_KEY] = own
    return cell


def _write_chunk(cell: Mapping[str, Any], form: _Form, is_first: bool, is_last: bool) -> str:
    own = cell.get("metadata", {}).get(OWN_KEY)
    own = own if isinstance(own, dict) else {}
    body = _write_body(cell, form)
    kept = own.get("text")
    if isinstance(kept, str) and form.command not in kept.split("\n") and _is_same(_read_body(kept, form), cell):
        body = kept
    edges = own.get("edges")
    if not (isinstance(edges, list) and len(edges) == 2 and all(type(n) is int and 0 <= n < 10_000 for n in edges)):
        edges = _edges(is_first, is_last)
    lead, trail = edges
    chunk = "\n" * lead + body + "\n" * trail
    # The next separator needs a line of its own, wherever the cell was moved to.
    return chunk if is_last or not chunk or chunk.endswith("\n") else f"{chunk}\n"


def _edges(is_first: bool, is_last: bool) -> list[int]:
    """How many line ends Databricks writes before and after a cell's text."""
    return [0 if is_first else 1, 1 if is_last else 2]


def _read_body(body: str, form: _Form) -> Cell:
    lines = body.split("\n")
    metadata: dict[str, Any] = {}
    if lines[0].startswith(form.title):
        shown, comma, title = lines[0].removeprefix(form.title).partition(",")
        if comma and shown in ("0", "1"):
            metadata[CELL_KEY] = {"showTitle": shown == "1", "title": title}
            lines = lines[1:]
    if lines and all(line == form.magic or line.startswith(f"{form.magic} ") for line in lines):
        lines = [line.removeprefix(form.magic).removeprefix(" ") for line in lines]
        if lines[0] == "%md" or lines[0].startswith("%md "):
            first = lines[0].removeprefix("%md").strip()
            source = "\n".join([first, *lines[1:]] if first else lines[1:])
            return {"cell_type": "markdown", "metadata": metadata, "source": source}
    source = "\n".join(lines)
    return {"cell_type": "code", "metadata": metadata, "source": source, "execution_count": None, "outputs": []}


def _write_body(cell: Mapping[str, Any], form: _Form) -> str:
    lines = source_of(cell).split("\n")
    if cell.get("cell_type") != "code":
        # There are no raw cells; Databricks shows their text as Markdown.
        lines = [f"{form.magic} {line}" for line in ("%md", *lines)]
    elif lines[0].startswith("%"):
        lines = [f"{form.magic} {line}" for line in lines]
    else:
        lines = [f"{line} " if line == form.command else line for line in lines]
    shown = cell.get("metadata", {}).get(CELL_KEY)
    title = shown.get("title") if isinstance(shown, dict) else None
    if isinstance(shown, dict) and isinstance(title, str) and "\n" not in title and (title or "showTitle" in shown):
        lines.insert(0, f"{form.title}{int(bool(shown.get('showTitle')))},{title}")
    return "\n".join(lines)


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two cells would show the same."""
    return _shown(one) == _shown(other)


def _shown(cell: Mapping[str, Any]) -> str:
    title = cell.get("metadata", {}).get(CELL_KEY)
    kind = "code" if cell.get("cell_type") == "code" else "markdown"
    return json.dumps([kind, source_of(cell), title], sort_keys=True)


def source_of(cell: Mapping[str, Any]) -> str:
    """A cell's text, whether it is kept as one text or as a list of lines."""
    source = cell.get("source", "")
    return "".join(source) if isinstance(source, list) else str(source)
