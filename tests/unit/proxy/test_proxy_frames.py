"""Both WebSocket framings, byte for byte, and what is refused of clients."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.frames import BINARY, TEXT, DefaultFraming, Framing, Payload, V1Framing, frame_header
from proxy.core.limits import Limits
from proxy.core.wire import Parts
from proxy.errors import BadFrame, BadMessage

HEADER = b'{"msg_id":"1","msg_type":"execute_request"}'
PARTS = [HEADER, b"{}", b'{"m":1}', b'{"code":"1"}']
channels = st.sampled_from(["shell", "control", "stdin"])
objects = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
buffers = st.lists(st.binary(max_size=300), max_size=4)


def whole(payload: Payload) -> bytes:
    raw = b"".join(bytes(piece) for piece in payload.pieces)
    assert len(raw) == payload.size
    return raw


def plain(parts: Parts) -> list[bytes]:
    return [bytes(part) for part in parts]


def test_the_v1_framing_is_byte_exact() -> None:
    payload = V1Framing().encode("shell", PARTS)
    expected = struct.pack("<Q", 6) + struct.pack("<6Q", 56, 61, 61 + 43, 106, 113, 125)
    assert payload.opcode == BINARY
    assert whole(payload) == expected + b"shell" + b"".join(PARTS)


@given(channels, st.lists(st.binary(max_size=200), min_size=4, max_size=9))
def test_v1_round_trips_any_bytes(channel: str, parts: list[bytes]) -> None:
    framing = V1Framing()
    message = framing.decode(whole(framing.encode(channel, parts)))
    assert (message.channel, plain(message.parts)) == (channel, parts)


def test_large_v1_messages_round_trip_too() -> None:
    framing = V1Framing()
    parts = [*PARTS, b"x" * 1_000_000, b"", b"y"]
    assert plain(framing.decode(whole(framing.encode("shell", parts))).parts) == parts


@given(channels, objects, objects, buffers)
def test_the_default_framing_round_trips(
    channel: str, metadata: dict[str, object], content: dict[str, object], extra: list[bytes]
) -> None:
    framing = DefaultFraming()
    parts = [HEADER, b"{}", json.dumps(metadata).encode(), json.dumps(content).encode(), *extra]
    payload = framing.encode(channel, parts)
    raw = whole(payload)
    assert payload.opcode == (BINARY if extra else TEXT)
    message = framing.decode(raw if extra else raw.decode())
    assert message.channel == channel
    assert [json.loads(bytes(p)) for p in message.parts[:4]] == [json.loads(p) for p in parts[:4]]
    assert plain(message.parts[4:]) == extra


def test_the_default_framing_is_what_older_front_ends_read() -> None:
    body = json.loads(whole(DefaultFraming().encode("iopub", PARTS)))
    assert body == {
        "header": json.loads(HEADER),
        "parent_header": {},
        "metadata": {"m": 1},
        "content": {"code": "1"},
        "channel": "iopub",
        "msg_id": "1",
        "msg_type": "execute_request",
        "buffers": [],
    }
    raw = whole(DefaultFraming().encode("iopub", [*PARTS, b"one", b"three"]))
    count, first, second, third = struct.unpack(">4I", raw[:16])
    assert (count, first, raw[second:third], raw[third:]) == (3, 16, b"one", b"three")
    assert "buffers" not in json.loads(raw[first:second])


def test_a_message_without_a_channel_is_for_shell() -> None:
    text = json.dumps({"header": {"msg_id": "1"}, "content": {}})
    message = DefaultFraming().decode(text)
    assert (message.channel, plain(message.parts)[1:]) == ("shell", [b"{}", b"{}", b"{}"])


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_do_more_than_raise_a_bad_frame(raw: bytes) -> None:
    for framing in (V1Framing(), DefaultFraming()):
        _decode(framing, raw)


@given(st.text(max_size=100))
def test_arbitrary_text_never_does_more_than_raise_a_bad_frame(text: str) -> None:
    for framing in (V1Framing(), DefaultFraming()):
        _decode(framing, text)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=9), st.binary(max_size=60))
def test_arbitrary_offsets_never_do_more_than_raise_a_bad_frame(numbers: list[int], rest: bytes) -> None:
    _decode(V1Framing(), struct.pack(f"<{len(numbers) + 1}Q", len(numbers), *numbers) + rest)
    small = [number % 2**32 for number in numbers]
    _decode(DefaultFraming(), struct.pack(f">{len(small) + 1}I", len(small), *small) + rest)


def _decode(framing: Framing, raw: str | bytes) -> None:
    try:
        message = framing.decode(raw)
    except BadFrame:
        return
    assert message.channel in ("shell", "control", "stdin")
    assert len(message.parts) >= 4


def v1(count: int, *offsets: int, rest: bytes = b"") -> bytes:
    return struct.pack(f"<{len(offsets) + 1}Q", count, *offsets) + rest


@pytest.mark.parametrize(
    ("code", "raw"),
    [
        ("frame.short", b"\x06"),
        ("frame.text", "{}"),
        ("frame.count", v1(2**60)),
        ("frame.count", v1(5, 1, 2, 3, 4, 5)),
        ("frame.count", v1(6, 56)),
        ("frame.offsets", v1(6, 57, 57, 57, 57, 57, 57, rest=b"x")),
        ("frame.offsets", v1(6, 56, 61, 61, 61, 61, 60, rest=b"shell")),
        ("frame.offsets", v1(6, 56, 99, 61, 61, 61, 61, rest=b"shell")),
        ("frame.channel", v1(6, 56, 61, 61, 61, 61, 61, rest=b"iopub")),
        ("frame.channel", v1(6, 56, 61, 61, 61, 61, 61, rest=b"shelL")),
        ("frame.header", whole(V1Framing().encode("shell", [b"x" * 101, b"", b"", b""]))),
        ("frame.count", whole(V1Framing().encode("shell", [*PARTS, *[b""] * 60]))),
    ],
)
def test_malformed_v1_messages_are_refused_with_their_code(code: str, raw: str | bytes) -> None:
    with pytest.raises(BadFrame) as refused:
        V1Framing(Limits(header_bytes=100, frames=50)).decode(raw)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("code", "raw"),
    [
        ("frame.json", "nonsense"),
        ("frame.json", "[]"),
        ("frame.json", '{"channel": 5, "header": {}}'),
        ("frame.json", '{"header": ' + "[" * 100_000),
        ("frame.channel", '{"channel": "iopub", "header": {}}'),
        ("frame.short", b"{}"),
        ("frame.count", struct.pack(">II", 0, 0)),
        ("frame.count", struct.pack(">II", 2**31, 0)),
        ("frame.offsets", struct.pack(">II", 1, 9) + b"{}"),
    ],
)
def test_malformed_default_messages_are_refused_with_their_code(code: str, raw: str | bytes) -> None:
    with pytest.raises(BadFrame) as refused:
        DefaultFraming().decode(raw)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "part",
    [b"", b"[]", b"null", b"{", b'{"a":1}, "channel": "shell"', b'{"a":"\xff"}', b"{}{}", b'{"a":' * 30_000],
)
@pytest.mark.parametrize("place", range(4))
def test_a_kernel_cannot_break_out_of_its_place_in_the_json(part: bytes, place: int) -> None:
    parts = list(PARTS)
    parts[place] = part
    with pytest.raises(BadMessage):
        DefaultFraming().encode("iopub", parts)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_websocket_frames_have_the_shortest_head(size: int, head: bytes) -> None:
    assert frame_header(BINARY, size) == head
