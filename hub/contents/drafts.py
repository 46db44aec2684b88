"""Atomic writing: a draft beside the file, complete on the disk before it takes the file's name.

At any moment, and after a power cut at any moment, the name stands for the old bytes or for the new ones; once it was
published, for the new ones. So the bytes are on the disk (fsync) before the rename, and the name (fsync of the folder)
before anybody is told. What may be lost is the draft, whose name says so and which `leftovers` clears away later.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from hub.contents.beneath import Folder, Place
from hub.contents.syscalls import rename_new
from hub.crash_points import Point, reached

PREFIX = ".~kernelhub-"
NEW_FILE_MODE = 0o644
_PERMISSIONS = 0o777  # no set-user-id and its like: the bytes are new, the right was given to the old ones
_COPY_BYTES = 1024 * 1024


class Draft:
    """A file that is being written, under a name of its own in the folder."""

    def __init__(self, folder: Folder, name: str, fd: int) -> None:
        self.fd = fd
        self._folder = folder
        self._name = name
        self._published = False

    def write(self, data: bytes) -> None:
        """Append all of `data`. Raises OSError, ENOSPC among others."""
        write_all(self.fd, data)

    def publish(self, name: str, *, replace: bool, settle: bool = True) -> os.stat_result:
        """Put the draft onto the disk and give it `name`; says what it is then.

        `settle` false: who publishes many in one folder syncs that folder at the end. Raises FileExistsError when
        `replace` is false and there is something of that name.
        """
        reached(Point.DRAFT_WRITTEN)
        os.fsync(self.fd)
        reached(Point.DRAFT_SYNCED)
        if replace:
            os.rename(self._name.encode(), name.encode(), src_dir_fd=self._folder.fd, dst_dir_fd=self._folder.fd)
        else:
            rename_without_loss(self._folder, self._name, self._folder, name)
        self._published = True
        reached(Point.DRAFT_RENAMED)
        if settle:
            self._folder.sync()
            reached(Point.DRAFT_PUBLISHED)
        return os.fstat(self.fd)

    def discard(self) -> None:
        """Close, and remove what was not published."""
        os.close(self.fd)
        if not self._published:
            with suppress(OSError):
                self._folder.remove_file(self._name)


def new_name() -> str:
    """A name for a draft, which nothing has."""
    return f"{PREFIX}{secrets.token_hex(8)}"


@contextmanager
def draft_in(folder: Folder, mode: int = NEW_FILE_MODE) -> Iterator[Draft]:
    """A new draft in `folder` with these permissions; removed at the end unless it was published."""
    name = new_name()
    draft = Draft(folder, name, folder.open_file(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        reached(Point.DRAFT_MADE)
        os.fchmod(draft.fd, mode & _PERMISSIONS)
        yield draft
    finally:
        draft.discard()


@dataclass(frozen=True, slots=True)
class Whole:
    """A file that was written: what it is now, and whether there was none before."""

    stat: os.stat_result
    created: bool


def write_whole(place: Place, pieces: Iterable[bytes]) -> Whole:
    """Make the pieces the content of the file at `place`, old or new. An old file's permissions are kept.

    Raises PermissionError for an old file that is not writable, although the folder would allow to replace
    it: read-only is meant.
    """
    mode = writable_mode(place)
    with draft_in(place.folder, NEW_FILE_MODE if mode is None else mode) as draft:
        for piece in pieces:
            draft.write(piece)
        return Whole(draft.publish(place.name, replace=True), created=mode is None)


def write_new(place: Place, pieces: Iterable[bytes], mode: int = NEW_FILE_MODE, *, settle: bool = True) -> None:
    """Make a new file of the pieces; `settle` as for `Draft.publish`.

    Raises FileExistsError when there is something at `place`.
    """
    with draft_in(place.folder, mode) as draft:
        for piece in pieces:
            draft.write(piece)
        draft.publish(place.name, replace=False, settle=settle)


def writable_mode(place: Place) -> int | None:
    """The permissions of the file at `place`, None when there is none.

    Raises OSError when the user may not write it, BadRequest when it is not a regular file.
    """
    found = place.folder.find(place.name)
    if found is None:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    os.close(place.folder.open_file(place.name, os.O_WRONLY))
    return stat.S_IMODE(found.st_mode)


def write_all(fd: int, data: bytes | bytearray) -> None:
    """Write all of `data`, however many calls it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def pieces_of(fd: int) -> Iterator[bytes]:
    """The bytes of an open file from its beginning, a mebibyte at a time."""
    offset = 0
    while data := os.pread(fd, _COPY_BYTES, offset):
        offset += len(data)
        yield data


def rename_without_loss(old_folder: Folder, old: str, new_folder: Folder, new: str) -> None:
    """Rename, but never over something. Raises FileExistsError.

    Where the file system cannot do that in one step, it is looked first; the gap is then unavoidable.
    """
    try:
        rename_new(old_folder.fd, old.encode(), new_folder.fd, new.encode())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        if new_folder.find(new) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rename(old.encode(), new.encode(), src_dir_fd=old_folder.fd, dst_dir_fd=new_folder.fd)
