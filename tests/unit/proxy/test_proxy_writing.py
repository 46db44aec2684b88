"""What leaves for a client, and what is known of it: the writer and the trail on real sockets, without a proxy."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from tornado.iostream import IOStream, StreamClosedError

from proxy.core.client_queue import ClientQueue
from proxy.core.executions import Executions
from proxy.core.frames import V1Framing
from proxy.core.limits import Limits
from proxy.core.messages import make_minter
from proxy.core.queue_budget import QueueBudget
from proxy.core.tagged import Effect, Step, Tagged
from proxy.core.wire import Parts
from proxy.io import trail as trail_module
from proxy.io.client_writer import PASS_FROM_BYTES, ClientWriter, write_now
from proxy.io.cursors import Cursor, Cursors, SessionKey
from proxy.io.trail import Trail
from proxy.kit.journal_format import identity_of

LIMITS = Limits()
NOTHING = Executions().dump()


def message(number: int, size: int = 10) -> list[bytes]:
    return [json.dumps({"msg_type": "stream", "msg_id": str(number)}).encode(), b"{}", b"{}", b"x" * size]


class Both:
    """A writer, and the client that it writes to."""

    def __init__(self, *, remembers: bool = True) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * 1024)
        self.theirs.setblocking(False)
        self.stream = IOStream(ours)
        self.budget = QueueBudget(LIMITS.workspace_bytes)
        mint = make_minter("s", lambda: "id", lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.queue = ClientQueue(mint, LIMITS, self.budget)
        self.trail: Trail | None = None
        if remembers:
            cursors = Cursors(None, lambda: 1000.0, 4)
            cursors.open()
            cursor, _ = cursors.claim(SessionKey("u", "k", "s"), 1, b"kh-a")
            assert cursor is not None
            self.cursor: Cursor = cursor
            self.trail = Trail(self.stream, cursor, Executions(), lambda: True)
        self.overflows = 0
        self.writer = ClientWriter(self.stream, V1Framing(), self.queue, lambda: True, self._overflow, self.trail)
        self._data = b""
        self.ids: list[str] = []
        self.pings: list[bytes] = []

    def _overflow(self) -> None:
        self.overflows += 1

    def send(self, *messages: Parts, channel: str = "iopub") -> None:
        self.writer.send(channel, list(messages))

    def read(self, most: int = 1 << 30) -> None:
        """Read what has come, and take it apart."""
        try:
            while most > 0 and (data := self.theirs.recv(min(most, 65536))):
                self._data += data
                most -= len(data)
        except BlockingIOError:
            pass
        while len(self._data) >= 2:
            size, start = self._data[1], 2
            if size == 126:
                size, start = struct.unpack_from("!H", self._data, 2)[0], 4
            elif size == 127:
                size, start = struct.unpack_from("!Q", self._data, 2)[0], 10
            if start + size > len(self._data):
                break
            body, opcode = self._data[start : start + size], self._data[0]
            self._data = self._data[start + size :]
            if opcode == 0x89:
                self.pings.append(body)
                continue
            (count,) = struct.unpack_from("<Q", body)
            offsets = struct.unpack_from(f"<{count}Q", body, 8)
            parts = [body[a:b] for a, b in itertools.pairwise(offsets)]
            self.ids.append(json.loads(parts[1])["msg_id"])

    async def read_all(self) -> None:
        while self.writer.is_writing:
            self.read()
            await asyncio.sleep(0)
        self.read()

    @property
    def written(self) -> bytes:
        """What counts when the proxy is killed now."""
        at = self.cursor._position
        return bytes(self.cursor._memory[at : at + 8])

    def close(self) -> None:
        self.stream.close()
        self.theirs.close()


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    both = Both()
    yield both
    both.close()


def identity(number: int) -> bytes:
    return identity_of(message(number)[0])


async def test_what_the_socket_takes_at_once_is_written_and_waits_nowhere(both: Both) -> None:
    both.send(message(1), message(2))
    assert both.written == identity(2)
    assert not both.writer.is_writing
    assert both.budget.taken_bytes == 0
    both.read()
    assert both.ids == ["1", "2"]


async def test_half_a_frame_is_nothing(both: Both) -> None:
    both.send(message(1))
    both.send(message(2, 60_000))
    assert both.writer.is_writing
    assert both.written == identity(1)
    assert both.budget.taken_bytes > 60_000  # written past the queue, and not taken yet
    await both.read_all()
    assert both.ids == ["1", "2"]
    assert both.written == identity(2)
    assert both.budget.taken_bytes == 0


async def test_before_anything_is_taken_whole_the_cursor_says_what_it_said_before() -> None:
    both = Both()
    both.cursor.reach(identity(7))
    both.send(message(1, 60_000))
    assert both.written == identity(7)
    both.close()


async def test_of_a_batch_those_count_that_the_socket_took_whole(both: Both) -> None:
    both.send(*(message(number, 15_000) for number in range(4)))
    both.read(45_000)
    await both.read_all()
    assert both.ids == ["0", "1", "2", "3"]
    assert both.written == identity(3)


async def test_what_comes_while_something_waits_goes_behind_it(both: Both) -> None:
    for number in range(100):
        both.send(message(number, 5000))
    assert both.writer.is_writing
    await both.read_all()
    both.send(message(100))
    both.read()
    assert both.ids == [str(number) for number in range(101)]
    assert both.written == identity(100)
    assert both.budget.taken_bytes == 0


async def test_large_messages_keep_their_place(both: Both) -> None:
    both.send(message(1), message(2, 2 * PASS_FROM_BYTES), message(3), message(4, 3 * PASS_FROM_BYTES), message(5))
    await both.read_all()
    assert both.ids == ["1", "2", "3", "4", "5"]
    assert both.written == identity(5)


async def test_a_large_message_is_refused_when_others_hold_everything(both: Both) -> None:
    both.budget.take(LIMITS.workspace_bytes)
    both.send(message(1))
    assert both.overflows == 0
    both.send([b'{"msg_type":"comm_open"}', b"{}", b"{}", b"x" * 200_000])
    assert both.overflows == 1


async def test_the_client_is_asked_at_once_and_then_not_before_a_while_has_passed(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert both.trail is not None
    both.send(message(1))
    both.read()
    assert len(both.pings) == 1
    both.send(message(2))
    both.trail.answered(both.pings[0])
    assert both.cursor.acknowledged == identity(1)
    both.send(message(3))
    both.read()
    assert len(both.pings) == 1  # the next one is for all that came since
    while len(both.pings) == 1:
        both.read()
        await asyncio.sleep(trail_module.ASK_SECONDS / 5)
    both.trail.answered(both.pings[1])
    assert both.cursor.acknowledged == identity(3)


async def test_who_is_sent_much_is_asked_less_often(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    assert both.trail is not None
    now = 100.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    asked = []
    for step in range(1000):
        now = 100.0 + step * 0.002
        before = len(both.pings)
        both.send(message(step))
        both.read()
        if len(both.pings) == before and both.trail._timer is not None and both.trail._ask_at <= now:
            both.trail._ask()
            both.read()
        if len(both.pings) > before:
            asked.append(now)
            both.trail.answered(both.pings[-1])
    gaps = [round(b - a, 3) for a, b in itertools.pairwise(asked)]
    assert min(gaps) >= 0.005
    assert gaps[:5] == [0.006] * 5
    assert 38 <= sum(moment >= 101.0 for moment in asked) <= 42


async def test_one_question_is_on_its_way_at_a_time(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail_module, "ASK_SECONDS", 0.0)
    assert both.trail is not None
    for number in range(5):
        both.send(message(number))
        await asyncio.sleep(0)
    both.read()
    assert len(both.pings) == 1
    both.trail.answered(b"\0" * 8)  # nobody asked that
    assert both.cursor.acknowledged == b""


async def test_who_waits_for_the_acknowledgement_does_not_wait_for_the_next_round(both: Both) -> None:
    assert both.trail is not None
    both.send(message(1))
    both.send(message(2))
    waiting = asyncio.create_task(both.trail.acknowledged())
    both.read()
    both.trail.answered(both.pings[0])
    await asyncio.sleep(0)
    both.read()
    assert len(both.pings) == 2
    both.trail.answered(both.pings[1])
    await waiting
    assert both.cursor.acknowledged == identity(2)


async def test_the_steps_of_executions_are_noted_when_they_are_written(both: Both) -> None:
    assert both.trail is not None
    step = message(1)
    both.send(Tagged(step, step[0], Effect(Step.INPUT, "m", 4)))
    at = both.cursor._offset + 128
    noted = Executions.load(bytes(both.cursor._memory[at : at + len(NOTHING)])).find("m")
    assert noted is not None
    assert noted.count == 4
    assert both.written == identity(1)
    reply = Tagged(message(2), None, Effect(Step.REPLY, "m"))
    both.send(reply, channel="shell")
    assert both.written == identity(1)  # a reply moves no cursor


async def test_a_client_that_is_gone_ends_the_stream_and_nothing_is_raised() -> None:
    both = Both(remembers=False)
    both.theirs.close()
    both.send(message(1))
    assert both.stream.closed()
    with pytest.raises(StreamClosedError):
        write_now(both.stream, b"more")
