"""Notebook files of version 4: read, prepared for a run, and written as Jupyter writes them.

Jupyter's form: JSON with sorted keys, an indent of one, several lines of text as a list, a newline at the end; a
save without a change gives the same bytes. The file is replaced as a whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from typing import Any

MAX_FILE_BYTES = 128 * 1024**2

Json = dict[str, Any]
_TRANSIENT = ("orig_nbformat", "orig_nbformat_minor", "signature")


class Unusable(Exception):
    """The file is not a notebook that can be run; the message says why."""


def read(path: str) -> Json:
    """The notebook in the file. Raises Unusable."""
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unusable(f"{path} is not a file")
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise Unusable(f"{path} is larger than {MAX_FILE_BYTES // 1024**2} MiB")
        notebook = json.loads(data)
        if notebook["nbformat"] != 4:
            raise Unusable(f"{path} has nbformat {notebook['nbformat']}: open and save it once, which upgrades it")
        cells = notebook["cells"]
        if not isinstance(notebook["metadata"], dict) or not all(
            isinstance(cell["metadata"], dict) and _text(cell["source"]) is not None for cell in cells
        ):
            raise Unusable(f"{path} does not follow nbformat")
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unusable(f"{path} cannot be read as a notebook: {error}") from error
    result: Json = notebook
    return result


def source_of(cell: Json) -> str:
    """A cell's code, whether it is kept as lines or as one text."""
    return _text(cell["source"]) or ""


def tags_of(cell: Json) -> list[str]:
    """A cell's tags."""
    tags = cell["metadata"].get("tags", [])
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def code_cells(notebook: Json) -> list[tuple[int, Json]]:
    """The cells that have code, with their places in the notebook. Empty ones and those tagged not to run are left."""
    return [
        (index, cell)
        for index, cell in enumerate(notebook["cells"])
        if cell.get("cell_type") == "code" and source_of(cell).strip() and "skip-execution" not in tags_of(cell)
    ]


def clear(notebook: Json) -> None:
    """Remove all outputs and counts, as the beginning of a run does."""
    for cell in notebook["cells"]:
        if cell.get("cell_type") == "code":
            cell["outputs"] = []
            cell["execution_count"] = None


def encode(notebook: Json) -> bytes:
    """The file's bytes. What JupyterLab keeps in memory only (trust) is left out."""
    metadata = {name: value for name, value in notebook["metadata"].items() if name not in _TRANSIENT}
    notebook = {**notebook, "metadata": metadata, "cells": [_split(cell) for cell in notebook["cells"]]}
    text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": "))
    # A lone surrogate, which a kernel can send, becomes its JSON escape.
    return (text + "\n").encode("utf-8", "backslashreplace")


class Target:
    """The file that a run writes. If somebody else changes it meanwhile, the run goes on in a file beside it.

    `path` is where it is now.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self._last = _identity(self.path)

    def write(self, notebook: Json) -> None:
        """Replace the file. Raises OSError."""
        if _identity(self.path) != self._last:
            self.path = _beside(self.path)
        data = encode(notebook)
        draft = os.path.join(os.path.dirname(self.path), f".~{os.path.basename(self.path)[:200]}.{os.getpid()}")
        mode = 0o644
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(os.stat(self.path).st_mode)
        try:
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(fd, mode)
                os.fsync(fd)
            os.replace(draft, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
        self._last = _identity(self.path)


def _identity(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _beside(path: str) -> str:
    stem, extension = os.path.splitext(path)
    number = 0
    while True:
        candidate = f"{stem}-run{number or ''}{extension}"
        if not os.path.lexists(candidate):
            return candidate
        number += 1


def _text(source: Any) -> str | None:
    if isinstance(source, str):
        return source
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    return None


def _split(cell: Json) -> Json:
    """A cell with its texts as lists of lines."""
    split = dict(cell)
    if isinstance(split.get("source"), str):
        split["source"] = split["source"].splitlines(True)
    if isinstance(split.get("metadata"), dict) and "trusted" in split["metadata"]:
        split["metadata"] = {name: value for name, value in split["metadata"].items() if name != "trusted"}
    if isinstance(split.get("attachments"), dict):
        split["attachments"] = {name: _split_bundle(bundle) for name, bundle in split["attachments"].items()}
    if isinstance(split.get("outputs"), list):
        split["outputs"] = [_split_output(output) for output in split["outputs"]]
    return split


def _split_output(output: Json) -> Json:
    split = dict(output)
    if split.get("output_type") == "stream" and isinstance(split.get("text"), str):
        split["text"] = split["text"].splitlines(True)
    if split.get("output_type") in ("display_data", "execute_result") and isinstance(split.get("data"), dict):
        split["data"] = _split_bundle(split["data"])
    return split


def _split_bundle(bundle: Any) -> Any:
    if not isinstance(bundle, dict):
        return bundle
    return {
        kind: value.splitlines(True) if isinstance(value, str) and _is_text(kind) else value
        for kind, value in bundle.items()
    }


def _is_text(kind: str) -> bool:
    """Whether Jupyter keeps data of this type as lines."""
    return kind.startswith("text/") or kind in ("application/javascript", "image/svg+xml")
