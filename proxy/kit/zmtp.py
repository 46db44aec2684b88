"""ZMTP 3.1, the protocol of ZeroMQ's sockets, without I/O: bytes in, whole messages out, and every bound kept.

    GREETING ──64 bytes, version 3, NULL──▶ READY ──the peer's READY──▶ TRAFFIC ──(messages, PING, …)──▶

libzmq bounds a frame, not a message: a peer that never ends a multipart message fills any memory. Here bytes
and frames of a message, commands and the handshake are bounded, and what is incomplete counts against a
`Budget` that the sockets of one kernel share.

What a frame costs: one that arrived whole is one slice. A larger one is received where it stays (`place`), in
memory that the system gives only as it is written, so that a size that is merely announced costs nothing.

Source: RFC 37/ZMTP 3.1 and 23/ZMTP 3.0 of rfc.zeromq.org; section titles are named below.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from struct import Struct

from proxy.kit.zmtp_wire import (
    COMMAND,
    GREETING,
    LONG,
    MORE,
    Message,
    SocketType,
    ZmtpError,
    encode_command,
    encode_ready,
    encode_subscription,
    properties_of,
    refusal_of,
    split_command,
)

PLACE_FROM_BYTES = 4096
"""An incomplete frame of more than this is received in a place of its own; a smaller one waits and is joined."""
VIEW_FROM_BYTES = 64 * 1024
"""A frame of more than this in a place of its own is handed over as a view of it, not as a copy."""
MAP_FROM_BYTES = 256 * 1024
"""A place of this size and more is a mapping of its own, which leaves memory at once when it is let go."""
CONTEXT_BYTES = 16
"""Longest context of a PING (RFC 37, "Heartbeating")."""

_LONG_SIZE = Struct(">Q")
_PEERS = {
    SocketType.DEALER: frozenset({b"ROUTER", b"DEALER", b"REP"}),
    SocketType.SUB: frozenset({b"PUB", b"XPUB"}),
}
"""Who may be at the other end (RFC 37, "The READY Command")."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that one message of a peer may be, in bytes unless the name says otherwise."""

    frame_bytes: int
    message_bytes: int
    frames: int
    command_bytes: int = 4096
    """Largest command, the peer's READY included: with the greeting's 64 bytes, the bound of a handshake."""


