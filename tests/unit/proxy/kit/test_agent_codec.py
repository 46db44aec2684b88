"""proxy.kit.agent_wire: an agent's frames are untrusted; only the protocol's shapes come through."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.contract.agent import (
    MAX_MESSAGE_BYTES,
    Attachment,
    Hello,
    KernelEvent,
    KernelInfo,
    Status,
    TerminalExit,
    TerminalOutput,
)
from proxy.kit.agent_wire import (
    AgentNonsense,
    AgentRefused,
    Answer,
    Empty,
    decode_frame,
    decode_result,
    encode_request,
)

KERNEL = {
    "kernel_id": "0f8b0f0e-0000-4000-8000-000000000001",
    "name": "python3",
    "state": "idle",
    "generation": 1,
    "started_at": 1.0,
    "last_activity_at": 1.0,
    "idle_seconds": 0.0,
    "executions": 0,
}


def test_a_request_is_one_json_object() -> None:
    assert json.loads(encode_request(1, "ping", {})) == {"id": 1, "op": "ping", "args": {}}


def test_a_request_beyond_the_protocols_size_is_not_sent() -> None:
    with pytest.raises(AgentRefused, match="too large"):
        encode_request(1, "terminal.input", {"data": "x" * MAX_MESSAGE_BYTES})


def test_a_reply_is_decoded_in_two_steps() -> None:
    answer = decode_frame(json.dumps({"id": 5, "ok": True, "result": KERNEL}).encode())
    assert isinstance(answer, Answer) and answer.id == 5
    assert decode_result(answer.result, KernelInfo).state == "idle"


def test_a_refusal_has_its_code_and_bounded_words() -> None:
    frame = json.dumps({"id": 5, "ok": False, "error": {"code": "c" * 999, "message": "m" * 99_999}}).encode()
    answer = decode_frame(frame)
    assert isinstance(answer, Answer) and answer.refused is not None
    assert len(answer.refused.code) == 64 and len(answer.refused.message) == 2000


def test_events_become_their_types() -> None:
    def event(**fields: object) -> object:
        return decode_frame(json.dumps(fields).encode())

    assert isinstance(event(event="kernel", kernel=KERNEL), KernelEvent)
    assert event(event="terminal.output", name="1", data="x") == TerminalOutput("1", "x")
    assert event(event="terminal.exit", name="1") == TerminalExit("1")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{}",
        b"[]",
        b'{"id": 1}',
        b'{"id": "1", "ok": true}',
        b'{"event": "kernel"}',
        b'{"event": "other"}',
        b'{"event": "terminal.exit", "name": "../x"}',
        b"[" * 100_000,
        b'{"result":' + b"[" * 100_000,
        b'{"id": 1, "ok": true, "result": {}} trailing',
        b"\xff",
    ],
)
def test_what_is_not_of_the_protocol_is_nonsense(frame: bytes) -> None:
    with pytest.raises(AgentNonsense):
        decode_frame(frame)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(frame: bytes) -> None:
    try:
        message = decode_frame(frame)
    except AgentNonsense:
        return
    assert message is not None


@pytest.mark.parametrize(
    "change",
    [
        {"kernel_id": "../../etc/passwd"},
        {"kernel_id": KERNEL["kernel_id"] + "\n"},
        {"state": "fine"},
        {"name": ".."},
        {"name": "a/b"},
        {"generation": -1},
        {"executions": 2**60},
        {"idle_seconds": -1},
        {"idle_seconds": 1e300},
        {"reason": "x" * 30_000},
        {"started_at": None},
    ],
)
def test_a_kernel_whose_values_are_out_of_form_is_nonsense(change: dict[str, object]) -> None:
    with pytest.raises(AgentNonsense):
        decode_result(json.dumps({**KERNEL, **change}).encode(), KernelInfo)


def test_more_kernels_than_an_agent_may_have_are_nonsense() -> None:
    status = {"kernels": [KERNEL] * 65, "terminals": [], "container": {}}
    with pytest.raises(AgentNonsense):
        decode_result(json.dumps(status).encode(), Status)


def test_a_key_of_another_scheme_is_nonsense() -> None:
    attachment = {"kernel": KERNEL, "key": "k", "signature_scheme": "none"}
    with pytest.raises(AgentNonsense):
        decode_result(json.dumps(attachment).encode(), Attachment)


def test_a_deep_kernelspec_is_nonsense() -> None:
    deep = '{"a":' * 50_000 + "1" + "}" * 50_000
    spec = f'{{"name": "p", "spec": {deep}, "resources": []}}'
    hello = f'{{"protocol":1,"version":"1","started_at":0,"default_kernel":null,"kernelspecs":[{spec}]}}'
    with pytest.raises(AgentNonsense):
        decode_result(hello.encode(), Hello)


def test_success_without_a_result_is_fine_where_none_is_needed() -> None:
    answer = decode_frame(b'{"id": 1, "ok": true, "result": {}}')
    assert isinstance(answer, Answer) and decode_result(answer.result, Empty) == Empty()
