"""One ZMTP connection over a Unix socket, on an asyncio loop: no threads, no transport, no wake-up too many.

The socket's own descriptor is watched, which is told by level: whatever was left comes up again by itself. What one
reading brings is handed over in one call, in the same turn of the loop; a slice is bounded in bytes, messages and
frames, so that a flooding peer cannot hold the loop.

Resource handling: a `ZmtpConnection` owns its socket until it is lost or closed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from proxy.kit.zmtp import Engine
from proxy.kit.zmtp_wire import GREETING, Message, Part, ZmtpError

HANDSHAKE_SECONDS = 10.0
READ_BYTES = 256 * 1024
"""Asked for at once; a Unix socket holds about as much."""
SLICE_FRAMES = 8192
REPLIES_BYTES = 16 * 1024
"""Most bytes of PONGs for a peer that does not read them."""
_UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Slice:
    """The most that is read before the rest of the loop has its turn."""

    read_bytes: int
    messages: int


def connect(path: str, owner_uid: int) -> socket.socket:
    """A non-blocking socket connected to the Unix socket at `path`, whose listener runs as `owner_uid`.

    Raises OSError when nobody accepts (yet), PermissionError when somebody else listens there. The caller owns it.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        connected.connect(path)
        # The credentials of who called listen(), in our own view of uids (unix(7)).
        _, uid, _ = _UCRED.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid != owner_uid:
            raise PermissionError(f"uid {uid} listens there, not {owner_uid}")
    except BaseException:
        connected.close()
        raise
    return connected


class _Outgoing:
    """A message on its way: its pieces, and how far it was written."""

    __slots__ = ("pieces", "size", "written")

    def __init__(self, pieces: list[Part], size: int) -> None:
        self.pieces = pieces
        self.size = size
        self.written = 0

    def rest(self) -> list[Part]:
        """What is not written yet."""
        skip = self.written
        if not skip:
            return self.pieces
        for number, piece in enumerate(self.pieces):
            if skip < len(piece):
                return [memoryview(piece)[skip:], *self.pieces[number + 1 :]]
            skip -= len(piece)
        return []


