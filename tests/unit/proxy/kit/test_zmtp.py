"""proxy.kit.zmtp and zmtp_wire: byte by byte, in any pieces, within every bound."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.kit.zmtp import Bounds, Budget, Engine
from proxy.kit.zmtp_wire import (
    GREETING,
    Message,
    SocketType,
    ZmtpError,
    encode_command,
    encode_message,
    encode_ready,
    encode_subscription,
)

MIB = 1024 * 1024
BOUNDS = Bounds(frame_bytes=MIB, message_bytes=2 * MIB, frames=100, command_bytes=1000)
PEER_GREETING = GREETING
ROUTER_READY = encode_command(b"READY", b"\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0")


def feed(engine: Engine, data: bytes, pieces: int = 1 << 30) -> list[Message]:
    """Give `data` to an engine as a connection would, at most `pieces` bytes at a time."""
    messages: list[Message] = []
    at = 0
    while at < len(data) or not engine.is_hungry:
        if engine.is_hungry:
            chunk = data[at : at + pieces]
            place = engine.place
            if place is None:
                engine.feed(chunk)
            else:
                chunk = chunk[: len(place)]
                place[: len(chunk)] = chunk
                engine.filled(len(chunk), messages)
            at += len(chunk)
        engine.take(messages, 1 << 30)
    return messages


def ready(bounds: Bounds = BOUNDS, budget: Budget | None = None) -> Engine:
    engine = Engine(SocketType.DEALER, bounds, identity=b"me", budget=budget)
    feed(engine, PEER_GREETING + ROUTER_READY)
    engine.replies.clear()
    assert engine.is_ready
    return engine


def encode(frames: list[bytes]) -> bytes:
    return b"".join(encode_message(frames))


# ---- the bytes of the specification


def test_the_greeting_is_that_of_version_3_1_with_the_null_mechanism() -> None:
    assert len(GREETING) == 64
    assert GREETING[0] == 0xFF and GREETING[9:12] == b"\x7f\x03\x01"
    assert GREETING[12:32] == b"NULL" + bytes(16) and GREETING[32:] == bytes(32)


def test_frames_are_short_up_to_255_bytes_and_long_beyond() -> None:
    assert encode([b"ab", b""]) == b"\x01\x02ab\x00\x00"
    assert encode([b"x" * 255]) == b"\x00\xff" + b"x" * 255
    assert encode([b"x" * 256, b"y"]) == b"\x03" + struct.pack(">Q", 256) + b"x" * 256 + b"\x00\x01y"


def test_a_large_frame_is_sent_from_where_it_is() -> None:
    large = bytes(100_000)
    pieces = encode_message([b"a", large, b"b"])
    assert pieces[1] is large and len(pieces) == 3


def test_ready_names_the_socket_type_and_a_dealers_identity() -> None:
    assert encode_ready(SocketType.DEALER, b"me") == (
        b"\x04\x2b\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x02me"
    )
    assert encode_ready(SocketType.SUB, b"") == b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB"


def test_a_subscription_is_a_command_since_3_1_and_a_message_in_3_0() -> None:
    assert encode_subscription(b"ab", 1) == b"\x04\x0c\x09SUBSCRIBEab"
    assert encode_subscription(b"ab", 0) == b"\x00\x03\x01ab"


@pytest.mark.parametrize(("version", "form"), [(b"\x03\x00", b"\x00\x01\x01"), (b"\x03\x01", b"\x04\x0a\x09SUBSCRIBE")])
def test_a_sub_subscribes_after_the_handshake_in_the_form_the_peer_knows(version: bytes, form: bytes) -> None:
    engine = Engine(SocketType.SUB, BOUNDS, subscriptions=(b"",))
    feed(engine, GREETING[:10] + version + GREETING[12:])
    assert bytes(engine.replies) == encode_ready(SocketType.SUB, b"")
    engine.replies.clear()
    feed(engine, encode_command(b"READY", b"\x0bsocket-TYPE\0\0\0\x04XPUB"))
    assert engine.is_ready and bytes(engine.replies) == form


def test_a_ping_is_answered_with_its_context() -> None:
    engine = ready()
    assert feed(engine, encode_command(b"PING", b"\0\x0acontext")) == []
    assert bytes(engine.replies) == b"\x04\x0c\x04PONGcontext"


def test_a_command_may_stand_between_the_frames_of_a_message() -> None:
    data = b"\x01\x01a" + encode_command(b"PING", b"\0\0") + b"\x00\x01b"
    assert feed(ready(), data) == [[b"a", b"b"]]


def test_unknown_commands_are_passed_over() -> None:
    assert feed(ready(), encode_command(b"CANCEL", b"x") + encode([b"a"])) == [[b"a"]]


# ---- any pieces


frames = st.one_of(
    st.binary(max_size=300), st.integers(0, 200_000).map(lambda size: (b"0123456789" * (size // 10 + 1))[:size])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(frames, min_size=1, max_size=6), max_size=6), st.integers(1000, 300_000))
def test_what_was_encoded_is_decoded_whatever_pieces_it_comes_in(sent: list[list[bytes]], pieces: int) -> None:
    data = PEER_GREETING + ROUTER_READY + b"".join(map(encode, sent))
    engine = Engine(SocketType.DEALER, BOUNDS)
    got = feed(engine, data, pieces)
    assert [[bytes(frame) for frame in message] for message in got] == sent
    engine.release()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=400), min_size=1, max_size=4), max_size=4), st.integers(1, 20))
def test_small_messages_may_come_byte_by_byte(sent: list[list[bytes]], pieces: int) -> None:
    data = PEER_GREETING + ROUTER_READY + b"".join(map(encode, sent))
    assert feed(Engine(SocketType.DEALER, BOUNDS), data, pieces) == sent


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_messages_or_one_typed_error(data: bytes, after_handshake: bool) -> None:
    engine = ready() if after_handshake else Engine(SocketType.DEALER, BOUNDS)
    try:
        feed(engine, data)
    except ZmtpError as error:
        assert error.code.startswith("zmtp.")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120))
def test_any_ready_is_a_handshake_or_one_typed_error(body: bytes) -> None:
    engine = Engine(SocketType.DEALER, BOUNDS)
    try:
        feed(engine, PEER_GREETING + encode_command(b"READY", body))
    except ZmtpError as error:
        assert error.code == "zmtp.handshake"


def test_a_slice_ends_at_the_messages_asked_for_and_the_rest_stays() -> None:
    engine = ready()
    engine.feed(encode([b"a"]) * 10)
    messages: list[Message] = []
    engine.take(messages, 4)
    assert len(messages) == 4 and not engine.is_hungry
    engine.take(messages, 10)
    assert len(messages) == 10 and engine.is_hungry


def test_a_slice_ends_at_the_frames_asked_for() -> None:
    engine = ready()
    engine.feed(b"\x01\x00" * 50 + b"\x00\x00")
    messages: list[Message] = []
    engine.take(messages, 10, 20)
    assert not engine.is_hungry and not messages
    engine.take(messages, 10, 100)
    assert len(messages[0]) == 51 and engine.is_hungry


# ---- bounds


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("zmtp.greeting", b"GET / HTTP/1.1"),
        ("zmtp.greeting", b"\xff" + bytes(8) + b"\x7f\x01"),
        ("zmtp.greeting", GREETING[:12] + b"CURVE".ljust(20, b"\0") + bytes(32)),
        ("zmtp.handshake", GREETING + encode([b"too early"])),
        ("zmtp.handshake", GREETING + encode_command(b"PING", b"\0\0")),
        ("zmtp.handshake", GREETING + encode_command(b"READY", b"\x0bSocket-Type\0\0\0\x03PUB")),
        ("zmtp.handshake", GREETING + encode_command(b"READY", b"")),
        ("zmtp.handshake", GREETING + encode_command(b"READY", b"\x0bSocket-Type\xff\xff\xff\xff")),
        ("zmtp.command", GREETING + b"\x06" + struct.pack(">Q", 1 << 40)),
        ("zmtp.command", GREETING + b"\x04\x00"),
        ("zmtp.refused", GREETING + encode_command(b"ERROR", b"\x02no")),
    ],
)
def test_a_handshake_that_breaks_a_rule_ends_with_its_code(code: str, data: bytes) -> None:
    with pytest.raises(ZmtpError) as caught:
        feed(Engine(SocketType.DEALER, BOUNDS), data)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("zmtp.flags", b"\x08\x00"),
        ("zmtp.flags", b"\x05\x00"),
        ("zmtp.flags", b"\xff\x00"),
        ("zmtp.frame", b"\x02" + struct.pack(">Q", MIB + 1)),
        ("zmtp.frame", b"\x02" + struct.pack(">Q", (1 << 64) - 1)),
        ("zmtp.message", (b"\x03" + struct.pack(">Q", MIB) + bytes(MIB)) * 3),
        ("zmtp.frames", b"\x01\x00" * 101),
        ("zmtp.frames", b"\x01\x00" * 99 + b"\x03" + struct.pack(">Q", 5000)),
        ("zmtp.command", encode_command(b"PING", b"\0\0" + b"c" * 17)),
        ("zmtp.command", b"\x06" + struct.pack(">Q", 1001)),
        ("zmtp.command", b"\x04\x03\x09ab"),
        ("zmtp.refused", encode_command(b"ERROR", b"")),
    ],
)
def test_traffic_that_breaks_a_bound_ends_with_its_code(code: str, data: bytes) -> None:
    with pytest.raises(ZmtpError) as caught:
        feed(ready(), data, 100_000)
    assert caught.value.code == code


def test_messages_before_a_violation_are_not_lost() -> None:
    engine = ready()
    messages: list[Message] = []
    engine.feed(encode([b"a"]) + b"\xff\x00")
    with pytest.raises(ZmtpError):
        engine.take(messages, 10)
    assert messages == [[b"a"]]


def test_incomplete_messages_of_several_connections_share_one_budget() -> None:
    budget = Budget(MIB)
    one, two = ready(budget=budget), ready(budget=budget)
    begun = b"\x03" + struct.pack(">Q", 700_000) + bytes(600_000)
    feed(one, begun)
    with pytest.raises(ZmtpError) as caught:
        feed(two, begun)
    assert caught.value.code == "zmtp.budget"
    two.release()
    assert budget.used_bytes == 600_000
    assert len(feed(one, bytes(100_000) + b"\x00\x00")) == 1
    assert budget.used_bytes == 0


def test_a_size_that_is_only_announced_holds_nothing() -> None:
    budget = Budget(10)
    engine = ready(Bounds(1 << 33, 1 << 33, 10), budget)
    feed(engine, b"\x02" + struct.pack(">Q", 1 << 32))  # 4 GiB, not a page of it touched
    assert budget.used_bytes == 0
    engine.release()


def test_a_large_frame_is_handed_over_as_a_view_that_cannot_be_written() -> None:
    (message,) = feed(ready(), encode([b"x" * 500_000]), 200_000)
    assert isinstance(message[0], memoryview) and message[0].readonly and message[0] == b"x" * 500_000


def test_50_mb_cost_time_in_proportion_to_their_size() -> None:
    def seconds(size: int) -> float:
        engine = ready(Bounds(64 * MIB, 64 * MIB, 10))
        data = encode([bytes(size)])
        began = time.process_time()
        assert len(feed(engine, data, 200_000)) == 1
        return time.process_time() - began

    small = min(seconds(5 * MIB) for _ in range(3))
    assert seconds(50 * MIB) < 30 * small + 0.05
