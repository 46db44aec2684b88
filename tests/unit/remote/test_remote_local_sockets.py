"""The local sockets with real ZeroMQ clients, and the connection files that name them."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import zmq
import zmq.asyncio

from hub.errors import BadRequest
from hub.remote import local_sockets
from hub.remote.connection_file import SOCKETS, LocalEnds, new_ends, read_ends, write_ends
from hub.remote.local_sockets import PUBLISHED_MESSAGES, LocalSockets

MANY = 3 * PUBLISHED_MESSAGES
LARGE = b"x" * 8000
"""So many of these are more than the system's own buffers hold."""


@pytest.fixture
async def sockets() -> AsyncIterator[LocalSockets]:
    made = LocalSockets(new_ends("tcp", "unused"))
    yield made
    made.close()


@pytest.fixture
def context() -> Iterator[zmq.asyncio.Context]:
    made = zmq.asyncio.Context()
    yield made
    made.destroy(linger=0)


async def subscriber(context: zmq.asyncio.Context, sockets: LocalSockets, most: int = 1000) -> zmq.asyncio.Socket:
    """A client that listens to iopub, of which the sockets know."""
    socket = context.socket(zmq.SUB)
    socket.rcvhwm = most
    socket.setsockopt(zmq.RCVBUF, 4096)
    heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def take(frames: list[bytes]) -> None:
        heard.set_result(None)

    reading = asyncio.create_task(sockets.read("iopub", take))
    socket.connect(sockets.ends.address("iopub"))
    socket.subscribe(b"")
    await asyncio.wait_for(heard, 10)
    reading.cancel()
    return socket


async def test_a_client_that_reads_slowly_misses_nothing(sockets: LocalSockets, context: zmq.asyncio.Context) -> None:
    client = await subscriber(context, sockets, most=10)

    async def publish() -> None:
        for number in range(MANY):
            await sockets.send("iopub", [b"%d" % number, LARGE])

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(publish())
        for number in range(MANY):
            assert await client.recv_multipart() == [b"%d" % number, LARGE]


async def test_a_client_that_reads_nothing_delays_the_others_only_once(
    sockets: LocalSockets, context: zmq.asyncio.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_sockets, "PATIENCE_SECONDS", 1.0)
    stopped = await subscriber(context, sockets, most=1)
    reader = await subscriber(context, sockets)
    started = asyncio.get_running_loop().time()

    async def publish() -> None:
        for _ in range(MANY):
            await sockets.send("iopub", [b"topic", LARGE])

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(publish())
        for _ in range(MANY):
            assert await reader.recv_multipart() == [b"topic", LARGE]
    assert asyncio.get_running_loop().time() - started > local_sockets.PATIENCE_SECONDS
    stopped.close(linger=0)


async def test_a_message_goes_to_the_client_that_it_is_for(sockets: LocalSockets, context: zmq.asyncio.Context) -> None:
    client = context.socket(zmq.DEALER)
    client.setsockopt(zmq.IDENTITY, b"ada")
    client.connect(sockets.ends.address("shell"))
    got: asyncio.Queue[list[bytes]] = asyncio.Queue()
    reading = asyncio.create_task(sockets.read("shell", got.put))
    await client.send_multipart([b"hello"])
    assert await asyncio.wait_for(got.get(), 10) == [b"ada", b"hello"]
    await sockets.send("shell", [b"nobody", b"lost"])
    await sockets.send("shell", [b"ada", b"answer"])
    assert await asyncio.wait_for(client.recv_multipart(), 10) == [b"answer"]
    reading.cancel()


async def test_unix_sockets_are_removed(data_dir: Path) -> None:
    ends = LocalEnds(transport="ipc", ip=str(data_dir / "k"), ports={n: i for i, n in enumerate(SOCKETS)}, key=b"k")
    ends.ports["shell"] = 9
    made = LocalSockets(ends)
    assert len(list(data_dir.iterdir())) == 5
    made.close()
    assert list(data_dir.iterdir()) == []


async def test_a_port_that_is_taken_is_named(sockets: LocalSockets) -> None:
    with pytest.raises(BadRequest, match=r"The shell socket cannot be opened at tcp://127\.0\.0\.1:\d+"):
        LocalSockets(sockets.ends)


def test_a_connection_file_is_private_and_can_be_read_again(data_dir: Path) -> None:
    file = data_dir / "kernel.json"
    ends = LocalEnds(transport="tcp", ip="127.0.0.1", ports={n: 5000 + i for i, n in enumerate(SOCKETS)}, key=b"k")
    write_ends(file, ends, "python3")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_ends(file) == ends
    assert json.loads(file.read_text())["kernel_name"] == "python3"
    with pytest.raises(BadRequest):
        write_ends(file, ends, "python3")


@pytest.mark.parametrize("text", ["", "{}", '{"shell_port": "x"}', '{"transport": "carrier pigeon"}', "\udcff"])
def test_a_poor_connection_file_is_refused(data_dir: Path, text: str) -> None:
    file = data_dir / "kernel.json"
    file.write_text(text, errors="surrogateescape")
    with pytest.raises(BadRequest, match="cannot be used"):
        read_ends(file)


def test_each_key_is_fresh() -> None:
    assert new_ends("tcp", "a").key != new_ends("tcp", "a").key
