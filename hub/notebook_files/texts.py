"""Notebooks as text by jupytext, and Databricks' source by our own codec. For the child process only.

jupytext decides what a text means: its header, its markers, what of the metadata it keeps. A text without a header is
written back without one.
"""

from __future__ import annotations

import hashlib
from typing import Any

import jupytext
import nbformat
from jupytext.combine import combine_inputs_with_outputs
from jupytext.config import load_jupytext_configuration_file

from hub.errors import BadRequest
from hub.notebook_files import databricks
from hub.notebook_files.jobs import Combine, NotebookRead, ReadText, TextWritten, WriteText
from hub.notebook_files.pairs import FORMAT_NAMES, formats_of, language_extension


def read_text(job: ReadText) -> NotebookRead:
    """Read a text as a notebook."""
    text = _decoded(job.text)
    if databricks.is_source(text, job.extension):
        notebook: Any = nbformat.from_dict(databricks.read(text, job.extension))  # type: ignore[no-untyped-call]
    else:
        notebook = _read(text, job)
        _name_kernel(notebook, job.extension)
    _number(notebook)
    return _answer(notebook)


def write_text(job: WriteText) -> TextWritten:
    """Write a notebook as text."""
    notebook = _notebook(job.notebook)
    if databricks.is_from_source(notebook) and notebook.metadata[databricks.OWN_KEY].get("extension") == job.extension:
        return TextWritten(databricks.write(notebook, job.extension).encode())
    return TextWritten(_write(notebook, job).encode())


def combine(job: Combine) -> NotebookRead:
    """Read the inputs from the text and the outputs from the notebook, as jupytext does."""
    inputs, outputs = _read(_decoded(job.text), job), _notebook(job.notebook)
    as_text = _write(_notebook(job.notebook), job)
    is_same = _cells_of(_read(as_text, job)) == _cells_of(inputs)
    combined = combine_inputs_with_outputs(inputs, outputs, fmt=_format(job))
    combined.metadata.get("jupytext", {}).pop("text_representation", None)
    return _answer(combined, is_same)


def _number(notebook: Any) -> None:
    """Ids for the cells of a text, which has none: the same each time that the same text is opened."""
    taken: dict[str, int] = {}
    for cell in notebook.cells:
        name = hashlib.sha256(f"{cell.cell_type}\0{cell.source}".encode("utf-8", "replace")).hexdigest()[:12]
        taken[name] = taken.get(name, 0) + 1
        cell["id"] = name if taken[name] == 1 else f"{name}-{taken[name]}"


def _name_kernel(notebook: Any, extension: str) -> None:
    """A Python text without a header is for the Python kernel; that is not written into it."""
    hides_metadata = notebook.metadata.get("jupytext", {}).get("notebook_metadata_filter") == "-all"
    if extension == ".py" and hides_metadata and "kernelspec" not in notebook.metadata:
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}


def _answer(notebook: Any, is_same: bool = True) -> NotebookRead:
    text: str = nbformat.writes(notebook, version=4)  # type: ignore[no-untyped-call]
    found, extension = formats_of(notebook.metadata), language_extension(notebook.metadata)
    return NotebookRead(f"{text.rstrip()}\n".encode(), found, extension, is_same)


def _read(text: str, job: ReadText | Combine) -> Any:
    return _as_45(jupytext.reads(text, fmt=_format(job), config=_config(job.config)))


def _write(notebook: Any, job: WriteText | Combine) -> str:
    return str(jupytext.writes(notebook, fmt=_format(job), config=_config(job.config)))


def _format(job: ReadText | WriteText | Combine) -> dict[str, str]:
    if job.format_name is not None and job.format_name not in FORMAT_NAMES:
        raise BadRequest(f"This hub does not keep notebooks as {job.format_name[:40]!r}.")
    return {"extension": job.extension, **({"format_name": job.format_name} if job.format_name else {})}


def _config(text: str | None) -> Any:
    return None if text is None else load_jupytext_configuration_file("jupytext.toml", text)


def _notebook(data: bytes) -> Any:
    return _as_45(nbformat.reads(data.decode(), as_version=4))  # type: ignore[no-untyped-call]


def _as_45(notebook: Any) -> Any:
    """Jupytext's notebooks have the minor version of its nbformat; ids are there from 4.5 on."""
    if notebook.nbformat_minor < 5:
        for cell in notebook.cells:
            cell.pop("id", None)
    return notebook


def _cells_of(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The file is not UTF-8 text, so it cannot be a notebook.") from error
