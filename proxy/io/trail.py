"""How far one client is known to have come: what left for it, and what it has acknowledged, in its cursor.

A message counts as written when the kernel's socket has taken all of its frame: half a frame is nothing to the
client. So each frame's end in the connection's stream of bytes is remembered until the socket has taken so many.

Acknowledgement costs the client nothing and needs nothing of it: after what was written follows a WebSocket ping with a
number, which any client answers with a pong when it has read all that went before. A ping and its pong cost the proxy
as much as several messages. So each message has its own while few come, since what is not acknowledged when a line
breaks comes twice; who prints much is asked 40 times a second.
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
"""At least so long between two questions, and in the long run so long:"""
ASK_SECONDS_LONG_RUN = 0.025
ASKED_AHEAD_SECONDS = 0.25
"""How far questions that follow each other faster may be ahead of the long run."""
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
        self.frames: deque[Frame] = deque()
        """Frames that are not sent yet. Who writes many may append those of plain IOPub messages here."""
        self._effects = 0
        self._sent = 0
        self._reached: Part | None = None
        """The header of the last IOPub message of which the socket has taken all, if any."""
        self._noted: Part | None = None
        """The header whose identity stands in the cursor as the last that was written, if this connection's."""
        self._is_blocked = False
        self._loop = asyncio.get_running_loop()
        self._ask_at = self._ask_due = 0.0
        self._number = 0
        self._is_unasked = False
        self._asked: tuple[int, Part | None, bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._send = stream.write_to_fd
        # tornado's streams are made by its server; this method is where all their bytes pass.
        stream.write_to_fd = self._on_send  # type: ignore[method-assign]

    @property
    def queued(self) -> int:
        """Bytes that were given to the stream so far, those of the upgrade's answer included if they wait still."""
        return self._sent + len(self._stream._write_buffer)

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
        # An instance's attribute hid the class's method: with it goes the ring of references.
        del self._stream.write_to_fd
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
        now = self._loop.time()
        self._ask_due = max(self._ask_due, now) + ASK_SECONDS_LONG_RUN
        self._ask_at = max(now + ASK_SECONDS, self._ask_due - ASKED_AHEAD_SECONDS)
        self._number += 1
        self._is_unasked = False
        self._asked = (self._number, self._last_mark() or self._reached, self._queued_executions.dump())
        return _QUESTION_HEAD + _NUMBER.pack(self._number)

    # ---- the stream

    def _on_send(self, data: bytes | memoryview) -> int:
        size = len(data)
        if self.frames and not self._is_blocked:
            # A process that is killed on its return from the system call has sent what it intended.
            mark = self._last_mark(self._sent + size)
            if mark is not None and mark is not self._noted:
                self._noted = mark
                self._cursor.intend(identity_of(mark))
        try:
            sent = self._send(data)  # type: ignore[arg-type]
        except BlockingIOError:
            self._is_blocked = True
            self._settle()
            raise
        self._is_blocked = sent < size
        self._sent += sent
        if self.frames:
            self._advance()
        if self._noted is not self._reached:
            self._settle()
        return sent

    def _settle(self) -> None:
        """Have the cursor say what the socket has taken, whatever was intended."""
        self._noted = self._reached
        if self._reached is None:
            self._cursor.settle()
        else:
            self._cursor.reach(identity_of(self._reached))

    def _last_mark(self, end: int | None = None) -> Part | None:
        """The mark of the last frame that ends after no more than `end` bytes; None: of all."""
        for place, mark, _ in reversed(self.frames):
            if mark is not None and (end is None or place <= end):
                return mark
        return None

    def _advance(self) -> None:
        """Go past the frames that the socket has taken."""
        frames, sent = self.frames, self._sent
        if not self._effects and frames[-1][0] <= sent:
            self._reached = self._last_mark() or self._reached
            frames.clear()
            return
        had_effects = self._effects
        while frames and frames[0][0] <= sent:
            _, mark, effect = frames.popleft()
            self._reached = mark or self._reached
            if effect is not None:
                self._written.note(effect)
                self._effects -= 1
        if had_effects != self._effects:
            self._cursor.note(self._written)