class ZmtpConnection:
    """Speaks ZMTP over `connected` from construction until it is lost or closed.

    `on_ready` is called once the handshake is complete; `on_messages` with what one slice brought; `on_lost` once,
    with the reason, unless `close` was called before: the socket is closed then already. `on_drained` is called
    when all that waited has been written. Callbacks come from the loop or from `drain`, never from the constructor.
    """

    def __init__(
        self,
        connected: socket.socket,
        engine: Engine,
        slices: Slice,
        *,
        on_ready: Callable[[], None],
        on_messages: Callable[[list[Message]], None],
        on_lost: Callable[[str], None],
        on_drained: Callable[[], None],
    ) -> None:
        self._socket = connected
        self._fd = connected.fileno()
        self._engine = engine
        self._slices = slices
        self._on_ready, self._on_messages = on_ready, on_messages
        self._on_lost, self._on_drained = on_lost, on_drained
        self._loop = asyncio.get_running_loop()
        self._control = bytearray(GREETING)
        self._outgoing: deque[_Outgoing] = deque()
        self._again: asyncio.Handle | None = None
        self._is_writing = self._is_paused = self._is_closed = False
        self.waiting_bytes = 0
        """Bytes of messages that the peer has not taken yet."""
        self._deadline = self._loop.call_later(HANDSHAKE_SECONDS, self._late)
        self._loop.add_reader(self._fd, self._readable)
        self._start_writing()

    @property
    def is_ready(self) -> bool:
        """Whether the handshake is complete and the connection stands."""
        return self._engine.is_ready and not self._is_closed

    def send(self, pieces: list[Part], size: int) -> None:
        """Send the pieces of one message, `size` bytes altogether, after those sent before.

        What cannot be written now waits, without a bound: look at `waiting_bytes` first.
        """
        if self._is_closed:
            return
        self._outgoing.append(_Outgoing(pieces, size))
        self.waiting_bytes += size
        if not self._is_writing:
            self._flush()

    def take_unsent(self) -> list[tuple[list[Part], int]]:
        """Take back the messages that were not written whole: the peer has none of them."""
        unsent = [(message.pieces, message.size) for message in self._outgoing]
        self._outgoing.clear()
        self.waiting_bytes = 0
        return unsent

    def drain(self) -> bool:
        """Read one slice and hand it over; True when there may be more."""
        if self._is_closed or self._is_paused:
            return False
        engine, slices = self._engine, self._slices
        messages: list[Message] = []
        fault = ""
        is_more = True
        taken = 0
        was_ready = engine.is_ready
        try:
            while taken < slices.read_bytes and len(messages) < slices.messages:
                if engine.is_hungry:
                    place = engine.place
                    if place is None:
                        asked = READ_BYTES
                        data = self._socket.recv(READ_BYTES)
                        got = len(data)
                        engine.feed(data)
                    else:
                        # A sender that keeps up would fill all of it before the budget is looked at.
                        asked = min(len(place), READ_BYTES)
                        got = self._socket.recv_into(place, asked)
                        place.release()
                        engine.filled(got, messages)
                    if not got:
                        fault = "the peer closed the connection"
                        break
                    taken += got
                    is_more = got == asked
                engine.take(messages, slices.messages, SLICE_FRAMES)
                if not engine.is_hungry:  # the slice is full; what is left is taken before anything more is read
                    is_more = True
                    break
                if not is_more:
                    break
        except BlockingIOError:
            is_more = False
        except ZmtpError as error:
            fault = f"{error.code}: {error}"
        except OSError as error:
            fault = error.strerror or "the connection broke"
        if engine.replies:
            self._reply()
        if not was_ready and engine.is_ready and not self._is_closed:
            self._deadline.cancel()
            # What was sent before the peer's READY waits, and the socket's readiness to take it has been told already.
            if not self._is_writing:
                self._writable()
            self._on_ready()
        if messages and not self._is_closed:
            self._on_messages(messages)
        if fault:
            self._lose(fault)
        return is_more and not self._is_closed

    def pause(self) -> None:
        """Read nothing until `resume`; the peer is held back once the socket is full."""
        if not self._is_paused and not self._is_closed:
            self._is_paused = True
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read again."""
        if self._is_paused and not self._is_closed:
            self._is_paused = False
            self._loop.add_reader(self._fd, self._readable)
            self._look_again()

    def close(self) -> None:
        """Close the socket. Nothing is called any more. Closing twice is harmless."""
        if self._is_closed:
            return
        self._is_closed = True
        self._deadline.cancel()
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._socket.close()
        self._engine.release()

    # ---- reading

    def _readable(self) -> None:
        if self._again is None:
            self._go_on()

    def _go_on(self) -> None:
        self._again = None
        try:
            self.drain()
        finally:
            self._look_again()

    def _look_again(self) -> None:
        """What was received but not handed over yet is not told of by the socket."""
        if self._again is None and not (self._engine.is_hungry or self._is_closed or self._is_paused):
            self._again = self._loop.call_soon(self._go_on)

    def _late(self) -> None:
        self._lose(f"the handshake was not finished within {HANDSHAKE_SECONDS:g} s")

    def _lose(self, reason: str) -> None:
        if not self._is_closed:
            self.close()
            self._on_lost(reason)

    # ---- writing

    def _reply(self) -> None:
        self._control += self._engine.replies
        self._engine.replies.clear()
        if len(self._control) > REPLIES_BYTES:
            self._lose("the peer asks and does not read the answers")
        elif not self._is_writing and not self._is_closed:
            self._flush()

    def _start_writing(self) -> None:
        if not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        had = bool(self._outgoing)
        self._flush()
        if had and not self._outgoing and not self._is_closed:
            self._on_drained()

    def _flush(self) -> None:
        """Write what the peer takes: commands first, but not inside of a message."""
        if self._is_closed:
            return
        try:
            done = self._write()
        except BlockingIOError:
            done = False
        except OSError:
            done = True  # the reader learns of it, after what the peer said before
        if not done:
            self._start_writing()
        elif self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self._fd)

    def _write(self) -> bool:
        outgoing, control, ready = self._outgoing, self._control, self._engine.is_ready
        while True:
            if control and not (outgoing and outgoing[0].written):
                del control[: self._socket.send(control)]
                if control:
                    return False
            if not outgoing or not ready:
                return True
            head = outgoing[0]
            pieces = head.rest()
            sent = self._socket.send(pieces[0]) if len(pieces) == 1 else self._socket.sendmsg(pieces[:64])
            head.written += sent
            self.waiting_bytes -= sent
            if head.written == head.size:
                outgoing.popleft()
