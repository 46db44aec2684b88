"""A request's large body on its way into a file: in pieces, each written by a worker thread before the next is read."""

from __future__ import annotations

from functools import partial

from hub.contents.large import Scratch, ScratchFile
from hub.contents.workers import Workers


class Spool:
    """What has arrived of a body. The file is gone when nothing refers to it any more."""

    def __init__(self, scratch: Scratch, workers: Workers, lane: str) -> None:
        self._scratch = scratch
        self._workers = workers
        self._lane = lane
        self._file: ScratchFile | None = None

    async def add(self, piece: bytes | bytearray) -> ScratchFile:
        """Append a piece; gives the file so far. Raises NoSpace, TooManyRequests."""
        return await self._workers.run(self._lane, partial(self._append, piece))

    def _append(self, piece: bytes | bytearray) -> ScratchFile:
        self._file = self._file or self._scratch.open()
        self._file.append(piece)
        return self._file
