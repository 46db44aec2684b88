"""What the child process is asked and what it answers: `hub.notebook_files.apart` and `worker` speak it as msgpack."""

from __future__ import annotations

from typing import Literal

import msgspec


class ReadText(msgspec.Struct, frozen=True, tag=True):
    """Read a text as a notebook. `config` is the text of the ``jupytext.toml`` that holds, None for none."""

    text: bytes
    extension: str
    format_name: str | None = None
    config: str | None = None


class WriteText(msgspec.Struct, frozen=True, tag=True):
    """Write a notebook (JSON, version 4) as text. `format_name` None: as it was read, or the extension's usual one."""

    notebook: bytes
    extension: str
    format_name: str | None = None
    config: str | None = None


class Combine(msgspec.Struct, frozen=True, tag=True):
    """Read the inputs from the text and the outputs from the notebook."""

    text: bytes
    notebook: bytes
    extension: str
    format_name: str | None = None
    config: str | None = None


class Compare(msgspec.Struct, frozen=True, tag=True):
    """Compare two notebook files of any version."""

    old: bytes
    new: bytes


Job = ReadText | WriteText | Combine | Compare


class NotebookRead(msgspec.Struct, frozen=True, tag=True):
    """A notebook as JSON. `formats` is its jupytext pairing if it says so, `language_extension` what ``auto`` means.

    `is_same`: whether both files of a pair say the same (always true when there was one file only).
    """

    notebook: bytes
    formats: str | None
    language_extension: str | None
    is_same: bool = True


class TextWritten(msgspec.Struct, frozen=True, tag=True):
    """A notebook as text."""

    text: bytes


class Line(msgspec.Struct, frozen=True):
    """A line in both, in the new only, or in the old only; ``gap``: `text` says how many equal ones are left out."""

    kind: Literal["same", "added", "removed", "gap"]
    text: str


class CellChange(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a cell, or of several equal ones in a row.

    `old_number` and `new_number` count from 1, None where there is no such cell; `count` is 1 but for ``same``. `lines`
    are those of the source, `outputs` of the outputs in words, both empty where nothing changed. `metadata` names the
    keys that differ.
    """

    kind: Literal["same", "added", "removed", "changed"]
    cell_type: str
    old_number: int | None
    new_number: int | None
    count: int = 1
    lines: list[Line] = []
    outputs: list[Line] = []
    metadata: list[str] = []


class Comparison(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How two notebooks differ. `metadata` names the notebook's own keys that differ; `is_cut`: it was too much."""

    is_same: bool
    added: int
    removed: int
    changed: int
    cells: list[CellChange]
    metadata: list[str]
    is_cut: bool = False


class Refused(msgspec.Struct, frozen=True, tag=True):
    """What is wrong with what was given."""

    message: str


Answer = NotebookRead | TextWritten | Comparison | Refused
