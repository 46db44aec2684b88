"""hub.agent.executions: a bounded record of what was run, and what of a message gets into it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.agent import bounds, messages
from hub.agent.executions import Executions
from proxy.contract.agent import MAX_MESSAGE_BYTES


def recorded(*codes: str) -> Executions:
    executions = Executions()
    for count, code in enumerate(codes, 1):
        executions.add(count, code, 1.0)
    return executions


def numbers(executions: Executions, after: int = 0) -> list[int]:
    return [each["number"] for each in executions.after(after)["executions"]]


def test_executions_are_kept_in_order_and_given_from_where_one_stopped() -> None:
    executions = recorded("a", "b", "c")
    assert executions.after(1) == {
        "executions": [
            {"number": 2, "execution_count": 2, "code": "b", "at": 1.0},
            {"number": 3, "execution_count": 3, "code": "c", "at": 1.0},
        ],
        "total": 3,
    }
    executions.reset()
    assert executions.after(0) == {"executions": [], "total": 0}


def test_the_oldest_are_forgotten_by_number_and_by_size() -> None:
    many = recorded(*["x"] * (bounds.MAX_EXECUTIONS + 5))
    assert numbers(many)[0] == 6 and many.after(0)["total"] == bounds.MAX_EXECUTIONS + 5
    large = recorded(*["\u20ac" * bounds.MAX_EXECUTION_CHARACTERS] * 40)
    kept, after = [], 0
    while found := large.after(after)["executions"]:
        kept += found
        after = found[-1]["number"]
    assert sum(len(each["code"].encode()) for each in kept) <= bounds.MAX_EXECUTIONS_BYTES
    assert kept[-1]["number"] == 40 and kept[0]["number"] > 1


def test_the_worst_answer_is_a_message() -> None:
    worst = recorded(*["\U0001f600" * bounds.MAX_EXECUTION_CHARACTERS] * 16, *[""] * bounds.MAX_EXECUTIONS)
    assert len(json.dumps(worst.after(0))) < MAX_MESSAGE_BYTES


def input_of(content: Any) -> messages.Received | None:
    header = {"msg_type": "execute_input"}
    return messages.read([json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()])


def test_an_input_is_read_with_its_count() -> None:
    message = input_of({"code": "x = 1", "execution_count": 3})
    assert message is not None and (message.code, message.execution_count) == ("x = 1", 3)


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ({}, (None, 0)),
        ({"code": 1}, (None, 0)),
        ({"code": "x", "execution_count": None}, ("x", 0)),
        ({"code": "x", "execution_count": -1}, ("x", 0)),
        ({"code": "x", "execution_count": 10**30}, ("x", 0)),
        ({"code": "\ud800", "execution_count": 1}, ("?", 1)),
        ({"code": "x" * (bounds.MAX_CODE_BYTES + 1), "execution_count": 1}, (None, 0)),
    ],
)
def test_a_strange_input_still_counts_as_one(content: Any, read: tuple[str | None, int]) -> None:
    message = input_of(content)
    assert message is not None and message.type == "execute_input"
    assert (message.code, message.execution_count) == read


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_no_content_breaks_the_agent(content: Any) -> None:
    input_of(content)
