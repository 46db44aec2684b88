"""An agent client that is held: its agent's silence is no loss, and a request first has the container go on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.kit import agent_client as module
from proxy.kit.agent_client import AgentClient, AgentSilent
from tests.harness.proxy_rig import short_folder
from tests.unit.proxy.kit.test_agent_client import ScriptedAgent, until

PING_SECONDS = 0.02


class Frozen:
    """A container that is paused: its agent says nothing until `resume` has been let through."""

    def __init__(self, agent: ScriptedAgent) -> None:
        self.agent = agent
        self.thaws = 0
        self.may_thaw = asyncio.Event()
        self.error: AgentSilent | None = None
        agent.script = lambda request: None

    async def resume(self) -> None:
        self.thaws += 1
        await self.may_thaw.wait()
        if self.error is not None:
            raise self.error
        self.agent.script = lambda request: {}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "CHECK_SECONDS", PING_SECONDS)
    yield


@pytest.fixture
async def agent() -> AsyncIterator[ScriptedAgent]:
    async with short_folder() as folder:
        agent = ScriptedAgent(folder)
        yield agent
        agent.close()


@pytest.fixture
async def client(agent: ScriptedAgent) -> AsyncIterator[AgentClient]:
    folder: Path = agent._path.parent
    client = AgentClient(folder, os.getuid(), ping_seconds=PING_SECONDS, ping_timeout=PING_SECONDS)
    await client.ping()
    yield client
    await client.close()


def pings(agent: ScriptedAgent) -> int:
    return sum(request["op"] == "ping" for request in agent.heard)


async def test_the_silence_of_a_held_agent_is_no_loss_and_it_is_not_pinged(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    lost: list[bool] = []
    client.on_lost = lambda: lost.append(True)
    frozen = Frozen(agent)
    client.hold(frozen.resume)
    before = pings(agent)
    await asyncio.sleep(20 * PING_SECONDS)
    assert (client.connected, lost, frozen.thaws) == (True, [], 0)
    assert pings(agent) - before <= 1, "one was under way, perhaps"
    client.release()
    await until(lambda: lost)
    assert not client.held, "released, its silence is a loss again"


async def test_a_ping_that_was_under_way_when_it_was_held_loses_nothing(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    lost: list[bool] = []
    client.on_lost = lambda: lost.append(True)
    frozen, before = Frozen(agent), pings(agent)
    await until(lambda: pings(agent) > before)
    client.hold(frozen.resume)
    await asyncio.sleep(10 * PING_SECONDS)
    assert (client.connected, lost) == (True, [])


async def test_requests_wait_for_one_thaw_and_are_sent_after_it(agent: ScriptedAgent, client: AgentClient) -> None:
    frozen = Frozen(agent)
    client.hold(frozen.resume)
    asked = [asyncio.create_task(client.watch()) for _ in range(5)]
    await until(lambda: frozen.thaws)
    assert not [request for request in agent.heard if request["op"] == "watch"], "nothing is sent into a frozen one"
    frozen.may_thaw.set()
    await asyncio.gather(*asked)
    assert frozen.thaws == 1


async def test_a_thaw_that_cannot_be_is_silence_for_all_who_wait_and_the_next_asks_anew(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    frozen = Frozen(agent)
    frozen.error = AgentSilent("the engine does not answer")
    frozen.may_thaw.set()
    client.hold(frozen.resume)
    told = await asyncio.gather(*(client.watch() for _ in range(3)), return_exceptions=True)
    assert [str(each) for each in told] == ["the engine does not answer"] * 3
    assert (frozen.thaws, client.held, client.connected) == (1, True, True)
    frozen.error = None
    await client.watch()
    assert frozen.thaws == 2


async def test_who_stops_waiting_does_not_end_the_thaw_of_the_others(agent: ScriptedAgent, client: AgentClient) -> None:
    frozen = Frozen(agent)
    client.hold(frozen.resume)
    first, second = (asyncio.create_task(client.watch()) for _ in range(2))
    await until(lambda: frozen.thaws)
    first.cancel()
    frozen.may_thaw.set()
    await second
    assert frozen.thaws == 1


async def test_a_note_is_sent_without_a_thaw(agent: ScriptedAgent, client: AgentClient) -> None:
    frozen = Frozen(agent)
    client.hold(frozen.resume)
    client.note_request("k", msg_id="m", session="s", msg_type="execute_request", cell_id="c")
    await until(lambda: any(request["op"] == "journal.note" for request in agent.heard))
    assert frozen.thaws == 0
