"""Catching up, as transcripts and by chance: whatever happens, the client is told what the kernel published, once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import count
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.bridge import FRUITLESS, Bridge, Phase, Standing
from proxy.core.bridge_terms import (
    ClientSent,
    CloseSockets,
    Command,
    Event,
    FindPlace,
    JournalAway,
    JournalRead,
    KernelObserved,
    KernelSent,
    OpenSockets,
    PatienceEnded,
    PlaceFound,
    Probe,
    ReadJournal,
    SocketsOpened,
    ToClient,
    ToKernel,
)
from proxy.core.catch_up import CatchUp
from proxy.core.executions import MOST, Executions
from proxy.core.frames import V1Framing
from proxy.core.messages import make_minter
from proxy.core.sorting import Sorter
from proxy.core.tagged import Effect, Step
from proxy.core.wire import Signer
from proxy.kit.journal_format import Kind, Record, identity_of

SIGNER = Signer(b"key")
MINE = {"msg_id": "cell", "session": "s", "msg_type": "execute_request"}


def message(
    number: int, kind: str = "display_data", parent: dict[str, str] | None = None, **content: Any
) -> list[bytes]:
    header = {"msg_id": f"m{number}", "msg_type": kind, "session": "kernel"}
    return [json.dumps(part).encode() for part in (header, parent or {}, {}, content)]


def record(seq: int, parts: list[bytes]) -> Record:
    return Record(seq, Kind.MESSAGE, 1.0, parts)


def live(*messages: list[bytes], channel: str = "iopub") -> KernelSent:
    return KernelSent(channel, [[b"topic", *(bytes(f) for f in SIGNER.pack(parts))] for parts in messages])


class Play:
    """A bridge with what it told its client, and what it asks for."""

    def __init__(self, standing: Standing) -> None:
        ids = count(1)
        mint = make_minter("proxy", lambda: f"id-{next(ids)}", lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.bridge = Bridge(V1Framing(), mint, sorter=Sorter("s", "agent"), standing=standing)
        self.commands: list[Command] = []
        self.told: list[tuple[str, dict[str, Any]]] = []

    def feed(self, event: Event) -> list[Command]:
        self.commands = self.bridge.handle(event)
        for command in self.commands:
            if isinstance(command, ToClient):
                for parts in command.messages:
                    header, parent, _, content = (json.loads(bytes(part)) for part in parts[:4])
                    self.told.append((command.channel, {"header": header, "parent": parent, "content": content}))
        return self.commands

    def asked(self, kind: type[Any]) -> Any:
        return next((command for command in self.commands if isinstance(command, kind)), None)

    def open(self) -> None:
        self.feed(KernelObserved("busy", 1))
        self.feed(SocketsOpened(1, SIGNER))

    @property
    def ids(self) -> list[str]:
        return [told["header"]["msg_id"] for _, told in self.told]

    @property
    def kinds(self) -> list[str]:
        return [told["header"]["msg_type"] for _, told in self.told]


def behind(**standing: Any) -> Play:
    play = Play(Standing(**{"identity": b"i" * 8, "base": 1, "is_return": True, **standing}))
    play.open()
    assert play.asked(FindPlace).identity == b"i" * 8
    play.feed(PlaceFound(play.asked(FindPlace).turn, 3))
    return play


def read(play: Play, *records: Record, complete: bool = True) -> None:
    play.feed(JournalRead(play.asked(ReadJournal).turn, list(records), complete))


def test_the_journal_is_told_up_to_where_the_live_messages_begin() -> None:
    play = behind()
    asked = play.commands
    play.feed(live(message(6), message(7)))
    play.commands = asked
    read(play, *(record(n, message(n)) for n in range(4, 8)))
    assert play.ids == ["m4", "m5", "m6", "m7"]
    assert play.bridge.phase is Phase.LIVE
    play.feed(live(message(8)))
    assert play.ids[-1] == "m8"


def test_what_the_journal_has_lost_is_told_beneath_the_cell_that_goes_on_and_once() -> None:
    """The record after a hole is never a message: a segment begins with how much is gone."""
    play = behind()
    gap = Record(40, Kind.GAP, 1.0, note={"messages": 36, "bytes": 3600})
    read(play, gap, complete=False)
    assert play.told == []
    read(play, record(41, message(41, parent=MINE)), record(42, message(42, parent=MINE)))
    assert play.kinds == ["stream", "display_data", "display_data"]
    _, marker = play.told[0]
    assert marker["parent"] == MINE and marker["content"]["name"] == "stderr"
    assert "[36 messages of this kernel were lost here" in marker["content"]["text"]


def test_what_the_journal_has_lost_is_told_when_nothing_follows() -> None:
    play = behind()
    read(play, Record(40, Kind.GAP, 1.0, note={"messages": 36, "bytes": 3600}))
    assert play.kinds == ["stream"]


def test_requests_go_as_soon_as_the_kernel_is_heard_also_while_the_client_is_behind() -> None:
    play = behind()
    payload = V1Framing().encode("control", message(0, "interrupt_request"))
    request = ClientSent(b"".join(bytes(piece) for piece in payload.pieces))
    play.feed(request)
    assert play.asked(ToKernel) is None
    play.feed(live(message(9)))
    assert play.asked(ToKernel) is not None
    assert play.asked(Probe) is not None  # whose answer the journal will have
    play.feed(request)
    assert play.asked(ToKernel) is not None


def test_a_quiet_kernel_is_asked_so_that_its_answer_marks_the_place() -> None:
    play = behind()
    read(play)
    turn = play.asked(ReadJournal).turn
    play.feed(PatienceEnded(1))
    assert play.asked(Probe) is not None
    answer = message(4, "status", {"msg_type": "kernel_info_request", "username": "kernelhub"}, execution_state="busy")
    play.feed(live(answer))
    play.feed(JournalRead(play.asked(ReadJournal).turn if play.asked(ReadJournal) else turn, [record(4, answer)], True))
    assert play.bridge.phase is Phase.LIVE
    assert play.told == []


def test_a_journal_that_never_meets_what_is_live_is_given_up() -> None:
    play = behind()
    asked = play.commands
    play.feed(live(message(9)))
    play.commands = asked
    for _ in range(FRUITLESS + 1):
        read(play)
    assert play.bridge.phase is Phase.LIVE
    assert play.ids == ["m9"]


def test_without_a_journal_what_is_live_is_told() -> None:
    play = behind()
    turn = play.asked(ReadJournal).turn
    play.feed(live(message(9)))
    play.feed(JournalAway(turn))
    assert (play.ids, play.bridge.phase) == (["m9"], Phase.LIVE)


def test_what_the_journal_has_lost_is_said_in_the_cell_that_goes_on() -> None:
    play = behind()
    read(play, record(10, message(10, "stream", MINE, name="stdout", text="x")))
    note = play.told[0][1]
    assert note["content"]["name"] == "stderr"
    assert "6 messages" in note["content"]["text"]
    assert (note["parent"], note["header"]["session"]) == (MINE, "kernel")


def test_a_reply_that_is_gone_is_made_again_before_the_end_of_its_execution() -> None:
    play = behind()
    read(
        play,
        record(4, message(4, "execute_input", MINE, code="6*7", execution_count=3)),
        record(5, message(5, "status", MINE, execution_state="idle")),
        complete=False,
    )
    assert play.kinds == ["execute_input", "execute_reply", "status"]
    channel, reply = play.told[1]
    assert (channel, reply["parent"], reply["header"]["session"]) == ("shell", MINE, "kernel")
    assert (reply["content"]["status"], reply["content"]["execution_count"]) == ("ok", 3)
    play.feed(live(message(6, "execute_reply", MINE, status="ok"), channel="shell"))
    assert play.kinds.count("execute_reply") == 1


def test_the_kernels_own_reply_is_preferred_when_it_comes_first() -> None:
    play = behind()
    asked = play.commands
    play.feed(live(message(6, "execute_reply", MINE, status="ok"), channel="shell"))
    play.commands = asked
    read(play, record(4, message(4, "status", MINE, execution_state="idle")))
    assert play.ids == ["m6", "m4"]


def test_a_reply_that_the_client_has_is_not_made_again_and_one_that_it_lacks_is() -> None:
    has = Executions()
    has.note(Effect(Step.REPLY, "cell"))
    play = behind(executions=has)
    read(play, record(4, message(4, "status", MINE, execution_state="idle")))
    assert play.kinds == ["status"]

    lacks = Executions()
    lacks.note(Effect(Step.INPUT, "cell", 8))
    lacks.note(Effect(Step.IDLE, "cell"))
    play = Play(Standing(b"i" * 8, 1, is_return=True, executions=lacks))
    play.open()
    assert play.asked(FindPlace).look_back
    play.feed(
        PlaceFound(play.asked(FindPlace).turn, 3, 0, [record(3, message(3, "status", MINE, execution_state="idle"))])
    )
    assert play.kinds == ["execute_reply"]
    assert play.told[0][1]["content"]["execution_count"] == 8


def test_an_error_in_the_journal_is_an_error_in_the_reply() -> None:
    play = behind()
    read(
        play,
        record(4, message(4, "error", MINE, ename="ZeroDivisionError", evalue="division by zero", traceback=["t"])),
        record(5, message(5, "status", MINE, execution_state="idle")),
    )
    content = play.told[1][1]["content"]
    assert (content["status"], content["ename"], content["traceback"]) == ("error", "ZeroDivisionError", ["t"])


def test_last_words_come_from_the_journal_before_the_news_of_a_death() -> None:
    play = Play(Standing(base=3))
    play.open()
    play.feed(live(message(4, "status", MINE, execution_state="busy")))
    assert play.bridge.phase is Phase.LIVE
    play.feed(KernelObserved("restarting", 1, "out of memory"))
    assert play.commands[0] == CloseSockets()
    find = play.asked(FindPlace)
    assert find.identity == identity_of(message(4, "status", MINE, execution_state="busy")[0])
    play.feed(KernelObserved("idle", 2, "out of memory"))
    play.feed(PlaceFound(find.turn, 4))
    note = {"generation": 1, "reason": "out of memory", "exit_status": -9, "asked": False}
    read(
        play,
        record(5, message(5, "error", MINE, ename="KernelDied", evalue="out of memory", traceback=[])),
        record(6, message(6, "status", MINE, execution_state="idle")),
        Record(7, Kind.DEATH, 1.0, note=note),
        record(8, message(8, "status", execution_state="starting")),
    )
    assert play.kinds == ["status", "error", "execute_reply", "status", "status"]
    assert play.told[-1][1]["content"] == {"execution_state": "restarting"}
    assert play.asked(OpenSockets) == OpenSockets(2)


def test_what_the_agent_asks_and_hears_is_not_told() -> None:
    play = Play(Standing(base=3))
    play.open()
    agents = {"msg_id": "a", "session": "agent", "msg_type": "kernel_info_request"}
    play.feed(live(message(4, "status", agents, execution_state="idle"), message(5)))
    assert play.ids == ["m5"]


def test_more_than_its_bound_is_not_kept_and_the_mark_moves_on() -> None:
    way = CatchUp(0, kept_bytes=3000)
    for number in range(100):
        way.hear(message(number))
    kept = way.take_live()
    assert 0 < len(kept) < 8
    assert kept[-1] == message(99)


def test_open_executions_are_few_and_survive_being_stored() -> None:
    executions = Executions()
    for number in range(MOST * 2):
        executions.note(Effect(Step.INPUT, str(number), number))
    assert executions.find("0") is None
    loaded = Executions.load(executions.dump())
    assert loaded.find(str(MOST * 2 - 1)) == executions.find(str(MOST * 2 - 1))


@st.composite
def histories(draw: st.DrawFn) -> list[Any]:
    """What the kernel published while and after a client was away, and how late each side hears of it."""
    steps = draw(st.lists(st.sampled_from(["publish", "agents", "journal", "read", "live", "reply"]), max_size=80))
    return [draw(st.integers(0, 30)), draw(st.integers(1500, 6000)), steps]


@given(histories())
@example([0, 1500, ["publish", "journal", "read"]])
@settings(max_examples=300, deadline=None)
def test_however_late_the_journal_and_the_subscription_are_each_message_is_told_once_in_order(history: Any) -> None:
    missed, kept_bytes, steps = history
    published = [message(n) for n in range(missed)]
    journal = [record(n + 1, parts) for n, parts in enumerate(published)]
    play = Play(Standing(base=0, is_return=True))
    play.open()
    waiting: ReadJournal | None = None
    play.feed(PlaceFound(play.asked(FindPlace).turn, 0))
    waiting = play.asked(ReadJournal)
    assert play.bridge._way is not None
    play.bridge._way._most_bytes = kept_bytes
    pending: list[list[bytes]] = []
    unwritten: list[list[bytes]] = []
    number = missed

    def feed(event: Event) -> None:
        nonlocal waiting
        play.feed(event)
        waiting = play.asked(ReadJournal) or waiting

    def read_on() -> None:
        nonlocal waiting
        if waiting is not None:
            asked, waiting = waiting, None
            page = [found for found in journal if found.seq > asked.after][:3]
            is_complete = not page or page[-1].seq == len(journal)
            feed(JournalRead(asked.turn, page, is_complete))

    def write() -> None:
        for parts in unwritten:
            journal.append(record(len(journal) + 1, parts))
        unwritten.clear()

    for step in [*steps, "publish", "live", "journal"]:
        match step:
            case "publish":
                parts = message(number)
                number += 1
                published.append(parts)
                pending.append(parts)
                unwritten.append(parts)
            case "agents":
                agents = {"msg_id": "a", "session": "agent", "msg_type": "kernel_info_request"}
                pending.append(message(10_000 + number, "status", agents, execution_state="idle"))
            case "journal":
                write()
            case "live" if pending:
                feed(live(*pending))
                pending.clear()
            case "read":
                read_on()
    for _ in range(3):  # what is kept may just have been thrown away: then the next message marks the place
        feed(live(message(number)))
        published.append(message(number))
        unwritten.append(message(number))
        number += 1
        write()
        for _ in range(60):
            read_on()
    assert play.ids == [json.loads(parts[0])["msg_id"] for parts in published]
    assert play.bridge.phase is Phase.LIVE


def test_what_is_live_before_the_place_is_known_to_be_nowhere_is_told() -> None:
    """The requests go as soon as the kernel is heard: their outputs must not be thrown away for a journal's sake."""
    play = Play(Standing(b"i" * 8, 1, is_return=True))
    play.open()
    find = play.asked(FindPlace)
    play.feed(live(message(9)))
    play.feed(live(message(10)))
    play.feed(JournalAway(find.turn))
    assert (play.ids, play.bridge.phase) == (["m9", "m10"], Phase.LIVE)


