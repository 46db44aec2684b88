"""Writes Jupyter messages to one WebSocket, as fast as it takes them and never more ahead than a batch.

All that waits is framed together and written at once: a write per message would cost an event-loop turn each.
tornado's own `write_message` makes a task per message, so the frames are made here (RFC 6455, `frame_header`)
and go to the connection's stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

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

    def send(self, channel: str, messages: list[Parts]) -> None:
        """Queue messages and write what the client takes now."""
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

    def _pump(self) -> None:
        while self._queue and self._is_open():
            try:
                written = self._write_batch()
            except StreamClosedError:
                return
            if written is not None and not written.done():
                self._writing = True
                written.add_done_callback(self._written)
                return
            self._queue.landed()

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
        size = 0
        last: asyncio.Future[None] | None = None
        trail = self._trail
        end = 0 if trail is None else trail.queued
        most = TIGHT_BATCH_BYTES if self._queue.is_tight else BATCH_BYTES
        while self._queue and size < most:
            channel, parts = self._queue.pop()
            try:
                payload = self._framing.encode(channel, parts)
            except BadMessage:
                self.unframed += 1
                continue
            self.messages += 1
            size += payload.size
            head = frame_header(payload.opcode, payload.size)
            pieces.append(head)
            if trail is not None:
                end += len(head) + payload.size
                if channel == "iopub" and type(parts) is not Tagged:
                    trail.frames.append((end, parts[0], None))
                else:
                    trail.add(end, parts, channel == "iopub")
            if payload.size < PASS_FROM_BYTES:
                pieces.extend(payload.pieces)
                continue
            for piece in payload.pieces:
                if len(piece) >= PASS_FROM_BYTES:
                    self._write(pieces)
                    pieces = []
                    last = self._stream.write(piece)
                else:
                    pieces.append(piece)
        self.bytes += size
        if trail is not None and (question := trail.question()):
            pieces.append(question)
        return self._write(pieces) or last

    def _write(self, pieces: list[Part]) -> asyncio.Future[None] | None:
        return self._stream.write(b"".join(pieces)) if pieces else None
