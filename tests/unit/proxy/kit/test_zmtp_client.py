"""proxy.kit.zmtp_client and zmtp_connection, against libzmq and against peers written by hand."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import zmq

from proxy.kit import zmtp_connection
from proxy.kit.sockets import open_socket
from proxy.kit.zmtp import Bounds
from proxy.kit.zmtp_client import Terms, ZmtpClient
from proxy.kit.zmtp_connection import Slice
from proxy.kit.zmtp_wire import GREETING, Message, SocketType, encode_command, encode_message, encode_ready

MIB = 1024 * 1024
BOUNDS = Bounds(60 * MIB, 60 * MIB, 4096)
READY = encode_command(b"READY", b"\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kh") as name:
        yield Path(name)


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as context:
        context.setsockopt(zmq.RCVTIMEO, 10_000)  # nothing may block a thread for ever
        yield context
        context.destroy(0)


class Side:
    """A client and what it was told."""

    def __init__(self, folder: Path, kind: SocketType = SocketType.DEALER, owner: int | None = None) -> None:
        self.messages: list[list[bytes]] = []
        self.lost: list[str] = []
        self.ready = 0
        self.drained = 0
        topics = (b"",) if kind is SocketType.SUB else ()
        uid = os.getuid()
        self.client = ZmtpClient(
            open_socket(folder, "s", uid),
            uid if owner is None else owner,
            Terms(kind, BOUNDS, Slice(4 * MIB, 256), identity=b"me", subscriptions=topics),
            on_messages=self._receive,
            on_ready=lambda: setattr(self, "ready", self.ready + 1),
            on_lost=self.lost.append,
            on_drained=lambda: setattr(self, "drained", self.drained + 1),
        )

    def _receive(self, messages: list[Message]) -> None:
        self.messages += [[bytes(frame) for frame in message] for message in messages]


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


async def aside(call: Callable[[], object]) -> object:
    return await asyncio.wait_for(asyncio.to_thread(call), 10)


def listen(folder: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "s"))
    listener.listen()
    listener.setblocking(False)
    return listener


async def accept(listener: socket.socket, say: bytes = GREETING + READY) -> socket.socket:
    loop = asyncio.get_running_loop()
    peer, _ = await asyncio.wait_for(loop.sock_accept(listener), 10)
    peer.setblocking(False)
    await loop.sock_sendall(peer, say)
    return peer


async def test_what_was_sent_during_the_handshake_goes_out_when_it_ends(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    listener = listen(folder)
    side = Side(folder)
    peer = await accept(listener, GREETING)
    heard = b""
    while encode_ready(SocketType.DEALER, b"me") not in heard:  # the client has nothing left to say of its own
        heard += await asyncio.wait_for(loop.sock_recv(peer, 4096), 10)
    side.client.send([b"held"])
    await loop.sock_sendall(peer, READY)
    message = await asyncio.wait_for(loop.sock_recv(peer, 4096), 10)
    assert message == b"".join(encode_message([b"held"]))
    side.client.close()
    peer.close()
    listener.close()


# ---- libzmq at the other end


@pytest.mark.parametrize("size", [0, 1, 255, 256, 4096, 65_535, 65_536, 65_537, 300_000, 5 * MIB])
async def test_messages_go_to_a_router_of_libzmq_and_come_back_unchanged(
    folder: Path, context: zmq.Context[zmq.Socket[bytes]], size: int
) -> None:
    router = context.socket(zmq.ROUTER)
    router.bind(f"ipc://{folder}/s")
    side = Side(folder)
    sent = [b"", os.urandom(size), b"tail"]
    side.client.send(list(sent))
    got = await aside(router.recv_multipart)
    assert got == [b"me", *sent]
    await aside(lambda: router.send_multipart([b"me", *sent]))
    await until(lambda: side.messages)
    assert side.messages == [sent] and side.ready == 1
    side.client.close()


@pytest.mark.parametrize("kind", [zmq.PUB, zmq.XPUB])
async def test_a_sub_hears_what_a_publisher_of_libzmq_says_after_its_subscription(
    folder: Path, context: zmq.Context[zmq.Socket[bytes]], kind: int
) -> None:
    publisher = context.socket(kind)
    publisher.sndhwm = 0
    publisher.bind(f"ipc://{folder}/s")
    side = Side(folder, SocketType.SUB)
    if kind == zmq.XPUB:
        assert await aside(publisher.recv) == b"\x01"
    while not side.messages:
        publisher.send_multipart([b"topic", b"0"])
        await asyncio.sleep(0.002)
    before = len(side.messages)
    for number in range(5000):
        publisher.send_multipart([b"topic", b"%d" % number, b"x" * (number % 700)])
    await until(lambda: len(side.messages) >= before + 5000)
    last = side.messages[-5000:]
    assert [int(message[1]) for message in last] == list(range(5000))
    side.client.close()


async def test_a_heartbeat_of_libzmq_is_answered_so_that_the_connection_stays(
    folder: Path, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    router = context.socket(zmq.ROUTER)
    router.set(zmq.HEARTBEAT_IVL, 20)
    router.set(zmq.HEARTBEAT_TIMEOUT, 200)
    router.bind(f"ipc://{folder}/s")
    side = Side(folder)
    await until(lambda: side.ready)
    await asyncio.sleep(0.5)
    assert side.client.is_ready and side.lost == []
    side.client.close()


# ---- peers by hand


async def test_what_is_written_is_byte_for_byte_the_specification(folder: Path) -> None:
    with listen(folder) as listener:
        side = Side(folder)
        side.client.send([b"a", b"b" * 300])
        peer = await accept(listener)
        expected = GREETING + encode_ready(SocketType.DEALER, b"me") + b"".join(encode_message([b"a", b"b" * 300]))
        got = b""
        while len(got) < len(expected):
            got += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(peer, 1000), 10)
        assert got == expected
        side.client.close()
        peer.close()


async def test_a_lost_connection_is_told_once_and_made_anew_and_what_was_not_sent_is_sent_again(folder: Path) -> None:
    with listen(folder) as listener:
        side = Side(folder)
        first = await accept(listener)
        await until(lambda: side.ready)
        side.client.send([bytes(2 * MIB)])  # more than the socket holds
        assert side.client.waiting_bytes
        first.close()
        await until(lambda: side.lost)
        assert len(side.lost) == 1 and side.client.waiting_bytes > 2 * MIB
        second = await accept(listener)
        got = 0
        while got < 2 * MIB:
            got += len(await asyncio.wait_for(asyncio.get_running_loop().sock_recv(second, MIB), 10))
        await until(lambda: side.drained and not side.client.waiting_bytes)
        assert side.ready == 2
        side.client.close()
        second.close()


async def test_a_listener_of_another_user_is_not_spoken_to(folder: Path) -> None:
    with listen(folder) as listener:
        side = Side(folder, owner=os.getuid() + 1)
        peer, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(listener), 10)
        assert await asyncio.get_running_loop().sock_recv(peer, 100) == b""
        assert "listens there" in side.client.obstacle and not side.ready
        side.client.close()
        peer.close()


async def test_a_socket_nobody_listens_on_yet_is_connected_to_when_somebody_does(folder: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "s"))
    side = Side(folder)
    assert side.client.obstacle == "Connection refused"
    listener.listen()
    listener.setblocking(False)
    peer = await accept(listener)
    await until(lambda: side.ready)
    side.client.close()
    peer.close()
    listener.close()


async def test_a_handshake_that_is_never_finished_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmtp_connection, "HANDSHAKE_SECONDS", 0.05)
    with listen(folder) as listener:
        side = Side(folder)
        peer = await accept(listener, GREETING[:40])
        await until(lambda: "handshake" in side.client.obstacle)
        assert side.lost == [] and not side.ready  # it never stood
        side.client.close()
        peer.close()


async def test_while_paused_nothing_is_read_and_the_peer_is_held_back(folder: Path) -> None:
    with listen(folder) as listener:
        side = Side(folder)
        peer = await accept(listener)
        await until(lambda: side.ready)
        side.client.pause()
        data = b"".join(encode_message([b"x" * 1000]))
        sent = 0
        with pytest.raises(BlockingIOError):
            while True:
                sent += peer.send(data)
        assert side.messages == []
        side.client.resume()
        await until(lambda: len(side.messages) == sent // len(data))
        side.client.close()
        peer.close()


async def test_drain_hands_over_at_once_what_the_peer_has_said_so_far(folder: Path) -> None:
    with listen(folder) as listener:
        side = Side(folder)
        peer = await accept(listener)
        await until(lambda: side.ready)
        await asyncio.get_running_loop().sock_sendall(peer, b"\x00\x01a" * 1000)
        while side.client.drain():
            pass
        assert len(side.messages) == 1000
        side.client.close()
        peer.close()


async def test_a_peer_that_asks_and_does_not_read_the_answers_is_left(folder: Path) -> None:
    with listen(folder) as listener:
        side = Side(folder)
        peer = await accept(listener)
        await until(lambda: side.ready)
        ping = encode_command(b"PING", b"\0\0" + b"c" * 16) * 100

        async def flood() -> None:
            while True:
                await asyncio.get_running_loop().sock_sendall(peer, ping)

        flooding: Awaitable[None] = asyncio.ensure_future(flood())
        await until(lambda: side.lost)
        assert side.lost == ["the peer asks and does not read the answers"]
        with pytest.raises(OSError):
            await flooding
        side.client.close()
        peer.close()


async def test_after_close_nothing_is_left_open(folder: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with listen(folder) as listener:
        before = descriptors()
        side = Side(folder)
        peer = await accept(listener)
        await until(lambda: side.ready)
        side.client.close()
        side.client.close()
        peer.close()
        assert descriptors() == before