class Budget:
    """Bytes that incomplete messages may hold, shared by several connections of one peer."""

    __slots__ = ("limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def move(self, difference: int) -> None:
        """Account for `difference` bytes more, or fewer. Raises ZmtpError when too many are held."""
        self.used_bytes += difference
        if difference > 0 and self.used_bytes > self.limit_bytes:
            raise ZmtpError("zmtp.budget", f"incomplete messages hold {self.used_bytes} bytes")


class _Stage(Enum):
    GREETING = "greeting"
    READY = "ready"
    TRAFFIC = "traffic"


class Engine:
    """Our side of one connection.

    Send `GREETING` first. Then, while `is_hungry`, give it what the peer sent, through `feed` or, when there is a
    `place`, by writing there and telling how much with `filled`; call `take`; send what `replies` collected.
    `subscriptions` are sent after the handshake by a SUB. Call `release` at the end of the connection.
    """

    def __init__(
        self,
        socket_type: SocketType,
        bounds: Bounds,
        *,
        identity: bytes = b"",
        subscriptions: Sequence[bytes] = (),
        budget: Budget | None = None,
    ) -> None:
        self.replies = bytearray()
        """What must be sent before anything else; its reader clears it."""
        self.is_hungry = True
        """Whether `take` can do nothing before more bytes have come."""
        self.peer_minor = 0
        self._type = socket_type
        self._identity = identity
        self._subscriptions = subscriptions
        self._bounds = bounds
        self._budget = budget or Budget(bounds.message_bytes)
        self._stage = _Stage.GREETING
        self._data = b""
        self._at = 0
        self._parts: Message = []
        self._bytes = 0
        self._place: memoryview | None = None
        self._filled = 0
        self._place_more = False
        self._held = 0

    @property
    def is_ready(self) -> bool:
        """Whether the handshake is complete: messages may be sent."""
        return self._stage is _Stage.TRAFFIC

    @property
    def place(self) -> memoryview | None:
        """Where the next bytes belong, if a large frame is being received; `feed` must not be used then."""
        return None if self._place is None else self._place[self._filled :]

    def feed(self, data: bytes) -> None:
        """Add what was received. Only while `is_hungry` and without a `place`."""
        self._data = self._data + data if self._data else data
        self._at = 0
        self.is_hungry = False

    def filled(self, count: int, messages: list[Message]) -> None:
        """So many bytes were written to `place`. Appends the message to `messages` if that completes it."""
        place = self._place
        if place is None:
            raise AssertionError("nothing is being received")
        self._filled += count
        if self._filled == len(place):
            size, self._place, self._filled = len(place), None, 0
            self._bytes += size
            self._parts.append(place.toreadonly() if size > VIEW_FROM_BYTES else bytes(place))
            if not self._place_more:
                messages.append(self._parts)
                self._parts, self._bytes = [], 0
        self._account()

    def take(self, messages: list[Message], most: int, most_frames: int = 4096) -> None:
        """Append to `messages` what is complete, until it has `most`, or so many frames were looked at.

        Raises ZmtpError at a violation; what came before it is in `messages` then.
        """
        if self._stage is not _Stage.TRAFFIC and not self._shake_hands():
            return
        try:
            self._parse(messages, most, most_frames)
        finally:
            if self.is_hungry:
                self._data, self._at = self._data[self._at :], 0
        if self._bytes or self._held or self._filled:
            self._account()

    def release(self) -> None:
        """Let go of everything incomplete; it no longer counts against the budget."""
        self._budget.move(-self._held)
        self._held = 0
        self._parts, self._place, self._data = [], None, b""
        self.is_hungry = True

    def _account(self) -> None:
        held = self._bytes + self._filled
        difference, self._held = held - self._held, held
        self._budget.move(difference)

    # ---- the handshake

    def _shake_hands(self) -> bool:
        """Go on with the handshake as far as the bytes lead; True when it is complete."""
        if self._stage is _Stage.GREETING:
            if not self._read_greeting():
                self.is_hungry = True
                return False
            self._stage = _Stage.READY
            self.replies += encode_ready(self._type, self._identity)
        frame = self._frame_at(self._at)
        if frame is None:
            self.is_hungry = True
            self._data, self._at = self._data[self._at :], 0
            return False
        flags, start, stop = frame
        if not flags & COMMAND:
            raise ZmtpError("zmtp.handshake", "a message came before the handshake's end")
        name, body = split_command(self._data[start:stop])
        if name == b"ERROR":
            raise refusal_of(body)
        if name != b"READY":
            raise ZmtpError("zmtp.handshake", f"{name[:20]!r} came where READY belongs")
        kind = properties_of(body).get(b"socket-type", b"")
        if kind not in _PEERS[self._type]:
            raise ZmtpError("zmtp.handshake", f"a {self._type.name} cannot speak to a {kind[:20]!r}")
        self._at = stop
        self._stage = _Stage.TRAFFIC
        for topic in self._subscriptions:
            self.replies += encode_subscription(topic, self.peer_minor)
        return True

    def _read_greeting(self) -> bool:
        data = self._data
        if (data and data[0] != 0xFF) or (len(data) > 9 and data[9] != 0x7F):
            raise ZmtpError("zmtp.greeting", "the peer does not speak ZMTP")
        if len(data) > 10 and data[10] < 3:
            raise ZmtpError("zmtp.greeting", f"the peer speaks ZMTP {data[10]}, too old a version")
        if len(data) < len(GREETING):
            return False
        if data[12:32] != GREETING[12:32]:
            raise ZmtpError("zmtp.greeting", f"the peer's mechanism is {data[12:32]!r}")
        self.peer_minor = data[11] if data[10] == 3 else 1
        self._at = len(GREETING)
        return True

    def _frame_at(self, at: int) -> tuple[int, int, int] | None:
        """Flags, start and end of a small whole frame at `at`; None when it is not here yet."""
        data, here = self._data, len(self._data) - at
        if not here:
            return None
        flags = data[at]
        if flags > COMMAND | LONG or (flags & COMMAND and flags & MORE):
            raise ZmtpError("zmtp.flags", f"a frame has the flags {flags:#04x}")
        if here < (9 if flags & LONG else 2):
            return None
        size = _LONG_SIZE.unpack_from(data, at + 1)[0] if flags & LONG else data[at + 1]
        if size > self._bounds.command_bytes:
            raise ZmtpError("zmtp.command", f"a command has {size} bytes")
        start = at + (9 if flags & LONG else 2)
        return (flags, start, start + size) if start + size <= len(data) else None

    # ---- traffic

    def _parse(self, messages: list[Message], most: int, most_frames: int) -> None:
        """The hot loop: a turn per frame, short ones first, state in locals."""
        data, at, end = self._data, self._at, len(self._data)
        parts, total = self._parts, self._bytes
        bounds = self._bounds
        hungry = False
        try:
            for _ in range(most_frames):
                if end - at < 2:
                    hungry = True
                    break
                flags = data[at]
                if flags < LONG:
                    start = at + 2
                    stop = start + data[at + 1]
                    if stop > end:
                        hungry = True
                        break
                elif flags < COMMAND:
                    start = at + 9
                    if start > end:
                        hungry = True
                        break
                    size = _LONG_SIZE.unpack_from(data, at + 1)[0]
                    if size > bounds.frame_bytes:
                        raise ZmtpError("zmtp.frame", f"a frame has {size} bytes")
                    if total + size > bounds.message_bytes:
                        raise ZmtpError("zmtp.message", f"a message has more than {total + size} bytes")
                    stop = start + size
                    if stop > end:
                        hungry = True
                        if size > PLACE_FROM_BYTES:
                            self._open_place(size, data[start:], bool(flags & MORE))
                            at = end
                        break
                else:
                    frame = self._frame_at(at)
                    if frame is None:
                        hungry = True
                        break
                    self._obey(data[frame[1] : frame[2]])
                    at = frame[2]
                    continue
                parts.append(data[start:stop])
                total += stop - start
                at = stop
                if flags & MORE:
                    if len(parts) >= bounds.frames:
                        raise ZmtpError("zmtp.frames", f"a message has more than {len(parts)} frames")
                    continue
                if total > bounds.message_bytes:
                    raise ZmtpError("zmtp.message", f"a message has {total} bytes")
                messages.append(parts)
                parts, total = [], 0
                if len(messages) >= most:
                    hungry = at == end
                    break
        finally:
            self._at, self._parts, self._bytes = at, parts, total
            self.is_hungry = hungry

    def _open_place(self, size: int, begun: bytes, more: bool) -> None:
        if more and len(self._parts) + 1 >= self._bounds.frames:
            raise ZmtpError("zmtp.frames", f"a message has more than {len(self._parts)} frames")
        try:
            self._place = memoryview(_map(size) if size >= MAP_FROM_BYTES else bytearray(size))
        except OSError as error:
            raise ZmtpError("zmtp.frame", f"there is no memory for a frame of {size} bytes") from error
        self._place[: len(begun)] = begun
        self._filled, self._place_more = len(begun), more

    def _obey(self, command: bytes) -> None:
        """Answer a PING; end at an ERROR; what else a peer may command does not concern these socket types."""
        name, body = split_command(command)
        if name == b"ERROR":
            raise refusal_of(body)
        if name == b"PING":
            if not 2 <= len(body) <= 2 + CONTEXT_BYTES:
                raise ZmtpError("zmtp.command", f"a PING has {len(body)} bytes")
            self.replies += encode_command(b"PONG", body[2:])


def _map(size: int) -> mmap.mmap:
    """Memory of its own, given page by page: a huge page is 2 MiB for the first byte of every connection."""
    mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without huge pages
        mapping.madvise(mmap.MADV_NOHUGEPAGE)
    return mapping
