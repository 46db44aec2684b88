"""hub.workspaces.agents: of a paused workspace the last word counts, and only a question lets it go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.domain.ids import WorkspaceId
from hub.errors import AgentSilent, EngineSilent
from hub.spawn.folders import Folders
from hub.workspaces import agents as agents_module
from hub.workspaces.agents import Agents, Live, ask
from proxy.contract.agent import ContainerInfo, Status, TerminalInfo
from proxy.kit.agent_client import AgentSilent as ClientSilent
from proxy.kit.clock import ManualClock

W = WorkspaceId("w" * 26)


class FakeClient:
    """Counts what is asked, and awaits what it is held by, as the real one does."""

    def __init__(self, *_: Any) -> None:
        self.resume: Callable[[], Awaitable[None]] | None = None
        self.asked: list[str] = []
        self.unanswered = 0

    def hold(self, resume: Callable[[], Awaitable[None]]) -> None:
        self.resume = resume

    def release(self) -> None:
        self.resume = None

    async def _ask(self, what: str) -> None:
        if self.resume is not None:
            await self.resume()
        self.asked.append(what)

    async def watch(self) -> None:
        await self._ask("watch")

    async def interrupt_kernel(self, kernel_id: str) -> None:
        await self._ask("interrupt")

    async def status(self) -> Status:
        await self._ask("status")
        return Status([], [TerminalInfo("1", 0.0, 0.0)], ContainerInfo(memory_bytes=100))

    async def close(self) -> None: ...


@pytest.fixture
def agents(data_dir: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Agents:
    monkeypatch.setattr(agents_module, "AgentClient", FakeClient)
    folders = Folders(data_dir, None, None)
    folders.run(W).mkdir(parents=True)
    return Agents(folders, clock)


def client_of(agents: Agents) -> FakeClient:
    client: Any = agents.client(W)
    assert isinstance(client, FakeClient)
    return client


async def test_the_last_status_counts_however_old_and_nothing_is_asked(agents: Agents, clock: ManualClock) -> None:
    await agents.status(W)

    async def resume() -> None:
        raise AssertionError("nobody needs it")

    agents.hold(W, resume)
    clock.advance(timedelta(hours=9))
    agents.forget_status(W)
    live = await agents.status(W, 0.0)
    assert [terminal.name for terminal in live.terminals] == ["1"]
    assert client_of(agents).asked == ["watch", "status"]
    agents.gave_back(W, 30)
    assert (await agents.status(W, 0.0)).container.memory_bytes == 70


async def test_a_question_lets_it_go_on_first_and_afterwards_it_is_asked_anew(agents: Agents) -> None:
    await agents.status(W)

    async def resume() -> None:
        client_of(agents).asked.append("thaw")
        agents.release(W)

    agents.hold(W, resume)
    await ask(agents.client(W).interrupt_kernel("k"))
    await agents.status(W)
    assert client_of(agents).asked == ["watch", "status", "thaw", "interrupt", "status"]


async def test_what_cannot_go_on_is_a_container_that_does_not_answer(agents: Agents) -> None:
    async def resume() -> None:
        raise EngineSilent("the engine is away")

    agents.hold(W, resume, Live(0.0, {}, [], ContainerInfo(), is_told=False))
    assert not (await agents.status(W)).is_told
    with pytest.raises(ClientSilent, match="the engine is away"):
        await client_of(agents).interrupt_kernel("k")
    with pytest.raises(AgentSilent):
        await ask(agents.client(W).interrupt_kernel("k"))
    with pytest.raises(EngineSilent):
        await agents.wake(W)
    await agents.drop(W)
    assert agents.is_held(W) and client_of(agents).resume is not None, "a connection that is made anew is held, too"
