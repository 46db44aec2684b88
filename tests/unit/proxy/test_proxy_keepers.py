"""Standing in for clients that are away: what is kept, for whom, and until when."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio

from proxy.contract.route import KernelRoute
from proxy.core.executions import key_of
from proxy.core.frames import ClientMessage
from proxy.core.wire import Signer
from proxy.io import keepers as module
from proxy.io.cursors import KEPT_SECONDS
from proxy.io.keepers import HELD_BYTES, HELD_SECONDS, Keepers, Waiting, kept_question, kept_requests
from proxy.kit.clock import ManualClock
from tests.harness.proxy_rig import eventually, short_folder

KERNEL = "0f8b0f0e-0000-4000-8000-000000000003"
QUESTION = [b'{"msg_id":"q","msg_type":"input_request"}', b'{"msg_id":"m1","session":"s"}', b"{}", b'{"prompt":"?"}']


class Sockets:
    """A kernel's shell and stdin, which hear a new connection by a known name."""

    def __init__(self, folder: Path) -> None:
        self.context = zmq.asyncio.Context()
        self.shell, self.stdin = (self._bind(folder, number) for number in (1, 3))

    def _bind(self, folder: Path, number: int) -> zmq.asyncio.Socket:
        socket = self.context.socket(zmq.ROUTER)
        socket.linger, socket.router_handover, socket.router_mandatory = 0, 1, 1
        socket.bind(f"ipc://{folder}/{KERNEL}-{number}")
        return socket

    async def send(self, socket: zmq.asyncio.Socket, name: bytes, parts: list[bytes]) -> None:
        async with asyncio.timeout(5.0):
            while True:
                try:
                    await socket.send_multipart([name, *map(bytes, Signer(b"key").pack(parts))])
                except zmq.ZMQError:  # nobody is there by this name yet
                    await asyncio.sleep(0.01)
                else:
                    return

    async def reply(self, name: bytes, msg_id: str) -> None:
        header = {"msg_id": "r", "msg_type": "execute_reply"}
        parts = [header, {"msg_id": msg_id, "msg_type": "execute_request"}, {}, {}]
        await self.send(self.shell, name, [json.dumps(part).encode() for part in parts])

    async def ask(self, name: bytes) -> None:
        await self.send(self.stdin, name, QUESTION)


@pytest.fixture
async def run_folder() -> AsyncIterator[Path]:
    async with short_folder() as folder:
        yield folder


