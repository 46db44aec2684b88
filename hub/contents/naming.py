"""Names for new things: Untitled1.ipynb, name-Copy1.tar.gz. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from hub.contents.paths import MAX_NAME_BYTES
from hub.errors import BadRequest

_COPY = re.compile(r"-Copy\d*\.")


def split_name(name: str) -> tuple[str, str]:
    """A name as its stem and its whole suffix (``.tar.gz``); of a notebook, only the last dot divides."""
    stem, dot, suffix = name.rpartition(".")
    if suffix != "ipynb" or not dot:
        stem, dot, suffix = name.partition(".")
    return stem, dot + suffix


def numbered(name: str, insert: str) -> Iterator[str]:
    """`name`, then `name` with `insert` and 1, 2, … before its suffix, without end."""
    stem, suffix = split_name(name)
    yield name
    for number in itertools.count(1):
        yield _fitted(stem, f"{insert}{number}{suffix}")


def copy_names(name: str) -> Iterator[str]:
    """Names for a copy of `name`: itself (for another folder), then with ``-Copy1``, ``-Copy2`` and so on."""
    return numbered(_COPY.sub(".", name), "-Copy")


def untitled_names(type: str, ext: str) -> Iterator[str]:
    """Names for a new thing of this type. Raises BadRequest for a suffix that cannot be part of a name."""
    if "/" in ext or "\0" in ext or len(ext.encode(errors="replace")) > MAX_NAME_BYTES // 2:
        raise BadRequest(f"{ext[:40]!r} cannot be the end of a file's name.")
    if type == "directory":
        return numbered("Untitled Folder", " ")
    if type == "notebook":
        return numbered("Untitled.ipynb", "")
    return numbered(f"untitled{ext}", "")


def checkpoint_name(name: str) -> str:
    """The name of a file's checkpoint: ``a-checkpoint.ipynb`` for ``a.ipynb``."""
    stem, dot, suffix = name.rpartition(".")
    if not stem.strip("."):
        stem, dot, suffix = name, "", ""
    return _fitted(stem, f"-checkpoint{dot}{suffix}")


def trash_names(name: str) -> Iterator[str]:
    """Names for a deleted `name` in the trash: itself, then with 2, 3, …; each leaves room for ``.trashinfo``."""
    stem, suffix = split_name(name)
    room = MAX_NAME_BYTES - len(".trashinfo")
    yield _fitted(name, "", room)
    for number in itertools.count(2):
        yield _fitted(stem, f".{number}{suffix}", room)


def restored_names(name: str) -> Iterator[str]:
    """Names for what comes back from the trash: its own, then ``name (restored).ipynb`` and so on."""
    stem, suffix = split_name(name)
    yield name
    yield _fitted(stem, f" (restored){suffix}")
    for number in itertools.count(2):
        yield _fitted(stem, f" (restored {number}){suffix}")


def _fitted(stem: str, end: str, most_bytes: int = MAX_NAME_BYTES) -> str:
    """`stem` and `end` together, the stem shortened (at a character's edge) where a name has no room for it."""
    room = most_bytes - len(end.encode())
    return stem.encode()[: max(room, 0)].decode(errors="ignore") + end
