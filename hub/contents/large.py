"""Bytes that are too many for the hub's memory, in files of its own that have no name. Blocking; for worker threads.

They lie on the disk with the hub's data, where no user gets at them. Who has one alone closes it; one that is
left behind in the midst of work (a client went away, say) is gone with the last reference to it. For a descriptor that
is closed while another thread uses its number may lead elsewhere by then.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from hub.contents import drafts
from hub.errors import NoSpace, TooLarge, Unavailable

LARGE_BYTES = 4 * 1024**2
"""From this size on, bytes are large."""
HUB_IS_FULL = "The disk of the hub itself is full: nothing was changed. Tell its administrators."


class ScratchFile:
    """A file without a name. Closed when nobody refers to it any more, or when it is left as a context manager."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    def __del__(self) -> None:
        self._file.close()

    def __enter__(self) -> ScratchFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def fd(self) -> int:
        """Its descriptor, good as long as the file is referred to."""
        return self._file.fileno()

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return os.fstat(self.fd).st_size

    def append(self, data: bytes | bytearray) -> None:
        """Write all of `data`. Raises NoSpace when the hub's disk is full."""
        with _refusing():
            drafts.write_all(self.fd, data)

    def pieces(self) -> Iterator[bytes]:
        """The bytes, a mebibyte at a time."""
        return drafts.pieces_of(self.fd)

    def read(self) -> bytes:
        """All bytes."""
        return os.pread(self.fd, self.size_bytes, 0)


@dataclass(frozen=True, slots=True)
class Large:
    """Bytes in a file, with their SHA-256 in hexadecimal."""

    file: ScratchFile
    digest: str


@contextmanager
def closing(data: Data | None) -> Iterator[None]:
    """Close the file at the end of the block, where the bytes are in one."""
    try:
        yield
    finally:
        if isinstance(data, Large):
            with data.file:
                pass


Data = bytes | Large
"""Bytes in memory as long as they are few (see `LARGE_BYTES`)."""


class Scratch:
    """Where such files are made: a folder on a disk, which is made when it is first used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> ScratchFile:
        """A new empty file. Raises NoSpace."""
        with _refusing():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return ScratchFile(TemporaryFile(dir=self._folder, buffering=0))

    def copy(self, fd: int, most: int) -> Large | None:
        """The bytes of an open file; None when there are more than `most`. Raises NoSpace."""
        if os.fstat(fd).st_size > most:
            return None
        file, digest, size = self.open(), hashlib.sha256(), 0
        for piece in drafts.pieces_of(fd):
            size += len(piece)
            if size > most:
                return None
            digest.update(piece)
            file.append(piece)
        return Large(file, digest.hexdigest())

    def fill(self, pieces: Iterable[bytes]) -> ScratchFile:
        """A file of these bytes. Raises NoSpace."""
        file = self.open()
        for piece in pieces:
            file.append(piece)
        return file


def size_of(data: Data) -> int:
    """How many bytes they are."""
    return data.file.size_bytes if isinstance(data, Large) else len(data)


def digest_of(data: Data) -> str:
    """Their SHA-256 in hexadecimal."""
    return data.digest if isinstance(data, Large) else hashlib.sha256(data).hexdigest()


def pieces_of(data: Data) -> Iterator[bytes]:
    """The bytes, a mebibyte at a time where they are in a file."""
    return data.file.pieces() if isinstance(data, Large) else iter([data])


def in_memory(data: Data, most: int, what: object) -> bytes:
    """The bytes at once, for what cannot do with less. Raises TooLarge, about `what`, beyond `most` bytes."""
    if not isinstance(data, Large):
        return data
    if size_of(data) > most:
        raise TooLarge(f"{what} is larger than {most // 1024**2} MiB, too large for this.")
    return data.file.read()


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(HUB_IS_FULL) from error
        raise Unavailable("The hub cannot keep large files just now; try again.") from error
