"""hub.agent.wire: every request is checked, and a wrong one is refused with a code."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.agent import bounds, wire

KERNEL = "0f8b0f0e-0000-4000-8000-000000000001"


def refused(op: str, args: object) -> str:
    with pytest.raises(wire.Refusal) as caught:
        wire.check(1, op, args)
    return caught.value.code


def test_a_whole_request_is_parsed_and_checked() -> None:
    frame = json.dumps({"id": 7, "op": "kernel.attach", "args": {"kernel_id": KERNEL}}).encode()
    assert wire.check(*wire.parse(frame)) == wire.Request(7, "kernel.attach", {"kernel_id": KERNEL})


def test_arguments_may_be_left_out_altogether_where_none_are_needed() -> None:
    assert wire.check(*wire.parse(b'{"id": 0, "op": "ping"}')) == wire.Request(0, "ping", {})


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b'{"op": "ping"}',
        b'{"id": "1"}',
        b'{"id": true}',
        b'{"id": -1}',
        b'{"id": 1.5}',
        b'{"id": 99999999999999999999}',
        b"[" * 100_000,
    ],
)
def test_a_frame_without_a_usable_id_cannot_be_answered(frame: bytes) -> None:
    with pytest.raises(wire.Unanswerable):
        wire.parse(frame)


@given(st.binary(max_size=200))
def test_no_bytes_make_parsing_fail_in_another_way(frame: bytes) -> None:
    with contextlib.suppress(wire.Unanswerable, wire.Refusal):
        wire.check(*wire.parse(frame))


@given(
    st.sampled_from(sorted(wire.OPERATIONS)),
    st.dictionaries(
        st.sampled_from(["kernel_id", "name", "cwd", "env", "data", "rows", "cols", "file"]),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.text(),
            st.lists(st.text()),
            st.dictionaries(st.text(), st.text()),
        ),
    ),
)
def test_no_arguments_make_checking_fail_in_another_way(op: str, args: dict[str, object]) -> None:
    try:
        wire.check(1, op, args)
    except wire.Refusal as refusal:
        assert refusal.code == "bad_request"


def test_an_unknown_operation_is_refused_by_name() -> None:
    assert refused("kernel.eval", {}) == "unknown_op"


def test_an_unknown_argument_is_refused() -> None:
    assert refused("ping", {"extra": 1}) == "bad_request"


def test_a_missing_argument_is_refused() -> None:
    assert refused("kernel.attach", {}) == "bad_request"


@pytest.mark.parametrize("args", [None, [], "x", 1])
def test_arguments_that_are_no_object_are_refused(args: object) -> None:
    assert refused("ping", args) == "bad_request"


@pytest.mark.parametrize(
    "kernel_id",
    ["", "..", "../../etc", KERNEL.upper(), KERNEL.replace("-", ""), KERNEL + "\n", "{" + KERNEL + "}", 5, None],
)
def test_a_kernel_id_must_be_a_canonical_uuid(kernel_id: object) -> None:
    assert refused("kernel.attach", {"kernel_id": kernel_id}) == "bad_request"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\n", "a" * 256, "ä"])
def test_a_kernelspec_name_is_a_plain_name(name: str) -> None:
    assert refused("kernel.start", {"kernel_id": KERNEL, "name": name, "cwd": "", "env": {}}) == "bad_request"


@pytest.mark.parametrize("cwd", ["a\0b", "x" * (bounds.MAX_PATH_CHARACTERS + 1), "\ud800", 1])
def test_a_folder_is_bounded_text_that_can_be_a_path(cwd: object) -> None:
    assert refused("terminal.create", {"cwd": cwd}) == "bad_request"


@pytest.mark.parametrize(
    "env",
    [
        {"1A": "x"},
        {"A=B": "x"},
        {"": "x"},
        {"KERNELHUB_RUN": "/tmp"},
        {"A": 1},
        {"A": "x\0"},
        {"A": "x" * (bounds.MAX_ENV_CHARACTERS + 1)},
        {f"A{n}": "" for n in range(bounds.MAX_ENV_ENTRIES + 1)},
        [],
    ],
)
def test_an_environment_is_bounded_and_never_the_agents_own(env: object) -> None:
    assert refused("kernel.start", {"kernel_id": KERNEL, "name": "p", "cwd": "", "env": env}) == "bad_request"


@pytest.mark.parametrize("rows", [0, 1001, True, "5", 2.0, None])
def test_a_terminal_size_is_a_whole_number_within_bounds(rows: object) -> None:
    assert refused("terminal.resize", {"name": "1", "rows": rows, "cols": 80}) == "bad_request"


def test_what_may_be_left_out_is_filled_in() -> None:
    assert wire.check(1, "terminal.create", {}).args == {"cwd": "", "name": None}


def test_replies_are_single_lines_of_json() -> None:
    assert json.loads(wire.success(3, {"a": 1})) == {"id": 3, "ok": True, "result": {"a": 1}}
    assert json.loads(wire.refusal(3, "not_found", "no")) == {
        "id": 3,
        "ok": False,
        "error": {"code": "not_found", "message": "no"},
    }


def test_jobs_have_an_id_a_programs_name_and_bounded_arguments() -> None:
    given = {"job_id": KERNEL, "program": "git_pull", "arguments": {"repo": "https://h/x"}}
    assert wire.check(1, "job.start", given).args == given
    assert wire.check(1, "job.start", {"job_id": KERNEL, "program": "x"}).args["arguments"] == {}
    assert wire.check(1, "job.read", {"job_id": KERNEL}).args["offset"] == 0
    for wrong in (
        {"job_id": "1"},
        {"program": "../main"},
        {"program": "__init__"},
        {"program": "Git"},
        {"arguments": []},
        {"arguments": {"x": "y" * bounds.MAX_JOB_ARGUMENTS_BYTES}},
        {"env": {}},
    ):
        assert refused("job.start", {**given, **wrong}) == "bad_request"
    assert refused("job.read", {"job_id": KERNEL, "offset": -1}) == "bad_request"
