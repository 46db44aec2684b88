"""Messages with a tag: what the client's having them means for its cursor.

An IOPub message moves the cursor to itself, which needs no tag. These do: a message that stands for others (joined
streams, a note about dropped outputs), one that the proxy made itself, and one that begins or ends something of
an execution.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from proxy.core.wire import Part


class Step(Enum):
    """What became known of an execution."""

    INPUT = "input"
    """The kernel runs it; its count is known."""
    ERROR = "error"
    REPLY = "reply"
    IDLE = "idle"
    """The kernel has published all of it."""
    QUESTION = "question"
    """The kernel asks for input; `Effect.msg_id` is the question's own."""


class Effect(NamedTuple):
    """A message that is a step of the execution whose request was `msg_id`."""

    step: Step
    msg_id: str
    number: int = 0
    """The execution count that an input tells."""


class Tagged(list[Part]):
    """A message's parts with a tag.

    `mark`: the header of the IOPub message that the client has all of once it has this one; None when this moves no
    cursor. `effect`: the step of an execution that this is, if any.
    """

    __slots__ = ("effect", "mark")

    def __init__(self, parts: Iterable[Part], mark: Part | None = None, effect: Effect | None = None) -> None:
        super().__init__(parts)
        self.mark = mark
        self.effect = effect