def test_what_is_live_before_the_place_is_found_marks_where_the_journal_ends() -> None:
    play = Play(Standing(b"i" * 8, 1, is_return=True))
    play.open()
    find = play.asked(FindPlace)
    play.feed(live(message(6), message(7)))
    play.feed(PlaceFound(find.turn, 4))
    assert play.asked(Probe) is None
    read(play, *(record(n, message(n)) for n in range(5, 8)))
    assert (play.ids, play.bridge.phase) == (["m5", "m6", "m7"], Phase.LIVE)


def test_a_reply_that_went_to_a_former_name_is_made_again_while_the_kernel_is_live() -> None:
    play = Play(Standing(b"i" * 8, 1, is_return=True, is_renamed=True))
    play.open()
    find = play.asked(FindPlace)
    play.feed(live(message(4)))
    play.feed(PlaceFound(find.turn, 3))
    read(play, record(4, message(4)))
    play.feed(live(message(5, "execute_input", MINE, code="6*7", execution_count=3)))
    play.feed(live(message(6, "status", MINE, execution_state="idle")))
    assert play.kinds == ["display_data", "execute_input", "execute_reply", "status"]
    assert play.told[2][1]["content"]["execution_count"] == 3


def test_what_the_agent_has_closed_was_cut() -> None:
    play = behind()
    closing = message(5, "status", MINE, execution_state="idle")
    closing[0] = closing[0].replace(b'"kernel"', b'"agent"')
    read(play, record(4, message(4, "execute_input", MINE, code="1", execution_count=3)), record(5, closing))
    assert play.told[1][1]["content"]["status"] == "aborted"
