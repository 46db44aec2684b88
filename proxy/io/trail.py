"""How far one client is known to have come: what left for it, and what it has acknowledged, in its cursor.

A message counts as written when the kernel's socket has taken all of its frame: half a frame is nothing to the
client. So each frame's end in the connection's stream of bytes is remembered until the socket has taken so many.

Acknowledgement costs the client nothing and needs nothing of it: after what was written, at most every 5 ms, follows
a WebSocket ping with a number, which any client answers with a pong when it has read all that went before.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Callable

from tornado.iostream import IOStream, StreamClosedError

from proxy.core.executions import Executions
from proxy.core.frames import frame_header
from proxy.core.tagged import Effect, Tagged
from proxy.core.wire import Part, Parts
from proxy.io.cursors import Cursor
from proxy.kit.journal_format import identity_of

ASK_SECONDS = 0.005
PING = 0x9
_NUMBER = struct.Struct("!Q")
_QUESTION_HEAD = frame_header(PING, _NUMBER.size)


Frame = tuple[int, Part | None, Effect | None]
"""A frame on its way: after how many bytes of the stream it ends, and what the client's having it means."""


class Trail:
    """Follows what is written to `stream` and tells `cursor`. `executions`: those open when the connection begins.

    `is_open` says whether frames may be written still.
    """

    def __init__(self, stream: IOStream, cursor: Cursor, executions: Executions, is_open: Callable[[], bool]) -> None:
        self._stream = stream
        self._cursor = cursor
        self._is_open = is_open
        self._written = executions.copy()
        self._queued_executions = executions.copy()
        self._queued_header: Part | None = None
        self.frames: deque[Frame] = deque()
        """Frames that are not sent yet. Who writes many may append those of plain IOPub messages here."""
        self._effects = 0
        self._queued = len(stream._write_buffer)  # what of the upgrade's answer is not sent yet
        self._sent = 0
        self._is_blocked = False
        self._loop = asyncio.get_running_loop()
        self._ask_at = 0.0
        self._number = 0
        self._is_unasked = False
        self._asked: tuple[int, Part | None, bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._write, self._send = stream.write, stream.write_to_fd
        # tornado's streams are made by its server; these two methods are where their bytes pass.
        stream.write = self._on_write  # type: ignore[method-assign]
        stream.write_to_fd = self._on_send  # type: ignore[method-assign]

    @property
    def queued(self) -> int:
        """Bytes that were given to the stream so far."""
        return self._queued

    def add(self, end: int, parts: Parts, is_iopub: bool) -> None:
        """A frame that ends after `end` bytes of the stream is about to be written; it holds this message."""
        if type(parts) is Tagged:
            if parts.effect is not None:
                self._queued_executions.note(parts.effect)
                self._effects += 1
            self.frames.append((end, parts.mark if is_iopub else None, parts.effect))
        elif is_iopub:
            self.frames.append((end, parts[0], None))

    def question(self) -> bytes:
        """A frame to write after those that were added: the ping that asks for all of them, or nothing yet."""
        if not self.frames:
            return b""
        self._queued_header = self._last_mark(0) or self._queued_header
        self._is_unasked = True
        if self._asked is not None or self._timer is not None:
            return b""
        wait = self._ask_at - self._loop.time()
        if wait > 0:
            self._timer = self._loop.call_later(wait, self._ask)
            return b""
        return self._next_question()

    def answered(self, data: bytes) -> None:
        """The client sent a pong."""
        asked = self._asked
        if asked is None or len(data) != _NUMBER.size or _NUMBER.unpack(data)[0] != asked[0]:
            return
        self._asked = None
        _, header, executions = asked
        self._cursor.acknowledge(b"" if header is None else identity_of(header), executions)
        if self._is_unasked and self._timer is None:
            self._timer = self._loop.call_later(max(self._ask_at - self._loop.time(), 0), self._ask)
        self._wake()

    async def acknowledged(self) -> None:
        """Return when the client has acknowledged all that was written so far."""
        while (self._is_unasked or self._asked is not None) and self._is_open():
            if self._asked is None:
                self._ask()
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def close(self) -> None:
        """Follow no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.frames.clear()
        # Instance attributes hid the class's methods: with them goes the ring of references.
        del self._stream.write, self._stream.write_to_fd
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _ask(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asked is None and self._is_open():
            with contextlib.suppress(StreamClosedError):
                self._stream.write(self._next_question())

    def _next_question(self) -> bytes:
        self._ask_at = self._loop.time() + ASK_SECONDS
        self._number += 1
        self._is_unasked = False
        self._asked = (self._number, self._queued_header, self._queued_executions.dump())
        return _QUESTION_HEAD + _NUMBER.pack(self._number)

    # ---- the stream

    def _on_write(self, data: bytes | memoryview) -> asyncio.Future[None]:
        self._queued += len(data)
        return self._write(data)

    def _on_send(self, data: memoryview) -> int:
        if self.frames and not self._is_blocked:
            # A process that is killed on its return from the system call has sent what it intended.
            self._intend(self._sent + len(data))
        size = len(data)
        try:
            sent = self._send(data)
        except BlockingIOError:
            self._is_blocked = True
            self._cursor.settle()
            raise
        self._is_blocked = sent < size
        self._sent += sent
        self._advance()
        return sent

    def _intend(self, end: int) -> None:
        if (mark := self._last_mark(end)) is not None:
            self._cursor.intend(identity_of(mark))

    def _last_mark(self, end: int) -> Part | None:
        """The mark of the last frame that ends after no more than `end` bytes; 0: of all."""
        for place, mark, _ in reversed(self.frames):
            if mark is not None and (place <= end or not end):
                return mark
        return None

    def _advance(self) -> None:
        frames, sent = self.frames, self._sent
        mark: Part | None = None
        if frames and frames[-1][0] <= sent and not self._effects:
            mark = self._last_mark(sent)
            frames.clear()
        had_effects = self._effects
        while frames and frames[0][0] <= sent:
            _, found, effect = frames.popleft()
            mark = found or mark
            if effect is not None:
                self._written.note(effect)
                self._effects -= 1
        if had_effects != self._effects:
            self._cursor.note(self._written)
        if mark is not None:
            self._cursor.reach(identity_of(mark))
        elif self._is_blocked:
            self._cursor.settle()
