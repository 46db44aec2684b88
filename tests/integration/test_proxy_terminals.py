"""Terminal WebSockets, and connections that go quiet."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import websockets

from tests.harness.proxy_rig import FakeKernel, Rig, eventually, run_rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with run_rig(report_seconds=0.2, ping_seconds=0.1, silence_seconds=0.4) as rig:
        yield rig


async def test_a_terminal_shows_its_scrollback_then_what_it_prints_and_takes_what_is_typed(rig: Rig) -> None:
    path = rig.allow_terminal("1", scrollback="$ old\r\n")
    async with websockets.connect(f"ws://{rig.address}{path}") as socket:
        assert json.loads(await socket.recv()) == ["setup", {}]
        assert json.loads(await socket.recv()) == ["stdout", "$ old\r\n"]
        for data in ("l", "s", "\r"):
            await socket.send(json.dumps(["stdin", data]))
        await socket.send(json.dumps(["set_size", 24, 80, 500, 600]))
        await eventually(lambda: rig.agent.sizes)
        assert rig.agent.inputs == ["l", "s", "\r"]
        assert rig.agent.sizes == [(24, 80)]
        await rig.agent.tell({"event": "terminal.output", "name": "1", "data": "héllo\r\n"})
        await rig.agent.tell({"event": "terminal.output", "name": "2", "data": "another's"})
        assert json.loads(await socket.recv()) == ["stdout", "héllo\r\n"]
        await rig.agent.tell({"event": "terminal.exit", "name": "1"})
        assert json.loads(await socket.recv()) == ["disconnect", 1]
        await asyncio.wait_for(socket.wait_closed(), 5)
        assert socket.close_code == 1000


async def test_an_unknown_terminal_is_404(rig: Rig) -> None:
    path = rig.allow_terminal("1")
    rig.agent.terminals.clear()
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"ws://{rig.address}{path}")
    assert refused.value.response.status_code == 404


async def test_an_agent_that_is_silent_is_503(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.io.terminal.ATTACH_SECONDS", 0.2)
    rig.agent.is_silent = True
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"ws://{rig.address}{rig.allow_terminal('1')}")
    assert refused.value.response.status_code == 503


async def test_nonsense_closes_a_terminal_with_1008(rig: Rig) -> None:
    async with websockets.connect(f"ws://{rig.address}{rig.allow_terminal('1')}") as socket:
        await socket.send("nonsense")
        await asyncio.wait_for(socket.wait_closed(), 5)
        assert socket.close_code == 1008


async def test_a_client_that_answers_pings_stays_and_one_that_does_not_is_dropped(rig: Rig) -> None:
    path = rig.allow_terminal("1")
    async with websockets.connect(f"ws://{rig.address}{path}") as alive:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.proxy.port)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {rig.address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 101 " in await reader.readline()
        await eventually(lambda: len(rig.proxy.connections) == 2)
        await eventually(lambda: len(rig.proxy.connections) == 1, timeout=5)
        await asyncio.sleep(0.5)
        assert alive.state.name == "OPEN"
        writer.close()


async def test_connections_survive_an_agent_that_comes_back(rig: Rig) -> None:
    kernel = await rig.agent.start_kernel()
    async with rig.connect(kernel) as client:
        await client.execute("x = 1")
        await rig.agent.restart()
        assert "execute_result" in [m["header"]["msg_type"] for m in await client.execute("x")]
        await eventually(lambda: rig.agent.peers)
        await rig.agent.tell_kernel(kernel, state="dead", reason="killed")
        await asyncio.wait_for(client.socket.wait_closed(), 10)
        assert (client.socket.close_code, client.socket.close_reason) == (1012, "the kernel died: killed")


async def test_connections_are_closed_with_1012_when_the_agent_came_back_without_the_kernel(rig: Rig) -> None:
    kernel = await rig.agent.start_kernel()
    async with rig.connect(kernel) as client:
        await client.execute("x = 1")
        rig.agent.kernels[FakeKernel("other").kernel_id] = rig.agent.kernels.pop(kernel.kernel_id)
        await rig.agent.restart()
        await asyncio.wait_for(client.socket.wait_closed(), 10)
        assert client.socket.close_code == 1012


def test_the_proxy_loads_nothing_of_the_hub_and_none_of_its_libraries() -> None:
    code = """
import sys
import proxy.cli
loaded = {name.partition(".")[0] for name in sys.modules}
print(*sorted(loaded & {"hub", "sqlalchemy", "authlib", "docker", "jupyterlab_server", "jupyter_client", "pydantic"}))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == []
