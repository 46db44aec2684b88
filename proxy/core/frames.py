"""The WebSocket side: Jupyter messages to and from payloads, in both framings, byte exact.

``v1.kernel.websocket.jupyter.org`` (all binary): little-endian u64 numbers ``[n][offset_0]…[offset_{n-1}]``, then
channel, header, parent_header, metadata, content, buffers; offset_0 is where the channel starts and the last offset the
total length. The parts are the kernel's own bytes: no JSON is parsed.

The default framing: JSON text, or, with buffers, big-endian u32 ``[n][offset_0]…[offset_{n-1}]``, the JSON, then
the buffers.

Source: jupyter_server's documentation of both; hostile input raises BadFrame.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol

import msgspec

from proxy.core.limits import DEFAULT_LIMITS, Limits
from proxy.core.wire import JSON_PARTS, Part, Parts
from proxy.errors import BadFrame, BadMessage

V1_SUBPROTOCOL = "v1.kernel.websocket.jupyter.org"
CLIENT_CHANNELS = ("shell", "control", "stdin")
CHANNELS = (*CLIENT_CHANNELS, "iopub")
_CHANNEL_NAMES = {name.encode(): name for name in CHANNELS}
_VIEW_FROM_BYTES = 64 * 1024
"""Payloads from this size on are cut into views; below, copies are cheaper."""

TEXT, BINARY = 0x1, 0x2


class Payload(NamedTuple):
    """The content of one WebSocket message, in pieces so that large buffers are not copied."""

    opcode: int
    pieces: Sequence[Part]
    size: int


class ClientMessage(NamedTuple):
    """A message of the client: for which channel, and its parts."""

    channel: str
    parts: Parts


class Framing(Protocol):
    """One of the two ways to put a Jupyter message into a WebSocket message."""

    def encode(self, channel: str, parts: Parts) -> Payload:
        """The WebSocket message for `parts`. Raises BadMessage when they cannot be framed."""

    def decode(self, message: str | bytes) -> ClientMessage:
        """What the client sent. Raises BadFrame."""


_MIDDLE_HEAD, _LARGE_HEAD = struct.Struct("!BBH"), struct.Struct("!BBQ")


def frame_header(opcode: int, size: int) -> bytes:
    """The head of an unmasked, unfragmented WebSocket frame (RFC 6455 5.2), as servers send them."""
    if size < 126:
        return bytes((0x80 | opcode, size))
    if size < 65536:
        return _MIDDLE_HEAD.pack(0x80 | opcode, 126, size)
    return _LARGE_HEAD.pack(0x80 | opcode, 127, size)


@lru_cache(maxsize=64)
def _numbers(count: int, code: str = "<Q") -> struct.Struct:
    return struct.Struct(f"{code[0]}{count}{code[1]}")


class V1Framing:
    """``v1.kernel.websocket.jupyter.org``. `channels` are those that may be received: a client receives all."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, channels: Sequence[str] = CLIENT_CHANNELS) -> None:
        self._limits = limits
        self._channels = channels

    def encode(self, channel: str, parts: Parts) -> Payload:
        """See `Framing.encode`. Never fails."""
        name = channel.encode()
        count = len(parts) + 2
        offsets = list(accumulate((8 * (count + 1), len(name), *map(len, parts))))
        head = _numbers(count + 1).pack(count, *offsets)
        return Payload(BINARY, (head, name, *parts), offsets[-1])

    def decode(self, message: str | bytes) -> ClientMessage:
        """See `Framing.decode`."""
        if isinstance(message, str):
            raise BadFrame("frame.text", "a text message on a binary subprotocol")
        if len(message) < 8:
            raise BadFrame("frame.short", "a message is too short")
        (count,) = struct.unpack_from("<Q", message)
        if not JSON_PARTS + 2 <= count <= self._limits.frames or len(message) < 8 * (count + 1):
            raise BadFrame("frame.count", f"a message claims {count} offsets")
        offsets = _numbers(count).unpack_from(message, 8)
        if offsets[0] != 8 * (count + 1) or offsets[-1] != len(message):
            raise BadFrame("frame.offsets", "a message's offsets do not span it")
        pieces = cut(message, offsets)
        channel = _channel_of(bytes(pieces[0]), self._channels)
        return ClientMessage(channel, _within(pieces[1:], self._limits))


class _ClientJson(msgspec.Struct):
    """The JSON of the default framing; the parts stay the bytes that they are."""

    header: msgspec.Raw
    content: msgspec.Raw = msgspec.Raw(b"{}")
    parent_header: msgspec.Raw = msgspec.Raw(b"{}")
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    channel: str | None = None


