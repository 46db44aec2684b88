"""proxy.kit.agent_client against a scripted agent: answers, deadlines, loss, reconnection, hostility."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from proxy.contract.agent import MAX_MESSAGE_BYTES, AgentEvent, JournalExtent, TerminalExit
from proxy.kit.agent_client import AgentClient, AgentNonsense, AgentRefused, AgentSilent


class ScriptedAgent:
    """A ROUTER that answers each request with what `script` makes of it; None is silence."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.SNDHWM, 0)
        self._path = folder / "agent.sock"
        self._socket.bind(f"ipc://{self._path}")
        self._loop.add_reader(self._socket.get(zmq.FD), self._pump)
        self.heard: list[dict[str, Any]] = []
        self.peer = b""
        self.script: Callable[[dict[str, Any]], object] = lambda request: {}
        self._pump()

    def _pump(self) -> None:
        while True:
            try:
                self.peer, frame = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            request = json.loads(frame)
            self.heard.append(request)
            reply = self.script(request)
            if isinstance(reply, dict):
                self.send(json.dumps({"id": request["id"], "ok": True, "result": reply}).encode())
            elif isinstance(reply, bytes):
                self.send(reply)

    def send(self, *frames: bytes) -> None:
        self._socket.send_multipart([self.peer, *frames])
        self._loop.call_soon(self._pump)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.get(zmq.FD))
        self._socket.close(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kh") as name:
        yield Path(name)


@pytest.fixture
async def agent(folder: Path) -> AsyncIterator[ScriptedAgent]:
    agent = ScriptedAgent(folder)
    yield agent
    agent.close()


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[AgentClient]:
    client = AgentClient(folder, os.getuid())
    yield client
    await client.close()


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


async def test_requests_are_answered_each_with_its_own_answer(agent: ScriptedAgent, client: AgentClient) -> None:
    agent.script = lambda request: {"op": request["op"]}
    answers = await asyncio.gather(*(client.request(f"op{n}", dict) for n in range(50)))
    assert answers == [{"op": f"op{n}"} for n in range(50)]


async def test_a_refusal_is_raised_with_its_code(agent: ScriptedAgent, client: AgentClient) -> None:
    def refuse(request: dict[str, Any]) -> bytes:
        return json.dumps({"id": request["id"], "ok": False, "error": {"code": "not_found", "message": "no"}}).encode()

    agent.script = refuse
    with pytest.raises(AgentRefused) as caught:
        await client.interrupt_kernel("k")
    assert (caught.value.code, caught.value.message) == ("not_found", "no")


async def test_an_answer_that_does_not_come_is_silence_and_its_lateness_does_no_harm(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    agent.script = lambda request: None
    with pytest.raises(AgentSilent, match=r"within 0\.05 s"):
        await client.ping(timeout=0.05)
    agent.send(json.dumps({"id": agent.heard[0]["id"], "ok": True, "result": {}}).encode())
    agent.script = lambda request: {}
    await client.ping()


async def test_a_missing_socket_is_silence_and_says_so(client: AgentClient) -> None:
    with pytest.raises(AgentSilent, match="there is no agent socket"):
        await client.ping(timeout=0.05)


async def test_a_request_waits_for_the_agent_to_come_up(folder: Path, client: AgentClient) -> None:
    waiting = asyncio.create_task(client.ping(timeout=10))
    await until(lambda: client._upkeep is not None)
    agent = ScriptedAgent(folder)
    await waiting
    agent.close()


async def test_a_stale_socket_is_left_when_a_live_one_takes_its_place(folder: Path, client: AgentClient) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "agent.sock"))
        stale.listen()
    waiting = asyncio.create_task(client.ping(timeout=10))
    await until(lambda: client._link is not None)
    (folder / "agent.sock").unlink()
    agent = ScriptedAgent(folder)
    await waiting
    agent.close()


async def test_a_link_in_place_of_the_socket_is_never_followed(folder: Path, client: AgentClient) -> None:
    agent = ScriptedAgent(folder)
    (folder / "agent.sock").rename(folder / "elsewhere")
    (folder / "agent.sock").symlink_to("elsewhere")
    with pytest.raises(AgentSilent, match="not a socket"):
        await client.ping(timeout=0.2)
    assert agent.heard == []
    agent.close()


