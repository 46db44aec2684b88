"""ZMTP's bytes: the greeting, messages and commands as they are written, and commands taken apart; no state.

Source: RFC 37/ZMTP 3.1 and 23/ZMTP 3.0 of rfc.zeromq.org; section titles are named below.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from struct import Struct

Part = bytes | memoryview
Message = list[Part]

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
"""Signature, version 3.1, mechanism, as-server (none), filler (RFC 37, "The Greeting")."""
MORE, LONG, COMMAND = 1, 2, 4
"""The bits of a frame's first byte (RFC 37, "Framing")."""
PASS_FROM_BYTES = 64 * 1024
"""A frame of this size and more is sent from where it is."""

_LONG_HEAD = Struct(">BQ")
_SHORT_HEADS = tuple([bytes((flags, size)) for size in range(256)] for flags in (0, MORE))


class SocketType(Enum):
    """What this side can be; the value is its name on the wire."""

    DEALER = b"DEALER"
    SUB = b"SUB"


class ZmtpError(Exception):
    """The peer broke the protocol or one of its bounds: nothing more can be read from this connection.

    `code` is stable: ``zmtp.greeting``, ``zmtp.handshake``, ``zmtp.refused`` (the peer's ERROR), ``zmtp.flags``,
    ``zmtp.command``, ``zmtp.frame``, ``zmtp.frames``, ``zmtp.message``, ``zmtp.budget``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def encode_message(frames: Sequence[Part]) -> list[Part]:
    """The bytes of a message of one frame or more, in pieces: large frames are not copied.

    A memoryview must be of bytes.
    """
    pieces: list[Part] = []
    small: list[Part] = []
    last = len(frames) - 1
    for number, frame in enumerate(frames):
        size = len(frame)
        more = number != last
        small.append(_SHORT_HEADS[more][size] if size < 256 else _LONG_HEAD.pack(more | LONG, size))
        if size < PASS_FROM_BYTES:
            small.append(frame)
        else:
            pieces += (b"".join(small), frame)
            small = []
    if small:
        pieces.append(b"".join(small))
    return pieces


def encode_command(name: bytes, body: bytes) -> bytes:
    """One command (RFC 37, "Framing")."""
    content = bytes((len(name),)) + name + body
    if len(content) < 256:
        return bytes((COMMAND, len(content))) + content
    return _LONG_HEAD.pack(COMMAND | LONG, len(content)) + content


def encode_ready(socket_type: SocketType, identity: bytes) -> bytes:
    """The READY command of the NULL mechanism (RFC 37, "The NULL Security Mechanism")."""
    properties = [(b"Socket-Type", socket_type.value)]
    if socket_type is SocketType.DEALER:
        properties.append((b"Identity", identity))
    body = b"".join(bytes((len(n),)) + n + len(v).to_bytes(4, "big") + v for n, v in properties)
    return encode_command(b"READY", body)


def encode_subscription(topic: bytes, peer_minor: int) -> bytes:
    """A subscription: a command since ZMTP 3.1, a message that begins with 1 in 3.0."""
    if peer_minor >= 1:
        return encode_command(b"SUBSCRIBE", topic)
    return b"".join(encode_message([b"\x01" + topic]))


def split_command(command: bytes) -> tuple[bytes, bytes]:
    """A command's name and the rest. Raises ZmtpError when it has none."""
    length = command[0] if command else 0
    if not 0 < length < len(command):
        raise ZmtpError("zmtp.command", "a command has no name")
    return command[1 : 1 + length], command[1 + length :]


def properties_of(body: bytes) -> dict[bytes, bytes]:
    """The metadata of a READY, names in lower case as they are compared without case. Raises ZmtpError."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(body):
        value_at = at + 1 + body[at] + 4
        stop = value_at + int.from_bytes(body[value_at - 4 : value_at], "big")
        if not body[at] or value_at > len(body) or stop > len(body):
            raise ZmtpError("zmtp.handshake", "the peer's READY is malformed")
        found[body[at + 1 : value_at - 4].lower()] = body[value_at:stop]
        at = stop
    return found


def refusal_of(body: bytes) -> ZmtpError:
    """What the peer's ERROR means here."""
    reason = body[1 : 1 + body[0]] if body else b""
    return ZmtpError("zmtp.refused", f"the peer refused: {reason!r}")
