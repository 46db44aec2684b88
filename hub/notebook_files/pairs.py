"""Which files belong together: jupytext's ``formats`` and the paths that follow from them. Pure.

Understood is the short form, ``ipynb,py:percent``, with a suffix (``ipynb,.nb.py:percent``), the beginning of a name
(``ipynb,nb_/py``) and a folder below the notebook's (``ipynb,scripts//py:percent``). Formats that start other programs
(pandoc, quarto, marimo), that climb folders (``..``) or replace them (``notebooks///``) are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hub.errors import BadRequest

NOTEBOOK = ".ipynb"
FORMAT_NAMES = frozenset(
    {"light", "percent", "hydrogen", "nomarker", "sphinx", "spin", "markdown", "rmarkdown", "myst"}
)
TEXT_EXTENSIONS = frozenset(
    {
        *(".py", ".md", ".markdown", ".Rmd", ".R", ".r", ".jl", ".sh", ".js", ".ts", ".cpp", ".sql", ".scala", ".m"),
        *(".sage", ".rs", ".cs", ".fsx", ".clj", ".java", ".q", ".pl", ".groovy", ".go", ".myst", ".mystnb", ".mnb"),
    }
)
MOST_FORMATS = 5
MAX_CHARS = 200
_NAMES = {"notebook": "ipynb", "rmarkdown": "Rmd", "markdown": "md", "script": "auto", "myst": "md:myst"}
_FORMAT = re.compile(r"(?:(?P<folder>[^:]*)/)?(?P<ext>[^:/]*)(?::(?P<name>[a-z]+))?\Z")
_SUFFIX = re.compile(r"\.\w{1,8}\Z")
_LANGUAGES = {"python": ".py", "r": ".R", "julia": ".jl", "bash": ".sh", "javascript": ".js", "octave": ".m"}
_PLAIN = re.compile(r"[\w .+-]*\Z")


@dataclass(frozen=True, slots=True)
class Format:
    """One of the forms that a notebook is kept in. `folder` is relative to the base's folder, ``""`` for the same."""

    extension: str
    name: str | None = None
    folder: str = ""
    prefix: str = ""
    suffix: str = ""

    def path(self, base: PurePosixPath) -> str:
        """Where the form of the notebook with this base (a path without its end) is."""
        return str(base.parent / self.folder / f"{self.prefix}{base.name}{self.suffix}{self.extension}")

    def base(self, path: str) -> PurePosixPath | None:
        """The base of the notebook whose form is at `path`; None when `path` cannot be of this form."""
        whole, end = PurePosixPath(path), self.suffix + self.extension
        name = whole.name
        if not (name.startswith(self.prefix) and name.endswith(end) and len(name) > len(self.prefix + end)):
            return None
        folder, wanted = whole.parent, PurePosixPath(self.folder).parts
        if wanted:
            if folder.parts[-len(wanted) :] != wanted:
                return None
            folder = PurePosixPath(*folder.parts[: -len(wanted)])
        return folder / name[len(self.prefix) : len(name) - len(end)]


@dataclass(frozen=True, slots=True)
class TextFile:
    """A paired text: where it is, and jupytext's name for its form."""

    path: str
    extension: str
    format_name: str | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A notebook with its texts. `notebook` None: only a text, of which one is edited as a notebook."""

    notebook: str
    texts: tuple[TextFile, ...]


def parse_formats(text: str, language_extension: str | None) -> tuple[Format, ...]:
    """What jupytext's ``formats`` says. `language_extension` stands for ``auto`` (None: not known, so left out).

    Raises BadRequest for what this hub does not understand.
    """
    named = [one.strip() for one in text.split(",") if one.strip()]
    if len(text) > MAX_CHARS or len(named) > MOST_FORMATS:
        raise BadRequest("jupytext's formats are too many.")
    found = (_parse(one, language_extension) for one in named)
    return tuple(one for one in found if one is not None)


def pair_of(path: str, formats: tuple[Format, ...]) -> Pair | None:
    """The files that belong to the notebook at `path`; None when it is not paired. Raises BadRequest."""
    notebook = next((one for one in formats if one.extension == NOTEBOOK), None)
    texts = [one for one in formats if one.extension != NOTEBOOK]
    if notebook is None or not texts:
        return None
    base = next((found for one in formats if (found := one.base(path)) is not None), None)
    if base is None:
        return None
    files = tuple(TextFile(one.path(base), one.extension, one.name) for one in texts)
    pair = Pair(notebook.path(base), files)
    paths = [pair.notebook, *(file.path for file in files)]
    return pair if path in paths and len(set(paths)) == len(paths) else None


def formats_of(metadata: Mapping[str, Any]) -> str | None:
    """The pairing that a notebook's metadata asks for; None when it does not say."""
    own = metadata.get("jupytext")
    found = own.get("formats") if isinstance(own, Mapping) else None
    return found if isinstance(found, str) else None


def language_extension(metadata: Mapping[str, Any]) -> str | None:
    """The end of the names of files in the notebook's language, None when it is not known."""
    info, spec = metadata.get("language_info"), metadata.get("kernelspec")
    found = info.get("file_extension") if isinstance(info, Mapping) else None
    if isinstance(found, str) and _SUFFIX.match(found):
        return ".R" if found == ".r" else found
    name = spec.get("language") if isinstance(spec, Mapping) else None
    return _LANGUAGES.get(name.lower()) if isinstance(name, str) else None


def is_text(path: str) -> bool:
    """Whether jupytext reads such files as notebooks."""
    return PurePosixPath(path).suffix in TEXT_EXTENSIONS


def _parse(one: str, language_extension: str | None) -> Format | None:
    match = _FORMAT.match(_NAMES.get(one.lower(), one))
    if match is None:
        raise BadRequest(f"This hub does not understand jupytext's format {one[:40]!r}.")
    folder, _, prefix = (match["folder"] or "").rpartition("/")
    suffix, _dot, ext = match["ext"].rpartition(".")
    if match["name"] is None and match["ext"] in FORMAT_NAMES:
        ext, name = "auto", match["ext"]
    else:
        name = match["name"]
    extension = language_extension if ext == "auto" else f".{ext}"
    if extension is None:
        return None
    parts = PurePosixPath(folder).parts
    is_known = extension == NOTEBOOK or extension in TEXT_EXTENSIONS
    is_safe = not folder.startswith("/") and not folder.endswith("/") and not any(p.startswith(".") for p in parts)
    is_plain = all(_PLAIN.match(text) for text in (*parts, prefix, suffix)) and not prefix.startswith(".")
    if not (is_known and is_safe and is_plain and (name is None or name in FORMAT_NAMES)):
        raise BadRequest(f"This hub does not keep jupytext's format {one[:40]!r}.")
    return Format(extension, name, folder, prefix, suffix)
