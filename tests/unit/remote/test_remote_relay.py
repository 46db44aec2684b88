"""The relay as transcripts: what clients and the kernel send, and where it goes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import count
from typing import Any

from hub.remote.relay import (
    Answered,
    Ask,
    Broke,
    Command,
    Died,
    LocalSent,
    Opened,
    Relay,
    RemoteSent,
    Subscribed,
    ToLocal,
    ToRemote,
    Wait,
    WaitEnded,
)
from hub.remote.routes import MOST_ANSWERED, MOST_PENDING
from proxy.core.frames import CHANNELS, V1Framing
from proxy.core.limits import Limits
from proxy.core.messages import make_minter
from proxy.core.wire import Signer

SIGNER = Signer(b"local key")
FRAMING = V1Framing(channels=CHANNELS)


def relay(limits: Limits | None = None, *, is_open: bool = True) -> Relay:
    numbers = count()
    mint = make_minter("relay", lambda: f"own-{next(numbers)}", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    made = Relay(SIGNER, mint, limits or Limits())
    if is_open:
        assert made.handle(Opened()) == []
    return made


def message(msg_id: str, msg_type: str, parent: str = "", session: str = "s", **content: Any) -> list[bytes]:
    header = {"msg_id": msg_id, "msg_type": msg_type, "session": session}
    parts = [header, {"msg_id": parent, "session": "c"} if parent else {}, {}, content]
    return [json.dumps(part).encode() for part in parts]


def local(who: bytes, parts: list[bytes], channel: str = "shell", signer: Signer = SIGNER) -> LocalSent:
    return LocalSent(channel, [who, *signer.pack(parts)])


def remote(channel: str, parts: list[bytes]) -> RemoteSent:
    return RemoteSent(b"".join(bytes(piece) for piece in FRAMING.encode(channel, parts).pieces))


def shown(commands: list[Command]) -> list[tuple[Any, ...]]:
    """Commands in brief: direction, channel, who, type of message and of its parent's id."""
    found: list[tuple[Any, ...]] = []
    for command in commands:
        match command:
            case ToLocal(channel, frames):
                parts = SIGNER.unpack(list(frames))
                parent = json.loads(bytes(parts[1])).get("msg_id", "")
                found.append((channel, bytes(frames[0]), json.loads(bytes(parts[0]))["msg_type"], parent))
            case ToRemote(payload):
                sent = FRAMING.decode(b"".join(bytes(piece) for piece in payload.pieces))
                found.append(("remote", sent.channel, json.loads(bytes(sent.parts[0]))["msg_type"]))
            case other:
                found.append((other,))
    return found


def test_a_reply_goes_to_the_client_that_asked() -> None:
    r = relay()
    for who, msg_id in ((b"ada", "1"), (b"bob", "2")):
        sent = r.handle(local(who, message(msg_id, "inspect_request")))
        assert shown(sent) == [("remote", "shell", "inspect_request")]
    for msg_id, who in (("2", b"bob"), ("1", b"ada")):
        r.handle(status("idle", parent=msg_id))
        reply = r.handle(remote("shell", message("k", "inspect_reply", parent=msg_id)))
        assert shown(reply) == [("shell", who, "inspect_reply", msg_id)]
    assert r.handle(remote("shell", message("k", "inspect_reply", parent="unknown"))) == []


def test_busy_is_said_before_the_kernel_can_and_once() -> None:
    r = relay()
    assert shown(r.handle(local(b"ada", message("1", "execute_request")))) == [
        ("iopub", b"kernel.status", "status", "1"),
        ("remote", "shell", "execute_request"),
    ]
    assert r.handle(status("busy", parent="1")) == []
    assert len(r.handle(status("busy", parent="1"))) == 1


def test_a_reply_waits_for_the_idle_that_follows_it() -> None:
    r = relay()
    r.handle(local(b"ada", message("1", "is_complete_request")))
    assert r.handle(remote("shell", message("k", "is_complete_reply", parent="1"))) == [Wait("1")]
    assert shown(r.handle(status("idle", parent="1"))) == [
        ("iopub", b"kernel.status", "status", "1"),
        ("shell", b"ada", "is_complete_reply", "1"),
    ]
    assert r.handle(WaitEnded("1")) == []


def test_a_reply_does_not_wait_for_ever_for_kernels_that_say_no_idle() -> None:
    r = relay()
    r.handle(local(b"ada", message("1", "inspect_request")))
    r.handle(remote("shell", message("k", "inspect_reply", parent="1")))
    assert shown(r.handle(WaitEnded("1"))) == [("shell", b"ada", "inspect_reply", "1")]