async def test_the_end_of_the_agent_fails_what_it_was_asked_at_once_and_is_told_once(
    folder: Path, client: AgentClient
) -> None:
    agent = ScriptedAgent(folder)
    agent.script = lambda request: None
    lost: list[int] = []
    client.on_lost = lambda: lost.append(1)
    asking = asyncio.gather(*(client.ping(timeout=30) for _ in range(3)), return_exceptions=True)
    await until(lambda: len(agent.heard) == 3)
    agent.close()
    async with asyncio.timeout(5):
        assert all(isinstance(answer, AgentSilent) for answer in await asking)
    assert lost == [1] and not client.connected


async def test_after_a_loss_the_next_request_connects_anew(folder: Path, client: AgentClient) -> None:
    first = ScriptedAgent(folder)
    await client.ping()
    first.close()
    await until(lambda: not client.connected)
    second = ScriptedAgent(folder)
    await client.ping()
    assert [request["op"] for request in second.heard] == ["ping"]
    second.close()


async def test_an_agent_that_gives_no_sign_of_life_is_lost(folder: Path) -> None:
    agent = ScriptedAgent(folder)
    client = AgentClient(folder, os.getuid(), ping_seconds=0.02, ping_timeout=0.05)
    lost = asyncio.Event()
    client.on_lost = lost.set
    await client.ping()
    agent.script = lambda request: None
    async with asyncio.timeout(5):
        await lost.wait()
    await client.close()
    agent.close()


async def test_a_live_connection_is_kept_alive_by_pings(folder: Path) -> None:
    agent = ScriptedAgent(folder)
    client = AgentClient(folder, os.getuid(), ping_seconds=0.01)
    await client.ping()
    await until(lambda: len(agent.heard) >= 4)
    assert client.connected
    await client.close()
    agent.close()


