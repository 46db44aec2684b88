"""What goes into an archive of a folder: one entry after the other, open while it is read. Blocking.

Folders are walked by descriptors, so what is moved or replaced meanwhile leads nowhere else. Of a link, what
it leads to is taken if that is a file beneath the home; links to folders are left out, since they can lead in circles.
Hidden names, FIFOs, sockets and devices are left out too. What could not be read is listed in a note at the end.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from hub.contents.beneath import Folder, Home
from hub.contents.paths import ApiPath
from hub.contents.trees import MAX_DEPTH
from hub.errors import HubError

NOTE = "NOT IN THIS ARCHIVE.txt"
_READ_BYTES = 256 * 1024
_MOST_NOTED = 1_000
_FREE_BYTES = 10 * 1024**3
_MOST_TIMES = 100
"""Files that claim more than `_FREE_BYTES` together, and so many times what their disk holds, are mostly holes: a home
with a quota can have exabytes of them, and to compress those is work without end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder (`is_folder`). `pieces` are its bytes: never more than `size`, fewer if it got shorter."""

    name: str
    mode: int
    modified_at: float
    size: int
    is_folder: bool
    pieces: Iterator[bytes]


@dataclass(slots=True)
class Walk:
    """A walk through `top`, the folder at `path` of the home; `prefix` begins the names of its entries."""

    home: Home
    path: ApiPath
    prefix: str
    follow_links: bool
    show_hidden: bool
    missing: list[str] = field(default_factory=list)
    _claimed: int = 0
    _stored: int = 0

    def entries(self, top: Folder) -> Iterator[Entry]:
        """Everything beneath, folders before what is in them, and at last the note if there is need for one."""
        yield _folder_entry(self.prefix, os.fstat(top.fd))
        yield from self._entries(top, self.path, self.prefix, 0)
        if self.missing:
            yield self._note()

    def count(self, top: Folder, most: int) -> int:
        """How many entries there are, but not many more than `most`."""
        return self._count(top, most, 0)

    def _entries(self, folder: Folder, path: ApiPath, prefix: str, depth: int) -> Iterator[Entry]:
        with os.scandir(folder.fd) as found:
            for each in found:
                if self._is_wanted(each.name):
                    yield from self._entry(folder, path.child(each.name), f"{prefix}/{_shown(each.name)}", depth)

    def _entry(self, folder: Folder, path: ApiPath, name: str, depth: int) -> Iterator[Entry]:
        try:
            found = os.stat(os.fsencode(path.name), dir_fd=folder.fd, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                inner = folder.open_folder(path.name) if depth < MAX_DEPTH else None
            elif stat.S_ISREG(found.st_mode):
                fd = folder.open_file(path.name)
            elif stat.S_ISLNK(found.st_mode) and self.follow_links:
                fd = self._open_linked(path)
            else:
                return
        except FileNotFoundError:
            return  # deleted meanwhile
        except (OSError, HubError, UnicodeError):
            self._miss(name)
            return
        if not stat.S_ISDIR(found.st_mode):
            yield from self._file(fd, name)
        elif inner is None:
            self._miss(name)
        else:
            with inner:
                yield _folder_entry(name, found)
                yield from self._entries(inner, path, name, depth + 1)

    def _file(self, fd: int, name: str) -> Iterator[Entry]:
        try:
            found = os.fstat(fd)
            if not self._is_worth(found):
                self._miss(f"{name} (mostly empty space)")
                return
            pieces = self._pieces(fd, name, found.st_size)
            yield Entry(name, stat.S_IMODE(found.st_mode), found.st_mtime, found.st_size, False, pieces)
        finally:
            os.close(fd)

    def _is_worth(self, found: os.stat_result) -> bool:
        claimed, stored = self._claimed + found.st_size, self._stored + found.st_blocks * 512
        if claimed > _FREE_BYTES + _MOST_TIMES * stored:
            return False
        self._claimed, self._stored = claimed, stored
        return True

    def _pieces(self, fd: int, name: str, size: int) -> Iterator[bytes]:
        offset = 0
        while offset < size:
            try:
                data = os.pread(fd, min(_READ_BYTES, size - offset), offset)
            except OSError:
                data = b""
            if not data:
                self._miss(f"{name} (its end: it changed or could not be read)")
                return
            offset += len(data)
            yield data

    def _open_linked(self, path: ApiPath) -> int:
        """What the link leads to. Raises OSError unless that is beneath the home; BadRequest for a folder."""
        return self.home.open_file(path)

    def _count(self, folder: Folder, most: int, depth: int) -> int:
        count = 0
        with os.scandir(folder.fd) as found:
            for each in found:
                if not self._is_wanted(each.name):
                    continue
                count += 1
                if count > most or depth >= MAX_DEPTH or not each.is_dir(follow_symlinks=False):
                    continue
                try:
                    with folder.open_folder(each.name) as inner:
                        count += self._count(inner, most - count, depth + 1)
                except OSError:
                    continue
        return count

    def _is_wanted(self, name: str) -> bool:
        return self.show_hidden or not name.startswith(".")

    def _miss(self, name: str) -> None:
        if len(self.missing) < _MOST_NOTED:
            self.missing.append(name)

    def _note(self) -> Entry:
        more = "\n(and more)" if len(self.missing) == _MOST_NOTED else ""
        text = "These could not be read, or not to their end:\n\n" + "\n".join(self.missing) + more + "\n"
        data = text.encode()
        return Entry(f"{self.prefix}/{NOTE}", 0o644, time.time(), len(data), False, iter([data]))


def _folder_entry(name: str, found: os.stat_result) -> Entry:
    return Entry(name, stat.S_IMODE(found.st_mode), found.st_mtime, 0, True, iter(()))


def _shown(name: str) -> str:
    """A name as archives hold it; a byte that is not UTF-8 as its number."""
    return os.fsencode(name).decode(errors="backslashreplace")
