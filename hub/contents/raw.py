"""A file opened for a download: size, times and bytes, as much of them as is asked for."""

from __future__ import annotations

import io
import mimetypes
import os
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from types import TracebackType

import msgspec

from hub.contents.beneath import Owner
from hub.contents.large import ScratchFile
from hub.contents.models import Limits
from hub.contents.paths import ApiPath, refuse_hidden
from hub.contents.stats import time_of
from hub.contents.workers import Workers

CHUNK_BYTES = 256 * 1024


class Opened(msgspec.Struct, frozen=True):
    """A regular file that the owner may read, open."""

    file: io.FileIO
    path: ApiPath
    stat: os.stat_result


def open_raw_file(owner: Owner, path: ApiPath, limits: Limits) -> Opened:
    """Open the file for reading, as its owner. Raises NotFound, Forbidden; BadRequest for a folder."""
    refuse_hidden(path, limits.allow_hidden)
    with owner.at_home(path) as home:
        fd = home.open_file(path)
    return Opened(io.FileIO(fd), path, os.fstat(fd))


def open_scratch_file(file: ScratchFile, path: ApiPath) -> Opened:
    """A file of the hub's own, as if it were that at `path`."""
    fd = os.dup(file.fd)
    return Opened(io.FileIO(fd), path, os.fstat(fd))


class RawFile:
    """An open file. What it says was true when it was opened; the bytes are read when they are asked for.

    Resource handling: an asynchronous context manager; leaving it closes the descriptor.
    """

    def __init__(self, opened: Opened, workers: Workers, lane: str) -> None:
        self._file = opened.file
        self._workers = workers
        self._lane = lane
        self.name = opened.path.name
        self.size_bytes = opened.stat.st_size
        self.modified_at: datetime = time_of(opened.stat.st_mtime)

    @property
    def content_type(self) -> str:
        """The Content-Type by name, as Jupyter gives it: notebooks have their own, text is UTF-8."""
        if self.name.lower().endswith(".ipynb"):
            return "application/x-ipynb+json"
        mimetype, encoding = mimetypes.guess_type(self.name)
        if encoding is not None:
            return "application/gzip" if encoding == "gzip" else "application/octet-stream"
        if mimetype == "text/plain":
            return "text/plain; charset=UTF-8"
        return mimetype or "application/octet-stream"

    async def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`; fewer only at the end of the file."""
        return await self._workers.run(self._lane, partial(os.pread, self._file.fileno(), count, offset))

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `stop` (None: the size when opened), in pieces of 256 KiB.

        Ends early when the file has become shorter meanwhile.
        """
        end = self.size_bytes if stop is None else min(stop, self.size_bytes)
        while start < end:
            data = await self.read(start, min(CHUNK_BYTES, end - start))
            if not data:
                return
            start += len(data)
            yield data

    def close(self) -> None:
        """Close the descriptor; again is harmless."""
        self._file.close()

    async def __aenter__(self) -> RawFile:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
