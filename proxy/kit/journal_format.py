"""The journal's bytes: records and segments as the agent writes them; no I/O.

docs/reference/agent-protocol.md, "The journal", specifies them; `hub/agent/journal.py` writes them. Whatever stands
in a journal is untrusted: who owns the kernel owns the file.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, Any

import msgspec

from proxy.contract.agent import ReasonText, Whole

MAGIC = b"KHJRNL1\n"
HEAD = struct.Struct(">IBQd")
"""Length of what follows it, kind, seq, at."""
AFTER_LENGTH_BYTES = HEAD.size - 4
MAX_RECORD_BYTES = 64 * 1024 * 1024
"""The agent drops a larger message and says so; a larger record is malformed."""
MAX_NOTE_BYTES = 64 * 1024
MAX_HEADER_BYTES = 64 * 1024
"""A message's header larger than this has no identity that could be looked for."""
MAX_PARTS = 4096
_PARTS = struct.Struct(">H")
_LENGTH = struct.Struct(">I")
_SEGMENT = re.compile(r"journal-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9a-f]{8})\Z")
_IDENTITY_BYTES = 8


class Kind(IntEnum):
    """What a record is."""

    MESSAGE = 1
    NOTE = 2
    GAP = 3
    PROCESS = 4
    DEATH = 5


class Malformed(ValueError):
    """These bytes are no record."""


ShortText = Annotated[str, msgspec.Meta(max_length=1024)]


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    msg_id: ShortText
    session: ShortText
    msg_type: ShortText
    cell_id: ShortText


class _Gap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    messages: Whole
    bytes: Whole


class _Process(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    generation: Whole


class _Death(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    generation: Whole
    reason: ReasonText
    exit_status: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)] | None
    asked: bool


_NOTES: dict[int, msgspec.json.Decoder[Any]] = {
    Kind.NOTE: msgspec.json.Decoder(_Note),
    Kind.GAP: msgspec.json.Decoder(_Gap),
    Kind.PROCESS: msgspec.json.Decoder(_Process),
    Kind.DEATH: msgspec.json.Decoder(_Death),
}


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `at` is seconds since the epoch by the container's clock.

    `parts` are a MESSAGE's: header, parent_header, metadata, content, then buffers, as the kernel sent them
    (at least four; their JSON is not looked at). `note` is what the other kinds hold, with the documented keys and
    types; None for a MESSAGE.
    """

    seq: int
    kind: Kind
    at: float
    parts: list[bytes] = field(default_factory=list)
    note: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The first bytes of a record, believed as far as they can be. `payload_bytes` follow them."""

    kind: Kind
    seq: int
    at: float
    payload_bytes: int


def identity_of(header: bytes | memoryview) -> bytes:
    """What tells a message from all others: 8 bytes of a digest of its header as it was sent.

    The header part is the same for every subscriber, so a message seen live is found in the journal by it.
    """
    return hashlib.blake2b(header, digest_size=_IDENTITY_BYTES).digest()


def segment_name(kernel_id: str, number: int) -> str:
    """The file name of a kernel's segment `number`."""
    return f"journal-{kernel_id}-{number:08x}"


def parse_segment_name(name: str) -> tuple[str, int] | None:
    """The kernel id and number in a segment's file name; None when it is another file's."""
    match = _SEGMENT.match(name)
    return None if match is None else (match[1], int(match[2], 16))


def parse_head(data: bytes | memoryview, offset: int = 0) -> Head:
    """The head of a record. Raises Malformed; `data` must hold HEAD.size bytes from `offset` on."""
    length, kind, seq, at = HEAD.unpack_from(data, offset)
    if not AFTER_LENGTH_BYTES <= length <= MAX_RECORD_BYTES:
        raise Malformed(f"a record of {length} bytes")
    if not 1 <= kind <= 5:
        raise Malformed(f"a record of kind {kind}")
    if not 1 <= seq < 2**53 or not 0 <= at < 1e12:  # not NaN either
        raise Malformed("a record's number or time cannot be")
    return Head(Kind(kind), seq, at, length - AFTER_LENGTH_BYTES)


def parse_payload(head: Head, payload: bytes) -> Record:
    """The whole record. Raises Malformed."""
    if head.kind == Kind.MESSAGE:
        return Record(head.seq, head.kind, head.at, _parse_parts(payload))
    if len(payload) > MAX_NOTE_BYTES:
        raise Malformed(f"a note of {len(payload)} bytes")
    try:
        note = _NOTES[head.kind].decode(payload)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"a note that is none: {error}") from error
    return Record(head.seq, head.kind, head.at, [], msgspec.structs.asdict(note))


def parse_message_header(payload: bytes) -> bytes:
    """The header part of a MESSAGE, of which `payload` holds the beginning. Raises Malformed."""
    if len(payload) < _PARTS.size + _LENGTH.size:
        raise Malformed("a message without a header")
    (length,) = _LENGTH.unpack_from(payload, _PARTS.size)
    begin = _PARTS.size + _LENGTH.size
    if length > MAX_HEADER_BYTES or begin + length > len(payload):
        raise Malformed(f"a message's header of {length} bytes")
    return payload[begin : begin + length]


def _parse_parts(payload: bytes) -> list[bytes]:
    try:
        (count,) = _PARTS.unpack_from(payload)
        if not 4 <= count <= MAX_PARTS:
            raise Malformed(f"a message of {count} parts")
        parts, at = [], _PARTS.size
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(payload, at)
            at += _LENGTH.size
            parts.append(payload[at : at + length])
            at += length
    except struct.error as error:
        raise Malformed("a message that ends too early") from error
    if at != len(payload):
        raise Malformed("a message whose parts do not fill it")
    return parts
