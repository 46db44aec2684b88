"""A folder as one archive, made while it is sent: at no time more of it in memory than a piece, and none on a disk.

Each piece is made in a worker thread, as the user, when the one before it has gone to the client; so a slow client
costs nothing but an open folder, and one that goes away ends it all.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from types import TracebackType

from hub.contents.archive_formats import FORMATS, Format
from hub.contents.archive_walk import Walk
from hub.contents.beneath import Owner
from hub.contents.models import Limits
from hub.contents.paths import ApiPath, refuse_hidden
from hub.contents.workers import Workers
from hub.errors import BadRequest, TooLarge

PIECE_BYTES = 256 * 1024
MOST_STEPS = 256
"""After so many reads a piece is sent, however little they were compressed to: gigabytes of zeros make some bytes, and
a client that has gone is noticed only when something is sent."""


class Packing:
    """An archive that is being made. Blocking; one thread at a time.

    Resource handling: it takes over what is open in `stack`, once it is made; `close` gives it back.
    """

    def __init__(self, owner: Owner, path: ApiPath, archive_format: Format, walk: Walk, stack: ExitStack) -> None:
        self._owner = owner
        self._lock = threading.Lock()
        self._top = stack.enter_context(walk.home.open_folder(path))
        if (most := archive_format.most_entries) is not None and walk.count(self._top, most) > most:
            raise TooLarge(f"The folder has more than {most} files, too many for this format; ask for tar.gz.")
        self._pieces: Iterator[bytes] = archive_format.pack(walk.entries(self._top))
        self.is_done = False
        self._stack = stack.pop_all()

    def next_piece(self) -> bytes:
        """The next 256 KiB or a little more; less, even nothing, where much is compressed to little (see `is_done`)."""
        piece = bytearray()
        with self._lock, self._owner.acting():
            for step, data in enumerate(self._pieces, 1):
                piece += data
                if len(piece) >= PIECE_BYTES or step >= MOST_STEPS:
                    break
            else:
                self.is_done = True
        return bytes(piece)

    def close(self) -> None:
        """Stop, and close all descriptors."""
        with self._lock:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()
            self._stack.close()


def open_archive(
    owner: Owner, path: ApiPath, name: str, format_name: str, follow_links: bool, limits: Limits
) -> Packing:
    """Begin an archive of the folder at `path`, in which everything lies in a folder called `name`.

    Raises BadRequest for an unknown format, NotFound for what is no folder, TooLarge for too many files.
    """
    if format_name not in FORMATS:
        raise BadRequest(f"There is no archive format {format_name[:20]!r}; there are {', '.join(FORMATS)}.")
    refuse_hidden(path, limits.allow_hidden)
    with ExitStack() as stack, owner.at_home(path) as home:
        walk = Walk(home.kept(stack), path, name, follow_links, limits.allow_hidden)
        return Packing(owner, path, FORMATS[format_name], walk, stack)


class Archive:
    """An archive for a handler to send.

    Resource handling: an asynchronous context manager; leaving it closes all descriptors.
    """

    def __init__(self, packing: Packing, archive_format: Format, name: str, workers: Workers, lane: str) -> None:
        self._packing = packing
        self._workers = workers
        self._lane = lane
        self.filename = f"{name}.{archive_format.suffix}"
        self.content_type = archive_format.mime_type

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes, each piece made when it is asked for."""
        while not self._packing.is_done:
            yield await self._workers.run(self._lane, self._packing.next_piece)

    async def __aenter__(self) -> Archive:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._packing.close()
