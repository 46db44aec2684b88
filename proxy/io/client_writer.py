"""Writes Jupyter messages to one WebSocket, as fast as it takes them and never more ahead than a batch.

All that comes or waits is framed together and written at once: a write per message would cost an event-loop turn each.
tornado's own `write_message` makes a task per message, so the frames are made here (RFC 6455, `frame_header`)
and go to the connection's stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tornado.iostream import IOStream, StreamClosedError

from proxy.core.client_queue import ClientQueue
from proxy.core.frames import Framing, frame_header
from proxy.core.tagged import Tagged
from proxy.core.wire import Part, Parts
from proxy.errors import BadMessage
from proxy.io.trail import Trail

BATCH_BYTES = 512 * 1024
TIGHT_BATCH_BYTES = 64 * 1024
"""The batch while much waits for other clients of the same workspace."""
PASS_FROM_BYTES = 128 * 1024
"""Pieces of this size and more are written as they are, without being copied together."""


class ClientWriter:
    """The way of messages to one client. `on_overflow` is called once when the queue refuses.

    `is_open` says whether frames may be written still: none may follow a close frame. `trail` learns of every frame.
    """

    def __init__(
        self,
        stream: IOStream,
        framing: Framing,
        queue: ClientQueue,
        is_open: Callable[[], bool],
        on_overflow: Callable[[], None],
        trail: Trail | None = None,
    ) -> None:
        self._stream = stream
        self._framing = framing
        self._queue = queue
        self._is_open = is_open
        self._on_overflow = on_overflow
        self._trail = trail
        self._writing = False
        self._waiters: list[asyncio.Future[None]] = []
        self.messages = 0
        self.bytes = 0
        self.unframed = 0

    @property
    def is_writing(self) -> bool:
        """Whether something waits for the client to take it."""
        return self._writing

    def send(self, channel: str, messages: Sequence[Parts]) -> None:
        """Write messages as far as the client takes them now; the others wait in the queue."""
        if not self._writing and self._is_open():
            try:
                messages = self._write_past(channel, messages)
            except StreamClosedError:
                return
        if not messages:
            return
        push = self._queue.push
        for parts in messages:
            if not push(channel, parts):
                self._on_overflow()
                return
        if not self._writing:
            self._pump()

    async def room(self, most_bytes: int) -> None:
        """Return when no more than `most_bytes` wait, or the client is gone."""
        while self._writing and self._queue.waiting_bytes > most_bytes and self._is_open():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    async def flush(self) -> None:
        """Return when nothing waits any more, or the client is gone."""
        while self._writing and self._is_open():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _write_past(self, channel: str, messages: Sequence[Parts]) -> Sequence[Parts]:
        """Write what may go past the queue, which is empty mostly; those messages that may not."""
        most = self._queue.open_bytes
        if not most:
            return messages
        pieces: list[Part] = []
        size = count = 0
        end = self._end()
        for parts in messages:
            now = size + sum(map(len, parts))
            if now > most:
                break
            size = now
            count += 1
            end = self._frame(channel, parts, pieces, end)
        if not pieces:
            return messages[count:]
        written = self._finish(pieces)
        if written is not None and not written.done():
            self._queue.pass_by(size)
            self._wait_for(written)
        return messages[count:]

    def _pump(self) -> None:
        while self._queue and self._is_open():
            try:
                written = self._write_batch()
            except StreamClosedError:
                return
            if written is not None and not written.done():
                self._wait_for(written)
                return
            self._queue.landed()

    def _wait_for(self, written: asyncio.Future[None]) -> None:
        self._writing = True
        written.add_done_callback(self._written)

    def _written(self, future: asyncio.Future[None]) -> None:
        self._writing = False
        self._queue.landed()
        if not future.cancelled() and future.exception() is None:
            self._pump()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _write_batch(self) -> asyncio.Future[None] | None:
        pieces: list[Part] = []
        last: asyncio.Future[None] | None = None
        most = TIGHT_BATCH_BYTES if self._queue.is_tight else BATCH_BYTES
        end = begin = self._end()
        while self._queue and end - begin < most:
            channel, parts = self._queue.pop()
            first = len(pieces)
            end = self._frame(channel, parts, pieces, end)
            if any(len(piece) >= PASS_FROM_BYTES for piece in pieces[first:]):
                last = self._write_large(pieces)
                pieces = []
        return self._finish(pieces) or last

    def _end(self) -> int:
        """Where the next frame begins in the stream of bytes, as the trail counts them."""
        return 0 if self._trail is None else self._trail.queued

    def _frame(self, channel: str, parts: Parts, pieces: list[Part], end: int) -> int:
        """Add a message's frame, which begins at `end`, to `pieces`; where it ends."""
        try:
            opcode, content, size = self._framing.encode(channel, parts)
        except BadMessage:
            self.unframed += 1
            return end
        self.messages += 1
        self.bytes += size
        head = frame_header(opcode, size)
        pieces.append(head)
        pieces += content
        end += len(head) + size
        trail = self._trail
        if trail is not None:
            if channel == "iopub" and type(parts) is not Tagged:
                trail.frames.append((end, parts[0], None))
            else:
                trail.add(end, parts, channel == "iopub")
        return end

    def _finish(self, pieces: list[Part]) -> asyncio.Future[None] | None:
        """Write what was framed, and ask the client how far it is; what is returned, if anything, is done later."""
        if self._trail is not None and (question := self._trail.question()):
            pieces.append(question)
        return write_now(self._stream, b"".join(pieces)) if pieces else None

    def _write_large(self, pieces: list[Part]) -> asyncio.Future[None] | None:
        """Write pieces of which some are not to be copied."""
        last: asyncio.Future[None] | None = None
        small: list[Part] = []
        for piece in pieces:
            if len(piece) < PASS_FROM_BYTES:
                small.append(piece)
                continue
            if small:
                self._stream.write(b"".join(small))
                small = []
            last = self._stream.write(piece)
        return self._stream.write(b"".join(small)) if small else last


def write_now(stream: IOStream, data: bytes) -> asyncio.Future[None] | None:
    """Write `data` after all that was written before; None when the socket has taken it.

    tornado's `write` costs a future, a buffer and a callback each time, a third of what one message costs here. So the
    socket is given the data as it is while nothing waits in the stream. Raises StreamClosedError.
    """
    rest: bytes | memoryview = data
    if not stream._write_buffer and not stream.closed():
        try:
            sent = stream.write_to_fd(data)  # type: ignore[arg-type]
        except BlockingIOError:
            sent = 0
        except OSError as error:
            stream.close(exc_info=error)
            raise StreamClosedError(real_error=error) from error
        if sent == len(data):
            return None
        rest = memoryview(data)[sent:]
    return stream.write(rest)
