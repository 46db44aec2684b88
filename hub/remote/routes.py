"""Who asked what: the way back of replies, and of the kernel's questions, to one of several local clients."""

from __future__ import annotations

from dataclasses import dataclass

MOST_PENDING = 4096
MOST_ANSWERED = 1024
ASKED_BEFORE_CELLS = frozenset({"is_complete_request", "history_request"})
"""What consoles ask before they run a cell, and give up after a second."""


@dataclass(frozen=True, slots=True)
class Route:
    """One request: on which channel, from whom (routing ids), and its header. `number` is its place in time."""

    channel: str
    identities: tuple[bytes, ...]
    msg_id: str
    msg_type: str
    header: bytes
    number: int


class Routes:
    """The requests under way, and the last ones that were answered: a thread that a cell left may still ask.

    Of more than so many, the oldest are forgotten; their replies go nowhere.
    """

    def __init__(self) -> None:
        self._pending: dict[str, Route] = {}
        self._answered: dict[str, Route] = {}

    def add(self, route: Route) -> Route | None:
        """A request goes to the kernel. Gives the one that is given up for it, if there were too many."""
        self._pending[route.msg_id] = route
        return next(iter(self._pending.values())) if len(self._pending) > MOST_PENDING else None

    def answered(self, msg_id: str) -> None:
        """Its reply has come."""
        if (route := self._pending.pop(msg_id, None)) is None:
            return
        self._answered[msg_id] = route
        if len(self._answered) > MOST_ANSWERED:
            del self._answered[next(iter(self._answered))]

    def find(self, msg_id: str) -> Route | None:
        """The request with this id, if it is remembered."""
        return self._pending.get(msg_id) or self._answered.get(msg_id)

    def is_pending(self, msg_id: str) -> bool:
        """Whether this request waits for its reply."""
        return msg_id in self._pending

    def pending(self, channel: str) -> list[Route]:
        """The requests on `channel` that wait for their replies, oldest first."""
        return [route for route in self._pending.values() if route.channel == channel]

    def is_overtaken(self, asked: Route) -> bool:
        """Whether its client runs a cell now that it sent without waiting for the answer to `asked`.

        ``jupyter console`` takes the next reply on shell, and the next ``idle`` of its own, for the cell's, whatever
        they belong to.
        """
        return asked.msg_type in ASKED_BEFORE_CELLS and any(
            route.msg_type == "execute_request" and route.identities == asked.identities and route.number > asked.number
            for route in self._pending.values()
        )
