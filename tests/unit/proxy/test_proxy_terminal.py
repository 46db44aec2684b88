"""The terminal's messages, and its output that waits."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.terminal import Input, OutputQueue, Resize, decode, encode
from proxy.errors import BadFrame


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ('["stdin", "ls\\r"]', Input("ls\r")),
        ('["set_size", 24, 80, 600, 800]', Resize(24, 80)),
        ('["set_size", 24.0, 80]', Resize(24, 80)),
        ('["set_size", -1, 99999999]', Resize(1, 5000)),
        ('["something", 1]', None),
    ],
)
def test_messages_are_understood(raw: str, wanted: object) -> None:
    assert decode(raw) == wanted


@pytest.mark.parametrize(
    "raw", ["", "{}", "[]", "5", '["stdin", 5]', '["set_size"]', '["set_size", "a", "b"]', "[" * 9999, b"\xff"]
)
def test_nonsense_is_refused(raw: str | bytes) -> None:
    with pytest.raises(BadFrame):
        decode(raw)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_arbitrary_input_never_does_more_than_raise_a_bad_frame(raw: str | bytes) -> None:
    with contextlib.suppress(BadFrame):
        decode(raw)


def test_messages_to_the_client_are_arrays() -> None:
    assert encode("stdout", 'é"') == '["stdout","é\\""]'


def test_output_is_joined() -> None:
    queue = OutputQueue()
    for piece in "abc":
        queue.push(piece)
    assert queue.pop() == "abc"
    assert not queue


def test_output_beyond_the_bound_is_left_out_and_the_place_is_marked() -> None:
    queue = OutputQueue(most=10)
    for piece in ("12345", "67890", "lost", "too"):
        queue.push(piece)
    assert queue.pop() == "1234567890\r\n[7 characters of output were left out here]\r\n"
    queue.push("again")
    assert queue.pop() == "again"
    with pytest.raises(IndexError):
        queue.pop()