class HeaderFacts(msgspec.Struct):
    """What is read of a header where something depends on it."""

    msg_type: str = ""
    msg_id: str = ""
    session: str = ""


_client_json = msgspec.json.Decoder(_ClientJson)
_header_facts = msgspec.json.Decoder(HeaderFacts)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def header_facts(header: Part) -> HeaderFacts:
    """Type, id and session of a header. Raises BadMessage when it is not the JSON of a header."""
    try:
        return _header_facts.decode(header)
    except (ValueError, RecursionError) as error:
        raise BadMessage("header.json", "a header is not valid JSON") from error


class DefaultFraming:
    """JSON text, or binary with buffers: nbclassic, gateway clients, older scripts."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits

    def encode(self, channel: str, parts: Parts) -> Payload:
        """See `Framing.encode`. Raises BadMessage when a part is not a JSON object, since it would break the rest."""
        header, parent, metadata, content = (_checked_json(part) for part in parts[:JSON_PARTS])
        facts = header_facts(header)
        body = b"".join(
            (
                b'{"header":', header, b',"parent_header":', parent, b',"metadata":', metadata,
                b',"content":', content, b',"channel":"', channel.encode(),
                b'","msg_id":', msgspec.json.encode(facts.msg_id),
                b',"msg_type":', msgspec.json.encode(facts.msg_type),
            )
        )  # fmt: skip
        buffers = parts[JSON_PARTS:]
        if not buffers:
            body += b',"buffers":[]}'
            return Payload(TEXT, (body,), len(body))
        body += b"}"
        count = len(buffers) + 1
        offsets = list(accumulate((4 * (count + 1), len(body), *map(len, buffers))))
        head = _numbers(count + 1, ">I").pack(count, *offsets[:-1])
        return Payload(BINARY, (head, body, *buffers), offsets[-1])

    def decode(self, message: str | bytes) -> ClientMessage:
        """See `Framing.decode`."""
        buffers: Parts = ()
        text: str | Part = message
        if isinstance(message, bytes):
            text, *buffers = self._split(message)
        try:
            found = _client_json.decode(text)
        except (ValueError, RecursionError) as error:
            raise BadFrame("frame.json", "a message is not the JSON of a Jupyter message") from error
        parent = found.parent_header if bytes(found.parent_header) != b"null" else msgspec.Raw(b"{}")
        parts = [bytes(found.header), bytes(parent), bytes(found.metadata), bytes(found.content), *buffers]
        channel = _channel_of((found.channel or "shell").encode())
        return ClientMessage(channel, _within(parts, self._limits))

    def _split(self, message: bytes) -> list[Part]:
        if len(message) < 8:
            raise BadFrame("frame.short", "a message is too short")
        (count,) = struct.unpack_from(">I", message)
        if not 1 <= count <= self._limits.frames or len(message) < 4 * (count + 1):
            raise BadFrame("frame.count", f"a message claims {count} buffers")
        offsets = _numbers(count, ">I").unpack_from(message, 4)
        if offsets[0] != 4 * (count + 1):
            raise BadFrame("frame.offsets", "a message's first offset is wrong")
        return cut(message, (*offsets, len(message)))


def cut(message: bytes, offsets: Sequence[int]) -> list[Part]:
    """The pieces between consecutive offsets. Raises BadFrame unless they ascend within the message."""
    if offsets[-1] > len(message) or any(a > b for a, b in pairwise(offsets)):
        raise BadFrame("frame.offsets", "a message's offsets do not ascend")
    whole: Part = message if len(message) < _VIEW_FROM_BYTES else memoryview(message)
    return [whole[a:b] for a, b in pairwise(offsets)]


def _checked_json(part: Part) -> bytes:
    raw = bytes(part)
    try:
        raw.decode()
        _object.decode(raw)
    except (ValueError, RecursionError) as error:
        raise BadMessage("message.json", "a part is not a JSON object") from error
    return raw


def _channel_of(name: bytes, channels: Sequence[str] = CLIENT_CHANNELS) -> str:
    channel = _CHANNEL_NAMES.get(name)
    if channel is None or channel not in channels:
        raise BadFrame("frame.channel", f"nothing is sent this way on the channel {name[:20]!r}")
    return channel


def _within(parts: list[Part], limits: Limits) -> list[Part]:
    if len(parts) > limits.frames:
        raise BadFrame("frame.count", "a message has too many buffers")
    if len(parts[0]) > limits.header_bytes or len(parts[1]) > limits.header_bytes:
        raise BadFrame("frame.header", "a message's header is too large")
    return parts
