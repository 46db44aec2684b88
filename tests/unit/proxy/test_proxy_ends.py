"""A kernel that ended together with its agent: the hub is asked, and front ends are told why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from proxy.contract.close_codes import CloseCode
from proxy.contract.ends import EndsAnswer, EndsQuestion, KernelEnd
from proxy.core.bridge import Phase, Standing
from proxy.core.bridge_terms import (
    ClientSent,
    Close,
    CloseSockets,
    FindPlace,
    JournalAway,
    KernelEnded,
    KernelObserved,
    PlaceFound,
    ReadJournal,
)
from proxy.core.frames import V1Framing
from proxy.errors import HubAway
from proxy.io import agents
from proxy.io.agents import Listener, SharedAgent
from proxy.io.hub_client import HubClient
from proxy.kit.journal_format import identity_of
from tests.unit.proxy.test_proxy_catch_up import MINE, Play, live, message, read, record

INPUT = message(4, "execute_input", MINE, code="cell", execution_count=7)


class Hub:
    """Answers as it is told: a list of ended kernels, or None when it is away."""

    def __init__(self, *answers: list[KernelEnd] | None) -> None:
        self.answers = list(answers)
        self.questions: list[EndsQuestion] = []

    async def ask(self, path: str, question: EndsQuestion, answer: Any, deadline_seconds: float) -> EndsAnswer:
        assert (path, answer) == ("/internal/ends", EndsAnswer)
        assert deadline_seconds > 3.0, "the hub may hold its answer for so long"
        self.questions.append(question)
        ended = self.answers.pop(0)
        if ended is None:
            raise HubAway("the hub did not answer")
        return EndsAnswer(ended)


class Heard:
    """What a connection heard."""

    def __init__(self) -> None:
        self.ended: list[str | None] = []
        self.gone = 0

    def listener(self) -> Listener:
        def on_gone() -> None:
            self.gone += 1

        return Listener(lambda _: None, self.ended.append, on_gone)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "ENDS_PAUSES", (0.01,))


class Loss:
    """An agent with two kernels that somebody is connected to, which is lost."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.agent = SharedAgent(folder, 1, "w-1", hub)  # type: ignore[arg-type]
        self.heard = {"k-1": Heard(), "k-2": Heard()}
        for kernel_id, heard in self.heard.items():
            self.agent._listeners[kernel_id] = {object(): heard.listener()}

    async def happen(self) -> None:
        self.agent.client.on_lost()
        assert self.agent._asking is not None
        await asyncio.wait_for(self.agent._asking, 5.0)


@pytest.fixture
async def lose(tmp_path: Path) -> AsyncIterator[Any]:
    losses: list[Loss] = []

    async def lose(*answers: list[KernelEnd] | None) -> tuple[Loss, Hub]:
        hub = Hub(*answers)
        losses.append(Loss(tmp_path, hub))
        await losses[-1].happen()
        return losses[-1], hub

    yield lose
    for loss in losses:
        await loss.agent.close()


async def test_the_hub_is_asked_about_the_kernels_in_use_and_each_is_told_its_own_end(lose: Any) -> None:
    loss, hub = await lose([KernelEnd("k-1", "killed", by_user=False), KernelEnd("k-2", "mine", by_user=True)], [])
    assert hub.questions[0] == EndsQuestion("w-1", ["k-1", "k-2"])
    assert loss.heard["k-1"].ended == ["killed"]
    assert loss.heard["k-2"].ended == [None], "its user need not be told"


async def test_a_kernel_that_is_not_listed_is_waited_for_as_ever(lose: Any) -> None:
    loss, hub = await lose([KernelEnd("k-1", "killed", by_user=False)], [])
    assert loss.heard["k-2"].ended == [] and loss.heard["k-2"].gone == 0
    assert len(hub.questions) == 2, "a hub that was not sure is asked again"


async def test_a_hub_that_is_away_ends_nobody_and_is_asked_again(lose: Any) -> None:
    loss, hub = await lose(None, [KernelEnd("k-1", "killed", by_user=False)])
    assert len(hub.questions) == 2
    assert loss.heard["k-1"].ended == ["killed"] and loss.heard["k-2"].ended == []


