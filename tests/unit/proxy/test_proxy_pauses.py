"""What a proxy does about paused workspaces: held clients, one question for a thaw, no belief in old news."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.contract.thaw import ThawAnswer, ThawQuestion
from proxy.errors import HubAway
from proxy.io import pauses as module
from proxy.io.pauses import Pauses


class Hub:
    """Answers as it is told, when it is let; None means that it is away."""

    def __init__(self, *answers: ThawAnswer | None) -> None:
        self.answers = list(answers)
        self.questions: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self, path: str, question: ThawQuestion, answer: Any, deadline_seconds: float) -> ThawAnswer:
        assert (path, answer) == ("/internal/thaw", ThawAnswer)
        self.questions.append(question.workspace_id)
        await self.may_answer.wait()
        told = self.answers.pop(0) if self.answers else ThawAnswer(True)
        if told is None:
            raise HubAway("the hub did not answer")
        return told


class Client:
    """Stands for an agent's client."""

    def __init__(self) -> None:
        self.resume: Callable[[], Awaitable[None]] | None = None

    def hold(self, resume: Callable[[], Awaitable[None]]) -> None:
        self.resume = resume

    def release(self) -> None:
        self.resume = None


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)


def now() -> float:
    return asyncio.get_running_loop().time()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0)


async def test_a_paused_workspace_holds_its_clients_and_is_reported_until_a_message_wakes_it() -> None:
    hub, client, other = Hub(), Client(), Client()
    pauses = Pauses(hub)  # type: ignore[arg-type]
    with pauses.holding("w", client), pauses.holding("w", client), pauses.holding("v", other):  # type: ignore[arg-type]
        pauses.wake("w")
        assert hub.questions == [], "nothing is paused"
        pauses.learn(now(), ["w", "nobody-here"])
        assert (pauses.workspaces, client.resume is None, other.resume is None) == (["w"], False, True)
        hub.may_answer.clear()
        for _ in range(3):
            pauses.wake("w")
        await until(lambda: bool(hub.questions))
        pauses.learn(now(), [])
        assert pauses.workspaces == ["w"], "it is, until its thaw is answered"
        hub.may_answer.set()
        await until(lambda: client.resume is None)
        assert (pauses.workspaces, hub.questions) == ([], ["w"])
    await pauses.close()


async def test_news_that_is_older_than_a_thaw_pauses_nothing() -> None:
    hub, client = Hub(), Client()
    pauses = Pauses(hub)  # type: ignore[arg-type]
    with pauses.holding("w", client):  # type: ignore[arg-type]
        asked_at = now()
        pauses.learn(asked_at, ["w"])
        pauses.wake("w")
        await until(lambda: client.resume is None)
        pauses.learn(asked_at, ["w"])
        assert (pauses.workspaces, client.resume) == ([], None)
        pauses.learn(now() + 1, ["w"])
        assert pauses.workspaces == ["w"]
        pauses.learn(now() + 2, [])
        assert (pauses.workspaces, client.resume) == ([], None), "somebody else had it thawed"
    await pauses.close()


async def test_a_hub_that_is_away_or_cannot_is_asked_again() -> None:
    hub, client = Hub(None, ThawAnswer(False, "the engine is silent", again=True), None), Client()
    pauses = Pauses(hub)  # type: ignore[arg-type]
    with pauses.holding("w", client):  # type: ignore[arg-type]
        pauses.learn(now(), ["w"])
        assert client.resume is not None
        await client.resume()
        assert (hub.questions, client.resume) == (["w"] * 4, None)
    await pauses.close()


async def test_one_that_runs_no_more_is_not_waited_for() -> None:
    hub, client = Hub(ThawAnswer(False, "it was stopped")), Client()
    pauses = Pauses(hub)  # type: ignore[arg-type]
    with pauses.holding("w", client):  # type: ignore[arg-type]
        pauses.learn(now(), ["w"])
        pauses.wake("w")
        await until(lambda: client.resume is None)
    assert hub.questions == ["w"]
    await pauses.close()


async def test_a_request_to_a_paused_agent_gives_up_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    hub, client = Hub(), Client()
    hub.may_answer.clear()
    pauses = Pauses(hub)  # type: ignore[arg-type]
    with pauses.holding("w", client):  # type: ignore[arg-type]
        pauses.learn(now(), ["w"])
        assert client.resume is not None
        with pytest.raises(module.AgentSilent, match="paused"):
            await client.resume()
        assert pauses.workspaces == ["w"], "and is asked for still"
    assert pauses.workspaces == [], "until nobody is connected"
    await pauses.close()


async def test_who_comes_while_it_is_paused_is_held_as_well() -> None:
    hub, client, later = Hub(), Client(), Client()
    pauses = Pauses(hub)  # type: ignore[arg-type]
    with pauses.holding("w", client):  # type: ignore[arg-type]
        pauses.learn(now(), ["w"])
        with pauses.holding("w", later):  # type: ignore[arg-type]
            assert later.resume is not None
            await later.resume()
            assert (client.resume, later.resume) == (None, None)
    await pauses.close()


async def test_news_that_comes_after_a_message_was_sent_there_wakes_it_at_once() -> None:
    hub, client, other = Hub(), Client(), Client()
    pauses = Pauses(hub)  # type: ignore[arg-type]
    with pauses.holding("w", client), pauses.holding("v", other):  # type: ignore[arg-type]
        pauses.wake("v")
        before = now() + 0.001
        pauses.learn(before, [])
        await asyncio.sleep(0.002)
        pauses.wake("w")
        assert hub.questions == [], "nobody has said that it is paused"
        pauses.learn(now(), ["v", "w"])
        await until(lambda: client.resume is None)
        assert (hub.questions, pauses.workspaces) == (["w"], ["v"]), "the other rests since the report before"
    await pauses.close()