def test_what_a_cell_did_not_wait_for_comes_after_it() -> None:
    r = relay()
    r.handle(local(b"ada", message("1", "is_complete_request")))
    r.handle(local(b"bob", message("2", "is_complete_request")))
    r.handle(local(b"ada", message("3", "execute_request")))
    late = [status("busy", parent="1"), remote("shell", message("k", "is_complete_reply", parent="1"))]
    assert [r.handle(event) for event in (*late, status("idle", parent="1"))] == [[], [], []]
    assert r.handle(remote("shell", message("k", "is_complete_reply", parent="2"))) == [Wait("2")]
    assert ("shell", b"bob", "is_complete_reply", "2") in shown(r.handle(status("idle", parent="2")))
    assert r.handle(remote("shell", message("k", "execute_reply", parent="3"))) == [Wait("3")]
    assert shown(r.handle(status("idle", parent="3"))) == [
        ("iopub", b"kernel.status", "status", "3"),
        ("shell", b"ada", "execute_reply", "3"),
        ("iopub", b"kernel.status", "status", "1"),
        ("shell", b"ada", "is_complete_reply", "1"),
        ("iopub", b"kernel.status", "status", "1"),
    ]


def test_an_idle_that_comes_after_its_reply_was_given_up_comes_after_the_cell_too() -> None:
    r = relay()
    r.handle(local(b"ada", message("1", "history_request")))
    r.handle(remote("shell", message("k", "history_reply", parent="1")))
    r.handle(local(b"ada", message("2", "execute_request")))
    assert r.handle(WaitEnded("1")) == []
    assert r.handle(status("idle", parent="1")) == []
    r.handle(status("idle", parent="2"))
    given = shown(r.handle(remote("shell", message("k", "execute_reply", parent="2"))))
    assert [(kind, parent) for _, _, kind, parent in given] == [
        ("execute_reply", "2"),
        ("history_reply", "1"),
        ("status", "1"),
    ]


def test_what_is_asked_while_a_cell_runs_is_answered_at_once() -> None:
    r = relay()
    r.handle(local(b"ada", message("1", "execute_request")))
    r.handle(local(b"ada", message("2", "is_complete_request"), "control"))
    r.handle(status("idle", parent="2"))
    reply = r.handle(remote("control", message("k", "is_complete_reply", parent="2")))
    assert shown(reply) == [("control", b"ada", "is_complete_reply", "2")]


def test_a_reply_that_is_held_when_the_kernel_dies_is_given() -> None:
    r = relay()
    r.handle(local(b"ada", message("1", "inspect_request")))
    r.handle(remote("shell", message("k", "inspect_reply", parent="1")))
    assert ("shell", b"ada", "inspect_reply", "1") in shown(r.handle(status("dead")))


def test_a_question_goes_to_the_client_whose_cell_asks_and_the_answer_back() -> None:
    r = relay()
    r.handle(local(b"ada", message("1", "execute_request")))
    r.handle(local(b"bob", message("2", "execute_request")))
    asked = message("q", "input_request", parent="2")
    assert shown(r.handle(remote("stdin", asked))) == [("stdin", b"bob", "input_request", "2")]
    reply = message("a", "input_reply", value="x")
    assert shown(r.handle(local(b"bob", reply, "stdin"))) == [("remote", "stdin", "input_reply")]


def test_a_thread_that_a_cell_left_may_still_ask() -> None:
    r = relay()
    r.handle(local(b"ada", message("1", "execute_request")))
    r.handle(status("idle", parent="1"))
    r.handle(remote("shell", message("k", "execute_reply", parent="1")))
    assert shown(r.handle(remote("stdin", message("q", "input_request", parent="1")))) == [
        ("stdin", b"ada", "input_request", "1")
    ]


def test_outputs_go_to_all_under_their_topic() -> None:
    commands = relay().handle(remote("iopub", message("k", "stream", parent="1", text="hi")))
    assert shown(commands) == [("iopub", b"kernel.stream", "stream", "1")]


def test_parts_and_buffers_pass_untouched() -> None:
    r = relay()
    odd = [b'{"msg_id": "1",  "msg_type":"comm_msg"}', b"{ }", b"{}", b'{"x":1}', b"\x00buffer"]
    (command,) = r.handle(local(b"ada", odd, "shell"))
    assert isinstance(command, ToRemote)
    assert [bytes(piece) for piece in command.payload.pieces[2:]] == odd
    (published,) = r.handle(remote("iopub", odd))
    assert isinstance(published, ToLocal)
    assert [bytes(frame) for frame in published.frames[-5:]] == odd


def test_who_listens_is_welcomed() -> None:
    assert shown(relay().handle(Subscribed(b""))) == [("iopub", b"", "iopub_welcome", "")]


def test_what_is_not_signed_with_the_local_key_goes_nowhere() -> None:
    r = relay()
    assert r.handle(local(b"eve", message("1", "execute_request"), signer=Signer(b"other"))) == []
    assert r.handle(LocalSent("shell", [b"eve", b"nonsense"])) == []
    assert r.handle(RemoteSent(b"nonsense")) == []
    assert r.rejected == 3


