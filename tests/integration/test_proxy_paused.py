"""Connections into a frozen container: held for as long as the hub says that it is paused, and its kernels' stillness.

The real kernel is stopped by SIGSTOP and the agent says nothing, as in a frozen container.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
from collections.abc import AsyncIterator

import pytest
import websockets

from proxy.io import agents
from proxy.kit.agent_client import AgentClient
from tests.harness.proxy_rig import FakeKernel, KernelClient, Rig, eventually, run_rig, text_of

PING_SECONDS = 0.1
SILENCE_SECONDS = 0.5
LONG = 2.0
"""Longer than all limits together: what an agent and a client have for a sign of life, and to come back."""


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = functools.partial(AgentClient, ping_seconds=PING_SECONDS, ping_timeout=SILENCE_SECONDS)
    monkeypatch.setattr(agents, "AgentClient", impatient)
    monkeypatch.setattr("proxy.io.terminal.AgentClient", impatient)
    monkeypatch.setattr(agents, "RETURN_SECONDS", SILENCE_SECONDS)
    monkeypatch.setattr(agents, "RETURN_PAUSE_SECONDS", PING_SECONDS)
    monkeypatch.setattr(agents, "ATTACH_SECONDS", SILENCE_SECONDS)
    monkeypatch.setattr("proxy.io.pauses.PATIENCE_SECONDS", PING_SECONDS)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    limits = {"report_seconds": 0.1, "ping_seconds": PING_SECONDS, "silence_seconds": SILENCE_SECONDS}
    async with run_rig(keeps_journals=True, **limits) as rig:
        yield rig


class Freezing:
    """Freezes what is in the rig as the hub does, and thaws it when the proxy asks; the first `failures` times not."""

    def __init__(self, rig: Rig, kernel: FakeKernel | None = None) -> None:
        self.rig, self.kernel = rig, kernel
        self.failures = 0
        self.takes_seconds = 0.0

    async def freeze(self) -> None:
        hub = self.rig.hub
        hub.reports.clear()
        await eventually(lambda: len(hub.reports) >= 2)  # else what was sent a moment ago asks for a thaw
        hub.paused, hub.on_thaw = ["w1"], self.thaw
        hub.reports.clear()
        await eventually(lambda: any(report["paused"] == ["w1"] for report in hub.reports))
        self._signal(signal.SIGSTOP)
        self.rig.agent.is_silent = True

    async def thaw(self) -> bool:
        await asyncio.sleep(self.takes_seconds)
        self.failures -= 1
        if self.failures >= 0:
            return False
        self.rig.agent.is_silent = False
        self._signal(signal.SIGCONT)
        return True

    def _signal(self, number: int) -> None:
        if self.kernel is not None and self.kernel.process is not None:
            os.kill(self.kernel.process.pid, number)


async def ask_variable(client: KernelClient) -> str:
    return text_of(await client.execute("print(variable)"))


async def test_a_paused_kernel_keeps_its_clients_for_longer_than_any_limit_and_wakes_for_one(rig: Rig) -> None:
    kernel = await rig.agent.start_kernel()
    freezing = Freezing(rig, kernel)
    async with rig.connect(kernel) as client, rig.connect(kernel) as other:
        await client.execute("variable = 'kept'")
        for asking in (client, other):
            rig.hub.thaws.clear()
            await freezing.freeze()
            await asyncio.sleep(LONG)
            assert rig.hub.thaws == [], "nobody has asked for anything"
            assert await ask_variable(asking) == "kept\n"
            assert rig.hub.thaws == ["w1"]
            await eventually(lambda: rig.hub.reports[-1]["paused"] == [])


async def test_a_message_waits_for_a_hub_that_is_away_and_no_message_is_lost_meanwhile(rig: Rig) -> None:
    kernel = await rig.agent.start_kernel()
    freezing = Freezing(rig, kernel)
    async with rig.connect(kernel) as client:
        await client.execute("seen = []")
        await freezing.freeze()
        freezing.failures, freezing.takes_seconds = 2, SILENCE_SECONDS
        content = {"silent": False, "store_history": True, "allow_stdin": False}
        for number in range(50):
            await client.send("execute_request", {**content, "code": f"seen.append({number})"})
        assert text_of(await client.execute("print(seen == list(range(50)))")) == "True\n"
        assert rig.hub.thaws == ["w1"] * 3, "one question at a time, however many messages wait"


async def test_more_than_the_sockets_hold_is_kept_back_at_the_client_until_it_goes_on(rig: Rig) -> None:
    kernel = await rig.agent.start_kernel()
    freezing = Freezing(rig, kernel)
    async with rig.connect(kernel) as client:
        await client.execute("size = 0")
        await freezing.freeze()
        freezing.takes_seconds = LONG
        content = {"silent": True, "store_history": False, "allow_stdin": False}
        for _ in range(64):
            await client.send("execute_request", {**content, "code": "size += 1"}, buffers=(bytes(256 << 10),))
        assert text_of(await client.execute("print(size)")) == "64\n"


async def test_a_terminal_is_held_too_and_what_is_typed_arrives_in_order(rig: Rig) -> None:
    freezing = Freezing(rig)
    async with websockets.connect(f"ws://{rig.address}{rig.allow_terminal('1')}") as socket:
        await socket.recv()
        await freezing.freeze()
        freezing.failures, freezing.takes_seconds = 1, SILENCE_SECONDS
        await asyncio.sleep(LONG)
        for data in "ls\r":
            await socket.send(json.dumps(["stdin", data]))
        await eventually(lambda: len(rig.agent.inputs) == 3)
        assert (rig.agent.inputs, rig.hub.thaws) == (["l", "s", "\r"], ["w1", "w1"])


async def test_who_leaves_a_paused_kernel_wakes_nobody(rig: Rig) -> None:
    kernel = await rig.agent.start_kernel()
    freezing = Freezing(rig, kernel)
    async with rig.connect(kernel) as client:
        await client.execute("variable = 'kept'")
        async with rig.connect(kernel):
            await freezing.freeze()
        await asyncio.sleep(LONG)
        assert rig.hub.thaws == []
        assert await ask_variable(client) == "kept\n"


async def test_a_kernel_that_is_stopped_without_a_word_keeps_its_clients_while_its_agent_answers(rig: Rig) -> None:
    kernel = await rig.agent.start_kernel()
    assert kernel.process is not None
    async with rig.connect(kernel) as client, rig.connect(kernel) as other:
        await client.execute("variable = 'kept'")
        os.kill(kernel.process.pid, signal.SIGSTOP)
        try:
            asked = await client.send("execute_request", {"code": "print(variable)", "silent": False})
            await asyncio.sleep(LONG)
        finally:
            os.kill(kernel.process.pid, signal.SIGCONT)
        assert text_of(await client.answers(asked)) == "kept\n"
        assert await ask_variable(other) == "kept\n"


async def test_an_agent_that_is_silent_and_not_paused_is_lost_as_ever(rig: Rig) -> None:
    kernel = await rig.agent.start_kernel()
    async with rig.connect(kernel) as client:
        await client.execute("1")
        rig.agent.is_silent = True
        with pytest.raises(websockets.ConnectionClosed) as closed:
            while True:
                await client.receive()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
