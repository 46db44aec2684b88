"""A copy of a user's home for a place where it may be spoilt, and what comes of it. Blocking; for worker threads."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from hub.contents import trees
from hub.contents.beneath import Folder, Home, Owner, Place
from hub.contents.paths import ApiPath, parse_path
from hub.errors import TooLarge

COPIED_BYTES = 256 * 1024**2
COPIED_ENTRIES = 20_000
_TOO_LARGE = (
    "The notebook cannot be verified here: its {} is larger than 256 MiB or has more than 20,000 files, and would have "
    "to be copied."
)
LEFT_OUT = frozenset({".cache"})
"""Folders of the home that programs fill again by themselves."""


def copy_out(owner: Owner, folder: ApiPath, target: Path) -> None:
    """Copy the home to the empty folder `target`, or only `folder` of it where the home is too large.

    `target` belongs to the user. Hidden files are copied, too. Raises TooLarge.
    """
    into = Folder(os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
    with into, owner.at_home(folder) as home:
        try:
            _copy_all(home, parse_path(""), into)
        except TooLarge:
            for name in into.names():
                _remove(into, name)
            if not folder.parts:
                raise TooLarge(_TOO_LARGE.format("home")) from None
            try:
                _copy_folder(home, folder, into)
            except TooLarge:
                raise TooLarge(_TOO_LARGE.format(f"folder {folder}")) from None


def read_out(owner: Owner, folder: Path, name: str, most_bytes: int) -> bytes:
    """A file that the owner's code wrote into a folder other than the home. Raises NotFound, BadRequest, TooLarge."""
    elsewhere = replace(owner, home=folder, make_home=None)
    with elsewhere.at_home(name) as home, os.fdopen(home.open_file(parse_path(name)), "rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise TooLarge(f"{name} is larger than {most_bytes // 1024**2} MiB.")
    return data


def _copy_folder(home: Home, folder: ApiPath, into: Folder) -> None:
    opened = [into]
    try:
        for name in folder.parts:
            opened[-1].make_folder(name)
            opened.append(opened[-1].open_folder(name))
        _copy_all(home, folder, opened[-1])
    finally:
        for each in opened[1:]:
            each.close()


def _copy_all(home: Home, folder: ApiPath, into: Folder) -> None:
    budget = trees.Budget(COPIED_BYTES, COPIED_ENTRIES)
    with home.open_folder(folder) as source:
        for name in source.names():
            found = source.find(name)
            if found is None or name in LEFT_OUT or not name.isprintable() or not _is_copied(found.st_mode):
                continue
            trees.copy(Place(source, name), Place(into, name), budget)


def _is_copied(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def _remove(folder: Folder, name: str) -> None:
    found = folder.find(name)
    if found is not None and stat.S_ISDIR(found.st_mode):
        trees.remove(folder, name)
    elif found is not None:
        folder.remove_file(name)