@pytest.fixture
async def kernel(run_folder: Path) -> AsyncIterator[Sockets]:
    sockets = Sockets(run_folder)
    yield sockets
    sockets.context.destroy(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def keepers(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Keepers]:
    keepers = Keepers(tmp_path, clock)
    yield keepers
    keepers.close()


@pytest.fixture
def waiting(run_folder: Path, clock: ManualClock) -> Iterator[Waiting]:
    route = KernelRoute("p", "u", "w", KERNEL, str(run_folder), os.getuid())
    now = clock.now().timestamp()
    yield Waiting(route, "s", b"kh-name", [key_of("m1"), key_of("m2")], 1, now)


def session(waiting: Waiting, name: str, user: str = "u") -> Waiting:
    return msgspec.structs.replace(waiting, session=name, route=msgspec.structs.replace(waiting.route, user_id=user))


async def test_a_question_asked_of_who_is_away_waits_for_it_also_in_another_proxy(
    keepers: Keepers, kernel: Sockets, waiting: Waiting, tmp_path: Path, clock: ManualClock
) -> None:
    keepers.leave(waiting)
    await kernel.ask(b"kh-name")
    other = Keepers(tmp_path, clock)
    await eventually(lambda: b"prompt" in next(tmp_path.glob("waiting-*")).read_bytes())
    found, is_own = other.take(waiting.key)
    assert found is not None and is_own
    assert found.question == QUESTION
    other.forget(waiting.key)
    assert keepers.take(waiting.key) == (None, False), "what another proxy has done counts"


async def test_another_session_of_the_user_gets_the_question_and_nobody_elses_does(
    keepers: Keepers, kernel: Sockets, waiting: Waiting, tmp_path: Path
) -> None:
    keepers.leave(waiting)
    assert keepers.take(session(waiting, "t").key) == (None, False), "nothing is asked"
    await kernel.ask(b"kh-name")
    await eventually(lambda: b"prompt" in next(tmp_path.glob("waiting-*")).read_bytes())
    assert keepers.take(session(waiting, "t", "v").key) == (None, False)
    found, is_own = keepers.take(session(waiting, "t").key)
    assert found is not None and not is_own
    assert found.key == waiting.key


async def test_nobody_is_stood_in_for_when_all_replies_have_come(
    keepers: Keepers, kernel: Sockets, waiting: Waiting, tmp_path: Path
) -> None:
    keepers.leave(waiting)
    await kernel.reply(b"kh-name", "m1")
    await eventually(lambda: load(tmp_path).asked == [key_of("m2")])
    await kernel.reply(b"kh-name", "another")
    await kernel.reply(b"kh-name", "m2")
    await eventually(lambda: not list(tmp_path.glob("waiting-*")))
    assert not keepers._keepers


async def test_what_could_not_be_sent_outlives_the_replies(
    keepers: Keepers, kernel: Sockets, waiting: Waiting, tmp_path: Path
) -> None:
    keepers.leave(msgspec.structs.replace(waiting, asked=[key_of("m1")], held=[("shell", [b"{}"])]))
    await kernel.reply(b"kh-name", "m1")
    await eventually(lambda: not keepers._keepers)
    assert load(tmp_path).held == [("shell", [b"{}"])]


async def test_a_session_that_has_moved_or_a_kernel_that_hears_no_second_one_needs_nobody_to_stand_in(
    keepers: Keepers, kernel: Sockets, waiting: Waiting, tmp_path: Path
) -> None:
    keepers.leave(waiting, is_moved=True)
    keepers.leave(msgspec.structs.replace(session(waiting, "t"), hands_over=False))
    assert not keepers._keepers
    assert len(list(tmp_path.glob("waiting-*"))) == 2
    keepers.leave(msgspec.structs.replace(waiting, asked=[]))
    assert len(list(tmp_path.glob("waiting-*"))) == 1


async def test_a_kernel_that_is_gone_needs_nobody(keepers: Keepers, waiting: Waiting, tmp_path: Path) -> None:
    keepers.leave(waiting)
    assert not list(tmp_path.glob("waiting-*"))
    keepers.leave(msgspec.structs.replace(waiting, held=[("shell", [b"{}"])]))
    assert load(tmp_path).held, "but what it did not get may go to the next process"


async def test_a_workspace_has_so_many_and_no_more(
    keepers: Keepers, kernel: Sockets, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORKSPACE_KEEPERS", 2)
    for number in range(4):
        keepers.leave(msgspec.structs.replace(session(waiting, str(number)), routing_id=b"kh-%d" % number))
    assert len(keepers._keepers) == 2


async def test_files_that_are_old_or_broken_are_nobodys(
    keepers: Keepers, kernel: Sockets, waiting: Waiting, tmp_path: Path, clock: ManualClock
) -> None:
    keepers.note(waiting)
    (tmp_path / "waiting-junk").write_bytes(b"\xff" * 100)
    clock.advance(timedelta(seconds=KEPT_SECONDS + 1))
    other = Keepers(tmp_path, clock)
    other.open()
    assert not other._keepers
    assert keepers.take(waiting.key) == (None, False)


async def test_the_next_proxy_stands_in_for_who_is_written_down(
    keepers: Keepers, kernel: Sockets, waiting: Waiting, tmp_path: Path, clock: ManualClock
) -> None:
    keepers.leave(waiting)
    keepers.close()
    following = Keepers(tmp_path, clock)
    following.open()
    try:
        await kernel.ask(b"kh-name")
        await eventually(lambda: load(tmp_path).question == QUESTION)
    finally:
        following.close()


async def test_a_proxy_that_ends_takes_no_names_away_and_the_next_one_stands_in_for_who_did_not_come_back(
    keepers: Keepers, kernel: Sockets, waiting: Waiting, tmp_path: Path, clock: ManualClock
) -> None:
    """The next one has begun before: its clients may be there before anybody could stand in for them."""
    following, standing = Keepers(tmp_path, clock), {waiting.key}
    following.open()
    keepers.leave(waiting, is_closing=True)
    keepers.leave(msgspec.structs.replace(session(waiting, "t"), routing_id=b"kh-t"), is_closing=True)
    assert not keepers._keepers
    following.look_again(standing.__contains__)
    assert not following._keepers, "they have time to come back"
    clock.advance(timedelta(seconds=module.RETURN_SECONDS + 1))
    try:
        for _ in range(2):
            following.look_again(standing.__contains__)
            assert [key.session for key in following._keepers] == ["t"]
        await kernel.ask(b"kh-t")
        await eventually(lambda: any(b"prompt" in path.read_bytes() for path in tmp_path.glob("waiting-*")))
    finally:
        following.close()


async def test_what_another_session_takes_over_is_given_away_but_not_what_could_not_be_sent(
    keepers: Keepers, waiting: Waiting, tmp_path: Path
) -> None:
    asked = msgspec.structs.replace(waiting, question=QUESTION)
    keepers.note(asked)
    keepers.give_away(asked)
    assert not list(tmp_path.glob("waiting-*"))
    asked = msgspec.structs.replace(asked, held=[("shell", [b"{}"])])
    keepers.note(asked)
    keepers.give_away(asked)
    left = load(tmp_path)
    assert (left.question, left.asked, left.held) == (None, [], [("shell", [b"{}"])])


def test_what_waits_too_long_or_for_another_kernel_is_abandoned(waiting: Waiting) -> None:
    cell = [b'{"msg_id":"m3","msg_type":"execute_request"}', b"{}", b"{}", b"{}"]
    left = msgspec.structs.replace(waiting, held=[("shell", cell), ("control", [b"{}"])], abandoned=[b"older"])
    soon, late = waiting.since + 1, waiting.since + HELD_SECONDS + 1
    assert left.left_behind(2, soon) == ([ClientMessage("shell", cell), ClientMessage("control", [b"{}"])], [b"older"])
    for generation, now in ((3, soon), (1, late)):
        assert left.left_behind(generation, now) == ([], [b"older", cell[0]])


def test_of_what_waits_so_much_is_kept_and_requests_beyond_are_named() -> None:
    header = b'{"msg_id":"m3","msg_type":"execute_request"}'
    small = ClientMessage("shell", [header, b"{}", b"{}", b"{}"])
    large = ClientMessage("shell", [header, b"{}", b"{}", b"x" * HELD_BYTES])
    answer = ClientMessage("stdin", [b"{}"] * 4)
    kept, abandoned = kept_requests([small, answer, large, large])
    assert (kept, abandoned) == ([("shell", list(small.parts))], [header, header])


def test_a_question_that_is_too_long_is_not_kept() -> None:
    assert kept_question(QUESTION) == QUESTION
    assert kept_question([*QUESTION[:3], b"x" * (module.QUESTION_BYTES + 1)]) is None
    assert kept_question([b'{"msg_type":"status"}', *QUESTION[1:]]) is None


def load(folder: Path) -> Waiting:
    (path,) = folder.glob("waiting-*")
    return msgspec.msgpack.decode(path.read_bytes(), type=Waiting)
