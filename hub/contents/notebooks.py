"""Notebooks between the disk and the wire: nbformat's rules, Jupyter's exact bytes. Pure; slow for big ones.

On the disk a notebook is JSON with sorted keys, an indent of one, multi-line texts as lists and a newline at
the end, so that a save without a change gives the same bytes. On the wire it is version 4 with joined texts,
and each code cell says whether its outputs may be shown (`metadata.trusted`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from hub.errors import BadRequest, NotebookInvalid
from hub.notebook_files import pairs, stripping
from proxy.kit.lazy import lazily

if TYPE_CHECKING:
    import nbformat
    from nbformat import reader
else:
    nbformat, reader = lazily("nbformat"), lazily("nbformat.reader")

Bytes = TypeVar("Bytes", covariant=True)
"""Bytes in memory, or (see `notebook_process`) in a file."""
EMPTY = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
_MAJORS = {3: 3, 4: 4}
"""The versions of the format that can be written."""
_FIRST_WITH_IDS = 5
_HARMLESS_OUTPUTS = frozenset({"stream", "error", "pyerr"})
_EMPTY_RESULT = frozenset({"output_type", "execution_count", "prompt_number", "metadata"})


@dataclass(frozen=True, slots=True)
class Written(Generic[Bytes]):
    """A notebook ready for the disk. `trusted` says whether all of its outputs may be shown again.

    `formats` is its pairing by jupytext, None when it asks for none; `language_extension` is what ``auto`` means in it.
    """

    data: Bytes
    trusted: bool
    formats: str | None = None
    language_extension: str | None = None


@dataclass(frozen=True, slots=True)
class Shown(Generic[Bytes]):
    """A notebook ready for the wire. `message` says in what it does not follow its format, None when it does.

    `formats` and `language_extension` as in `Written`.
    """

    content: Bytes
    message: str | None
    formats: str | None = None
    language_extension: str | None = None


def show(data: bytes, path: str, trusted: bool) -> Shown[bytes]:
    """The notebook file `data`, of any version, as version 4 for the wire.

    Raises BadRequest when it cannot be read as a notebook at all. One that can, but breaks its format's rules,
    is shown with a message. Missing cell ids are made up, for the reader only.
    """
    try:
        notebook: Any = nbformat.convert(reader.reads(data.decode()), 4)  # type: ignore[no-untyped-call]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, nbformat.ValidationError) as error:
        raise BadRequest(
            f"Unreadable notebook {path}: {_brief(error)}. The file was not changed; as text it can be opened and "
            "mended (in JupyterLab: Open With, Editor)."
        ) from error
    ids = _trouble_with_ids(notebook)
    message = _fault(notebook) or ids
    for cell in _code_cells(notebook):
        cell.setdefault("metadata", {})["trusted"] = trusted
    return Shown(_to_wire(notebook), message, *_pairing(notebook))


def write(content: bytes, path: str, strip: Sequence[str] | None = None) -> Written[bytes]:
    """The notebook that a client sends, as bytes for the disk.

    `strip` None keeps the outputs; else they are left out, and these metadata keys too (see `stripping`). Raises
    NotebookInvalid when it does not follow its format, and says where.
    """
    try:
        received = json.loads(content)
        notebook: Any = nbformat.from_dict(received)  # type: ignore[no-untyped-call]
        major, _ = reader.get_version(notebook)  # type: ignore[no-untyped-call]
        writer = nbformat.versions[_MAJORS[major]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise NotebookInvalid(f"{path} was not saved: it is not a notebook ({_brief(error)}).") from error
    if (fault := _fault(notebook)) is not None:
        raise NotebookInvalid(f"{path} was not saved, the file is as it was before. {fault}")
    if strip is not None:
        stripping.strip(notebook, strip)
    trusted = all(_is_harmless(cell) for cell in _code_cells(notebook))
    try:
        text: str = writer.writes_json(notebook)
        data = (text if text.endswith("\n") else text + "\n").encode()
        return Written(data, trusted, *_pairing(notebook))
    except (ValueError, RecursionError) as error:
        raise NotebookInvalid(f"{path} was not saved: its text is not valid Unicode.") from error


def _pairing(notebook: Any) -> tuple[str | None, str | None]:
    metadata = notebook.get("metadata")
    if not isinstance(metadata, dict):
        return None, None
    return pairs.formats_of(metadata), pairs.language_extension(metadata)


def _fault(notebook: Any) -> str | None:
    """In what the notebook does not follow its format; None when it does."""
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        return f"Notebook validation failed: {error}"
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        return f"Notebook validation failed: {_brief(error)}"
    return None


def _trouble_with_ids(notebook: Any) -> str | None:
    """What nbformat is about to mend in the cells' ids, which the next save would then write; None: nothing.

    (Since 4.5 each cell has an id of its own; validating makes up those that are missing or there twice.)
    """
    cells = notebook.get("cells")
    if not isinstance(cells, list) or _minor_of(notebook) < _FIRST_WITH_IDS:
        return None
    ids = [cell.get("id") for cell in cells if isinstance(cell, dict)]
    known = [id for id in ids if isinstance(id, str)]
    if len(known) < len(ids):
        return "Notebook validation failed: cells have no id. They have new ones here; a save writes them."
    if len(set(known)) < len(known):
        return "Notebook validation failed: cells share an id. They have new ones here; a save writes them."
    return None


def _minor_of(notebook: Any) -> int:
    minor = notebook.get("nbformat_minor")
    return minor if isinstance(minor, int) else 0


def _code_cells(notebook: Any) -> list[dict[str, Any]]:
    sheets = notebook.get("worksheets", [notebook])
    cells = [cell for sheet in sheets for cell in sheet.get("cells", [])]
    return [cell for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]


def _is_harmless(cell: dict[str, Any]) -> bool:
    """Whether the cell's outputs may be shown again: the client says so, or none of them is rich."""
    if cell.get("metadata", {}).get("trusted"):
        return True
    return all(
        output.get("output_type") in _HARMLESS_OUTPUTS or set(output) <= _EMPTY_RESULT
        for output in cell.get("outputs", [])
    )


def _to_wire(notebook: Any) -> bytes:
    try:
        return msgspec.json.encode(notebook)
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        # Lone surrogates and integers over 64 bits are JSON all the same; the slow way can write them.
        return json.dumps(notebook).encode()


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