@pytest.mark.parametrize("status", [404, 403, 500])
async def test_a_hub_that_knows_nothing_of_such_questions_ends_nobody(tmp_path: Path, status: int) -> None:
    """Such as one of the release before, which is still there while proxies are replaced."""
    asked: list[str] = []

    async def refuse(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        return web.json_response({"message": "no"}, status=status)

    async with RawTestServer(refuse) as server:
        hub = HubClient(str(server.make_url("")), "token")
        hub.start()
        loss = Loss(tmp_path, hub)  # type: ignore[arg-type]
        await loss.happen()
        assert asked == ["/internal/ends"] * 2, "it is asked again"
        assert all(heard.ended == [] and heard.gone == 0 for heard in loss.heard.values())
        await loss.agent.close()
        await hub.close()


def ask(play: Play, msg_id: str) -> None:
    """The client sends an execute request."""
    header = {"msg_id": msg_id, "msg_type": "execute_request", "session": "s"}
    payload = V1Framing().encode("shell", [json.dumps(part).encode() for part in (header, {}, {}, {"code": "1"})])
    play.feed(ClientSent(b"".join(bytes(piece) for piece in payload.pieces)))


def running(base: int | None) -> Play:
    """A client whose first cell runs and whose second one waits."""
    play = Play(Standing(base=base))
    play.open()
    play.feed(live(message(3, "status")))
    ask(play, "cell")
    ask(play, "next")
    play.feed(live(INPUT))
    assert play.bridge.phase is Phase.LIVE
    play.told.clear()
    return play


def ends(play: Play) -> list[tuple[str, str, str]]:
    """What was told: channel, type and the request it belongs to."""
    return [(channel, told["header"]["msg_type"], told["parent"].get("msg_id", "")) for channel, told in play.told]


CLOSED_CELLS = [
    ("shell", "execute_reply", "cell"),
    ("iopub", "status", "cell"),
    ("shell", "execute_reply", "next"),
    ("iopub", "status", "next"),
]


def test_last_words_then_the_reason_in_the_cell_that_ran_then_the_ends_of_all_then_1012() -> None:
    play = running(3)
    play.feed(KernelEnded("killed by an administrator"))
    assert not play.asked(FindPlace).fresh, "nobody is there to write more"
    play.feed(PlaceFound(play.asked(FindPlace).turn, 4))
    assert not play.asked(ReadJournal).fresh
    assert play.asked(Close) is None
    read(play, record(5, message(5, "stream", MINE, name="stdout", text="last words")))
    assert ends(play) == [("iopub", "stream", "cell"), ("iopub", "error", "cell"), *CLOSED_CELLS]
    error, reply = play.told[1][1]["content"], play.told[2][1]["content"]
    assert (error["ename"], error["evalue"]) == ("KernelDied", "killed by an administrator")
    assert "killed by an administrator" in error["traceback"][0]
    assert (reply["status"], reply["evalue"], reply["execution_count"]) == ("error", error["evalue"], 7)
    assert play.told[3][1]["content"] == {"execution_state": "idle"}
    assert play.commands[-1] == Close(CloseCode.SERVICE_RESTART, "killed by an administrator")


def test_a_cell_that_the_agent_could_close_is_not_closed_twice() -> None:
    play = running(3)
    play.feed(KernelEnded("killed"))
    play.feed(PlaceFound(play.asked(FindPlace).turn, 4))
    said = message(5, "error", MINE, ename="KernelStopped", evalue="by the agent", traceback=[])
    read(play, record(5, said), record(6, message(6, "status", MINE, execution_state="idle")))
    assert [kind for _, kind, parent in ends(play) if parent == "cell"] == ["error", "execute_reply", "status"]
    (_, told) = play.told[3]
    assert told["parent"]["msg_id"] == "next" and "before this cell ran: killed" in told["content"]["traceback"][0]
    assert play.asked(Close) is not None


def test_a_cell_that_the_journal_leaves_open_is_told_the_reason_that_the_agent_gives() -> None:
    play = running(3)
    play.feed(KernelObserved("dead", 1, "stopped by an administrator"))
    play.feed(PlaceFound(play.asked(FindPlace).turn, 4))
    play.feed(JournalAway(play.asked(ReadJournal).turn))
    assert ends(play) == [("iopub", "error", "cell"), *CLOSED_CELLS]
    assert play.told[0][1]["content"]["evalue"] == "stopped by an administrator"


def test_an_agent_that_is_lost_while_the_last_words_are_read_is_not_waited_for() -> None:
    play = running(3)
    play.feed(KernelObserved("dead", 1, "stopped by an administrator"))
    former = play.asked(FindPlace)
    play.feed(KernelEnded("stopped by an administrator"))
    assert former.fresh and not play.asked(FindPlace).fresh
    assert play.feed(PlaceFound(former.turn, 4)) == []
    play.feed(JournalAway(former.turn + 1))
    assert ends(play) == [("iopub", "error", "cell"), *CLOSED_CELLS]


def test_while_somebody_else_ends_the_kernel_only_its_journal_is_believed() -> None:
    play = running(3)
    play.feed(KernelObserved("busy", 1, "stopped by an administrator", is_ending=True))
    assert play.bridge.phase is Phase.PARTING and play.commands == [CloseSockets()]
    forced = message(5, "error", MINE, ename="KeyboardInterrupt", evalue="", traceback=[])
    assert play.feed(live(forced)) == [], "what was on its way"
    ask(play, "late")
    assert play.feed(KernelObserved("busy", 1, "stopped by an administrator", is_ending=True)) == []
    play.feed(KernelObserved("dead", 1, "stopped by an administrator"))
    assert play.asked(FindPlace).identity == identity_of(INPUT[0]), "from what it was told last"
    play.feed(PlaceFound(play.asked(FindPlace).turn, 4))
    said = message(6, "error", MINE, ename="KernelStopped", evalue="stopped by an administrator", traceback=[])
    read(play, record(5, said), record(6, message(7, "status", MINE, execution_state="idle")))
    assert ends(play) == [("iopub", "error", "cell"), *CLOSED_CELLS]
    replies = [told["content"] for channel, told in play.told if channel == "shell"]
    assert [(reply["ename"], reply["evalue"]) for reply in replies] == [
        ("KernelStopped", "stopped by an administrator")
    ] * 2
    assert play.commands[-1] == Close(CloseCode.SERVICE_RESTART, "the kernel was ended: stopped by an administrator")


def test_an_agent_that_is_lost_while_it_ends_the_kernel_is_not_waited_for() -> None:
    play = running(3)
    play.feed(KernelObserved("busy", 1, "stopped by an administrator", is_ending=True))
    play.feed(KernelEnded("stopped by an administrator"))
    assert not play.asked(FindPlace).fresh
    play.feed(JournalAway(play.asked(FindPlace).turn))
    assert ends(play) == [("iopub", "error", "cell"), *CLOSED_CELLS]
    assert play.told[0][1]["content"]["ename"] == "KernelStopped"


def test_who_comes_back_while_the_kernel_is_ended_hears_of_it_from_the_journal() -> None:
    play = Play(Standing(identity=b"i" * 8, base=1, is_return=True))
    assert play.feed(KernelObserved("busy", 1, "too old", is_ending=True)) == [], "no sockets are opened"
    play.feed(KernelObserved("dead", 1, "too old"))
    assert play.asked(FindPlace).identity == b"i" * 8
    play.feed(PlaceFound(play.asked(FindPlace).turn, 4))
    read(play, record(5, message(6, "error", MINE, ename="KernelStopped", evalue="too old", traceback=[])))
    assert play.kinds == ["error"] and play.commands[-1] == Close(
        CloseCode.SERVICE_RESTART, "the kernel was ended: too old"
    )


@pytest.mark.parametrize("base", [3, None], ids=["journal", "no journal"])
def test_who_ended_it_himself_is_told_no_reason(base: int | None) -> None:
    play = running(base)
    play.feed(KernelEnded(None))
    if base is not None:
        play.feed(PlaceFound(play.asked(FindPlace).turn, 4))
        read(play)
    assert ends(play) == CLOSED_CELLS
    assert play.told[0][1]["content"]["status"] != "ok"
    assert play.commands[-1] == Close(CloseCode.SERVICE_RESTART, "the kernel has ended")
    assert json.dumps(play.told).count("KernelDied") == 0
