"""Whole folders, removed and copied by descriptors: no link is followed, no depth or size is unbounded."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass

from hub.contents.beneath import Folder, Place
from hub.contents.drafts import new_name, pieces_of, rename_without_loss, write_new
from hub.errors import BadRequest, TooLarge

MAX_DEPTH = 64
MAX_ENTRIES = 100_000


@dataclass(slots=True)
class Budget:
    """How much a copy may still make. Raises TooLarge when it is spent."""

    bytes_left: int
    entries_left: int = MAX_ENTRIES

    def spend(self, size_bytes: int) -> None:
        """Take one entry of this size from the budget."""
        self.bytes_left -= size_bytes
        self.entries_left -= 1
        if self.bytes_left < 0 or self.entries_left < 0:
            raise TooLarge("The folder is too large to be copied here; use a terminal.")


def remove(folder: Folder, name: str, depth: int = 0) -> None:
    """Remove a folder with all that is in it. Links are removed, what they lead to is not touched."""
    _check_depth(depth)
    with folder.open_folder(name) as inner:
        for child in _names(inner):
            found = os.stat(child, dir_fd=inner.fd, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                remove(inner, os.fsdecode(child), depth + 1)
            else:
                os.unlink(child, dir_fd=inner.fd)
    folder.remove_folder(name)


def size_of(folder: Folder, name: str, budget: Budget, depth: int = 0) -> int | None:
    """The bytes of all regular files in a folder, links not followed; None when the budget or the depth ends."""
    if depth > MAX_DEPTH:
        return None
    total = 0
    with folder.open_folder(name) as inner, os.scandir(inner.fd) as entries:
        for entry in entries:
            budget.entries_left -= 1
            if budget.entries_left < 0:
                return None
            if entry.is_dir(follow_symlinks=False):
                size = size_of(inner, entry.name, budget, depth + 1)
                if size is None:
                    return None
                total += size
            elif entry.is_file(follow_symlinks=False):
                total += entry.stat(follow_symlinks=False).st_size
    return total


def copy(source: Place, target: Place, budget: Budget) -> None:
    """Copy a folder with all that is in it to a new name, where it appears when it is complete.

    Links are copied as links; FIFOs, sockets and devices, and names that are not UTF-8, are left out. Raises
    FileExistsError, TooLarge; nothing remains then.
    """
    draft = Place(target.folder, new_name())
    try:
        _copy(source, draft, budget, 0)
        rename_without_loss(draft.folder, draft.name, target.folder, target.name)
        target.folder.sync()
    except BaseException:
        with suppress(FileNotFoundError):
            remove(draft.folder, draft.name)
        raise


def copy_file(source: Place, target: Place, *, settle: bool = True) -> None:
    """Copy a regular file, with its permissions, to a new name; it appears when it is complete.

    `settle` false: who copies many syncs their folder at the end.
    """
    fd = source.folder.open_file(source.name)
    try:
        write_new(target, pieces_of(fd), stat.S_IMODE(os.fstat(fd).st_mode) | stat.S_IWUSR, settle=settle)
    finally:
        os.close(fd)


def _copy(source: Place, target: Place, budget: Budget, depth: int) -> None:
    _check_depth(depth)
    found = source.folder.find(source.name)
    if found is None:
        raise FileNotFoundError(source.name)
    budget.spend(found.st_size if stat.S_ISREG(found.st_mode) else 0)
    if stat.S_ISREG(found.st_mode):
        copy_file(source, target, settle=False)
    elif stat.S_ISLNK(found.st_mode):
        os.symlink(source.folder.read_link(source.name), target.name.encode(), dir_fd=target.folder.fd)
    elif stat.S_ISDIR(found.st_mode):
        target.folder.make_folder(target.name)
        with source.folder.open_folder(source.name) as inner, target.folder.open_folder(target.name) as made:
            for child in filter(_is_text, _names(inner)):
                _copy(Place(inner, child.decode()), Place(made, child.decode()), budget, depth + 1)
            made.sync()


def _names(folder: Folder) -> list[bytes]:
    return [os.fsencode(name) for name in folder.names()]


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BadRequest(f"Folders are nested more than {MAX_DEPTH} deep here; use a terminal.")