def test_interrupts_and_ends_are_asked_of_the_hub() -> None:
    r = relay()
    for msg_type, content, action in (
        ("interrupt_request", {}, "interrupt"),
        ("shutdown_request", {"restart": True}, "restart"),
        ("shutdown_request", {"restart": False}, "shutdown"),
    ):
        (ask,) = r.handle(local(b"ada", message("1", msg_type, **content), "control"))
        assert isinstance(ask, Ask)
        assert ask.action == action
        reply = msg_type.replace("request", "reply")
        assert shown(r.handle(Answered(ask))) == [("control", b"ada", reply, "1")]
    (refused,) = r.handle(Answered(ask, "The hub is not ready."))
    assert isinstance(refused, ToLocal)
    assert json.loads(bytes(refused.frames[-1]))["evalue"] == "The hub is not ready."


def test_requests_wait_for_the_connection_in_order() -> None:
    r = relay(is_open=False)
    assert r.handle(local(b"ada", message("1", "kernel_info_request"))) == []
    assert r.handle(local(b"ada", message("2", "history_request"))) == []
    assert [entry[2] for entry in shown(r.handle(Opened()))] == ["kernel_info_request", "history_request"]


def test_too_much_that_waits_is_told() -> None:
    r = relay(Limits(held_bytes=1000), is_open=False)
    r.handle(local(b"ada", message("1", "execute_request", code="x" * 2000)))
    assert r.is_full
    r.handle(Opened())
    assert not r.is_full


def test_what_was_under_way_when_the_connection_broke_is_given_up_once_that_is_sure() -> None:
    r = relay()
    r.handle(local(b"ada", message("1", "execute_request")))
    r.handle(Broke())
    r.handle(local(b"ada", message("2", "inspect_request")))
    assert shown(r.handle(Opened())) == [
        ("remote", "shell", "kernel_info_request"),
        ("remote", "shell", "inspect_request"),
    ]
    assert shown(r.handle(remote("shell", message("k", "kernel_info_reply", parent="own-1")))) == [
        ("iopub", b"kernel.stream", "stream", "1"),
        ("iopub", b"kernel.status", "status", "1"),
        ("shell", b"ada", "execute_reply", "1"),
    ]
    assert r.handle(remote("shell", message("k", "inspect_reply", parent="2"))) == [Wait("2")]


def test_nothing_is_asked_where_nothing_was_under_way() -> None:
    r = relay()
    r.handle(Broke())
    assert r.handle(Opened()) == []


def status(state: str, session: str = "kernel", parent: str = "") -> RemoteSent:
    return remote("iopub", message("k", "status", parent, session, execution_state=state))


def test_a_kernel_that_died_answers_for_its_requests_and_has_no_heartbeat() -> None:
    r = relay()
    r.handle(local(b"ada", message("1", "execute_request")))
    assert r.is_executing
    assert shown(r.handle(status("restarting"))) == [
        ("iopub", b"kernel.status", "status", ""),
        ("iopub", b"kernel.stream", "stream", "1"),
        ("iopub", b"kernel.status", "status", "1"),
        ("shell", b"ada", "execute_reply", "1"),
        (Died(will_restart=True),),
    ]
    assert r.is_alive
    assert not r.is_executing
    assert shown(r.handle(status("dead")))[-1] == (Died(will_restart=False),)
    assert not r.is_alive
    r.handle(status("starting"))
    assert r.is_alive


def test_a_new_process_of_the_kernel_is_noticed_by_its_session() -> None:
    r = relay()
    r.handle(status("idle", session="first"))
    r.handle(local(b"ada", message("1", "execute_request")))
    assert shown(r.handle(status("busy", session="second")))[1:] == [("remote", "shell", "kernel_info_request")]
    assert shown(r.handle(remote("shell", message("k", "kernel_info_reply", parent="own-1"))))[-1] == (
        "shell", b"ada", "execute_reply", "1",
    )  # fmt: skip


def test_kernels_that_repeat_their_clients_session_are_not_taken_for_new_ones() -> None:
    r = relay()
    r.handle(status("idle", session="first"))
    r.handle(local(b"ada", message("1", "execute_request")))
    assert shown(r.handle(status("idle", session="c", parent="1"))) == [("iopub", b"kernel.status", "status", "1")]


def test_requests_that_are_never_answered_do_not_pile_up() -> None:
    r = relay()
    for number in range(MOST_PENDING + MOST_ANSWERED + 1):
        r.handle(local(b"ada", message(str(number), "inspect_request")))
    assert r.handle(remote("shell", message("k", "inspect_reply", parent="0"))) == []
    assert r.handle(remote("shell", message("k", "inspect_reply", parent=str(MOST_PENDING)))) == [
        Wait(str(MOST_PENDING))
    ]