async def test_a_socket_that_was_replaced_while_connected_is_a_loss(
    folder: Path, agent: ScriptedAgent, client: AgentClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.kit.agent_client.CHECK_SECONDS", 0.01)
    lost = asyncio.Event()
    client.on_lost = lost.set
    await client.ping()
    (folder / "agent.sock").unlink()
    async with asyncio.timeout(5):
        await lost.wait()


async def test_events_are_handed_on_and_a_failing_listener_does_no_harm(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    events: list[AgentEvent] = []

    def listen(event: AgentEvent) -> None:
        events.append(event)
        raise RuntimeError("a bug")

    client.on_event = listen
    await client.watch()
    for name in ("1", "2"):
        agent.send(json.dumps({"event": "terminal.exit", "name": name}).encode())
    await until(lambda: len(events) == 2)
    assert events == [TerminalExit("1"), TerminalExit("2")]
    await client.ping()


async def test_an_answer_of_another_shape_is_nonsense_and_the_connection_stays(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    with pytest.raises(AgentNonsense):
        await client.hello()
    assert client.connected


async def test_an_answer_about_another_kernel_is_nonsense(agent: ScriptedAgent, client: AgentClient) -> None:
    other = "0f8b0f0e-0000-4000-8000-000000000002"
    agent.script = lambda request: {
        "kernel_id": other,
        "name": "p",
        "state": "idle",
        "generation": 1,
        "started_at": 0,
        "last_activity_at": 0,
        "idle_seconds": 0,
        "executions": 0,
    }
    with pytest.raises(AgentNonsense, match="another"):
        await client.restart_kernel("0f8b0f0e-0000-4000-8000-000000000001")


@pytest.mark.parametrize("frames", [[b"garbage"], [b"{}", b"{}"], [b"[" * 100_000], [b""]])
async def test_a_frame_that_is_not_of_the_protocol_ends_the_connection(
    agent: ScriptedAgent, client: AgentClient, frames: list[bytes]
) -> None:
    lost = asyncio.Event()
    client.on_lost = lost.set
    await client.ping()
    agent.send(*frames)
    async with asyncio.timeout(5):
        await lost.wait()
    await client.ping()


async def test_a_message_beyond_the_protocols_size_is_never_received(agent: ScriptedAgent, client: AgentClient) -> None:
    lost = asyncio.Event()
    client.on_lost = lost.set
    await client.ping()
    agent.send(b"x" * (MAX_MESSAGE_BYTES + 1))
    async with asyncio.timeout(5):
        await lost.wait()


async def test_a_flood_of_events_does_not_hold_the_loop(agent: ScriptedAgent, client: AgentClient) -> None:
    seen = 0

    def count(event: AgentEvent) -> None:
        nonlocal seen
        seen += 1

    client.on_event = count
    await client.ping()
    frame = json.dumps({"event": "terminal.exit", "name": "1"}).encode()
    turns = 0
    for _ in range(20):
        for _ in range(100):
            agent.send(frame)
        await asyncio.sleep(0)
        turns += 1
    await until(lambda: seen == 2000)
    assert turns == 20


NOTE = {"msg_id": "m", "session": "s", "msg_type": "execute_request", "cell_id": "c"}


async def test_a_note_is_sent_and_nobody_waits_for_it(agent: ScriptedAgent, client: AgentClient) -> None:
    client.note_request("k", **NOTE)
    assert agent.heard == [], "there is no connection yet, and none is made for it"
    await client.ping()
    client.note_request("k", **{**NOTE, "cell_id": "x" * 1025})
    client.note_request("k", **NOTE)
    await until(lambda: len(agent.heard) == 2)
    assert (agent.heard[1]["op"], agent.heard[1]["args"]) == ("journal.note", {"kernel_id": "k", **NOTE})
    await client.ping()
    assert client.connected, "its answer disturbs nothing"
    await client.close()
    client.note_request("k", **NOTE)


async def test_notes_to_an_agent_that_does_not_read_are_bounded(folder: Path) -> None:
    deaf = zmq.Context.instance().socket(zmq.ROUTER)
    deaf.set(zmq.LINGER, 0)
    deaf.set(zmq.RCVHWM, 1)
    deaf.bind(f"ipc://{folder}/agent.sock")
    client = AgentClient(folder, os.getuid())
    with pytest.raises(AgentSilent):
        await client.ping(timeout=0.2)
    assert client._link is not None and client.connected
    for _ in range(20_000):
        client.note_request("k", **{**NOTE, "cell_id": "x" * 1000})
    assert client._link.waiting <= 1000
    await client.close()
    deaf.close(0)


async def test_how_far_a_journal_reaches_is_asked(agent: ScriptedAgent, client: AgentClient) -> None:
    extent = {"first": 1, "last": 9, "bytes": 700, "lost_messages": 0, "lost_bytes": 0}
    agent.script = lambda request: extent
    assert await client.sync_journal("k") == JournalExtent(**extent)
    agent.script = lambda request: {**extent, "last": -1}
    with pytest.raises(AgentNonsense):
        await client.sync_journal("k")


async def test_after_close_nothing_is_asked_and_no_descriptor_is_left(folder: Path, agent: ScriptedAgent) -> None:
    warm = AgentClient(folder, os.getuid())
    await warm.ping()
    await warm.close()

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    for _ in range(5):
        client = AgentClient(folder, os.getuid())
        await client.ping()
        await client.close()
        with pytest.raises(AgentSilent, match="closed"):
            await client.ping()
    # The agent is libzmq: it closes in its own thread, and its side of each connection closes with it.
    await until(lambda: descriptors() <= before)


async def test_an_agent_that_floods_with_large_messages_does_not_hold_the_loop(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    await client.ping()
    flood = json.dumps({"event": "terminal.output", "name": "1", "data": "x" * (MAX_MESSAGE_BYTES - 100)}).encode()
    for _ in range(60):
        agent.send(flood)
    loop, longest = asyncio.get_running_loop(), 0.0
    for _ in range(200):
        before = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - before)
    seen: list[AgentEvent] = []
    client.on_event = seen.append
    began = loop.time()
    await until(lambda: len(seen) >= 3)
    assert loop.time() - began > 0.2, "three messages of 4 MiB take their time at 32 MiB/s"
    assert longest < 0.25
