"""The bridge as transcripts: what happens, and what is done about it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.contract.close_codes import CloseCode
from proxy.core.bridge import PATIENCE_SECONDS, PROBE_SECONDS, Bridge, Phase
from proxy.core.bridge_terms import (
    ClientSent,
    Close,
    CloseSockets,
    Command,
    Event,
    KernelObserved,
    KernelSent,
    NoteRequest,
    OpenSockets,
    PatienceEnded,
    Probe,
    SocketsFailed,
    SocketsOpened,
    ToClient,
    ToKernel,
    Wait,
)
from proxy.core.frames import V1Framing
from proxy.core.limits import Limits
from proxy.core.messages import make_minter
from proxy.core.wire import Signer

SIGNER = Signer(b"key")


def parts(msg_type: str, number: int = 0, **content: Any) -> list[bytes]:
    header = {"msg_id": str(number), "msg_type": msg_type}
    return [json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()]


def request(number: int = 0, channel: str = "shell") -> ClientSent:
    payload = V1Framing().encode(channel, parts("execute_request", number))
    return ClientSent(b"".join(bytes(piece) for piece in payload.pieces))


def published(*messages: list[bytes], channel: str = "iopub", signer: Signer = SIGNER) -> KernelSent:
    return KernelSent(channel, [[b"topic", *(bytes(f) for f in signer.pack(m))] for m in messages])


def sent(number: int = 0, channel: str = "shell", signer: Signer = SIGNER) -> ToKernel:
    return ToKernel(channel, signer.pack(parts("execute_request", number)))


WELCOME = parts("iopub_welcome", subscription="")


class Play:
    """A transcript: ``play << event``, then ``play >> (commands)`` says what must have followed."""

    def __init__(self, limits: Limits | None = None) -> None:
        ids = count(1)
        mint = make_minter("session", lambda: f"id-{next(ids)}", lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.bridge = Bridge(V1Framing(), mint, limits or Limits())
        self.commands: list[Command] = []
        self.noted: list[NoteRequest] = []

    def __lshift__(self, event: Event) -> Play:
        commands = self.bridge.handle(event)
        self.commands = [command for command in commands if not isinstance(command, NoteRequest)]
        self.noted += [command for command in commands if isinstance(command, NoteRequest)]
        return self

    def __rshift__(self, expected: Iterable[Command]) -> Play:
        assert self.commands == list(expected)
        return self


def live(limits: Limits | None = None) -> Play:
    play = Play(limits)
    play << KernelObserved("idle", 1) >> [OpenSockets(1)]
    play << SocketsOpened(1, SIGNER) >> [Wait(PATIENCE_SECONDS, 1)]
    play << published(WELCOME) >> []
    assert play.bridge.phase is Phase.LIVE
    return play


def states_told(play: Play) -> list[str]:
    return [
        json.loads(bytes(message[3]))["execution_state"]
        for command in play.commands
        if isinstance(command, ToClient)
        for message in command.messages
        if json.loads(bytes(message[0]))["msg_type"] == "status"
    ]


def test_messages_pass_both_ways_untouched() -> None:
    play = live()
    play << request(7) >> [sent(7)]
    play << request(8, "control") >> [sent(8, "control")]
    reply, other = parts("execute_reply"), [*parts("comm_msg"), b"buffer"]
    play << published(reply, channel="shell") >> [ToClient("shell", [reply])]
    play << published(other, reply) >> [ToClient("iopub", [other, reply])]


def test_requests_are_held_until_the_kernel_has_welcomed_the_subscription() -> None:
    play = Play()
    play << request(1) >> []
    play << KernelObserved("idle", 1) >> [OpenSockets(1)]
    play << request(2) >> []
    play << SocketsOpened(1, SIGNER) >> [Wait(PATIENCE_SECONDS, 1)]
    play << request(3) >> []
    play << published(WELCOME) >> [sent(1), sent(2), sent(3)]
    play << request(4) >> [sent(4)]


def test_any_message_of_the_kernel_is_as_good_as_a_welcome() -> None:
    play = Play()
    play << KernelObserved("busy", 1) << SocketsOpened(1, SIGNER)
    play << request(1) >> []
    stream = parts("stream")
    play << published(stream) >> [ToClient("iopub", [stream]), sent(1)]


def test_a_kernel_that_does_not_welcome_is_asked_and_in_the_end_believed() -> None:
    play = Play()
    play << KernelObserved("idle", 1) << SocketsOpened(1, SIGNER)
    play << request(1) >> []
    for seconds in PROBE_SECONDS:
        play << PatienceEnded(1)
        probe, wait = play.commands
        assert isinstance(probe, Probe)
        assert b"kernel_info_request" in bytes(probe.frames[2])
        assert wait == Wait(seconds, 1)
    play << PatienceEnded(1) >> [sent(1)]
    play << PatienceEnded(1) >> []


def test_welcomes_to_other_subscribers_are_not_the_clients_business() -> None:
    live() << published(WELCOME) >> []


def test_messages_that_are_not_signed_with_the_key_are_left_out() -> None:
    play = live()
    good, bad = parts("stream"), parts("stream", text="forged")
    event = published(good)
    forged = published(bad, signer=Signer(b"other"))
    play << KernelSent("iopub", [*forged.messages, *event.messages, [b"x"]]) >> [ToClient("iopub", [good])]
    assert play.bridge.rejected == 2


def test_a_death_is_told_and_what_comes_meanwhile_waits_for_the_successor() -> None:
    play = live()
    play << KernelObserved("restarting", 2, "killed")
    assert states_told(play) == ["restarting"]
    assert play.commands[-1] == CloseSockets()
    play << request(1) >> []
    play << published(parts("stream")) >> []
    play << KernelObserved("idle", 2) >> [OpenSockets(2)]
    successor = Signer(b"new key")
    play << SocketsOpened(2, successor) >> [Wait(PATIENCE_SECONDS, 2)]
    play << published(WELCOME, signer=successor) >> [sent(1, signer=successor)]


def test_a_server_made_status_has_no_parent_and_is_on_iopub() -> None:
    play = live() << KernelObserved("dead", 1, "shut down")
    told = play.commands[0]
    assert isinstance(told, ToClient)
    assert told.channel == "iopub"
    header, parent, metadata, content = (json.loads(bytes(part)) for part in told.messages[0])
    assert (parent, metadata, content) == ({}, {}, {"execution_state": "dead"})
    assert header["msg_type"] == "status"
    assert header["date"] == "2026-01-01T00:00:00Z"


def test_a_kernel_that_stays_dead_ends_the_connection_so_that_front_ends_ask_why() -> None:
    play = live() << KernelObserved("dead", 1, "out of memory")
    assert play.commands == [CloseSockets(), Close(CloseCode.SERVICE_RESTART, "the kernel died: out of memory")]


def test_a_restart_that_somebody_asked_for_is_not_told_as_a_death() -> None:
    play = live() << KernelObserved("restarting", 1)
    assert play.commands == [CloseSockets()]
    play << KernelObserved("restarting", 2) >> []
    play << KernelObserved("idle", 2) >> [OpenSockets(2)]


def test_a_restart_that_was_missed_altogether_is_seen_by_the_generation() -> None:
    live() << KernelObserved("idle", 2) >> [OpenSockets(2)]


def test_a_dead_kernel_that_is_started_again_is_reached_again() -> None:
    play = live() << KernelObserved("dead", 1, "shut down")
    play << KernelObserved("restarting", 2) >> []
    play << KernelObserved("idle", 2) >> [OpenSockets(2)]


def test_busy_and_idle_change_nothing() -> None:
    play = live()
    play << KernelObserved("busy", 1) >> []
    play << KernelObserved("idle", 1) >> []


def test_a_kernel_that_is_starting_is_waited_for() -> None:
    play = Play()
    play << KernelObserved("starting", 1) >> []
    play << request(1) >> []
    play << KernelObserved("busy", 1) >> [OpenSockets(1)]


def test_what_comes_late_from_an_older_generation_is_ignored() -> None:
    play = live()
    play << KernelObserved("idle", 2) << SocketsOpened(1, SIGNER) >> []
    play << KernelObserved("dead", 1, "late") >> []
    play << SocketsFailed(1, gone=True) >> []
    play << PatienceEnded(1) >> []


def test_a_kernel_that_is_gone_closes_with_its_code_and_one_that_does_not_open_with_1012() -> None:
    for gone, code in ((True, CloseCode.KERNEL_GONE), (False, CloseCode.SERVICE_RESTART)):
        play = Play()
        play << KernelObserved("idle", 1) << SocketsFailed(1, gone=gone)
        closing = play.commands[-1]
        assert isinstance(closing, Close)
        assert closing.code is code


def test_nonsense_of_the_client_closes_with_1008() -> None:
    play = live() << ClientSent(b"\xff" * 20)
    closing = play.commands[-1]
    assert isinstance(closing, Close)
    assert closing.code is CloseCode.POLICY
    play << request(1) >> []


def test_more_than_the_limit_is_not_held() -> None:
    play = Play(Limits(held_bytes=200))
    play << request(1) >> []
    play << request(2)
    closing = play.commands[-1]
    assert isinstance(closing, Close)
    assert closing.code is CloseCode.TRY_AGAIN_LATER


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: client messages reach one kernel each, once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play()
        self.number = 0
        self.generation = 0
        self.opening: list[int] = []
        self.passed: list[int] = []

    def perform(self, event: Event) -> None:
        self.play << event
        for command in self.play.commands:
            if isinstance(command, OpenSockets):
                self.opening.append(command.generation)
            elif isinstance(command, ToKernel):
                self.passed.append(int(json.loads(bytes(command.frames[2]))["msg_id"]))

    @rule()
    def client_sends(self) -> None:
        self.number += 1
        self.perform(request(self.number))

    @rule(state=st.sampled_from(["starting", "idle", "busy", "restarting", "dead"]), step=st.integers(-1, 1))
    def kernel_is_observed(self, state: str, step: int) -> None:
        seen = max(self.generation + step, 0)
        self.generation = max(self.generation, seen)
        self.perform(KernelObserved(state, seen, "why"))

    @rule()
    def sockets_open(self) -> None:
        if self.opening:
            self.perform(SocketsOpened(self.opening.pop(), SIGNER))

    @rule(welcome=st.booleans())
    def kernel_sends(self, welcome: bool) -> None:
        self.perform(published(WELCOME if welcome else parts("stream")))

    @rule(step=st.integers(-1, 0))
    def patience_ends(self, step: int) -> None:
        self.perform(PatienceEnded(self.generation + step))

    @invariant()
    def requests_stay_in_order_and_none_is_sent_twice(self) -> None:
        assert self.passed == list(range(1, len(self.passed) + 1))

    @invariant()
    def nothing_is_held_once_live(self) -> None:
        if self.play.bridge.phase is Phase.LIVE:
            assert len(self.passed) == self.number


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
