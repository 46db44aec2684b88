"""All WebSockets that are open through this proxy: counted, pinged, closed.

A connection is dropped after `silence_seconds` without a sign of life (a message or the answer to a ping), so
that a client that vanished without a word is noticed, and its kernel can be culled.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from proxy.contract.activity import OpenConnection
from proxy.contract.close_codes import CloseCode
from proxy.errors import Refused
from proxy.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose connection it is, and to what. `session` is the client's own name for it, None for terminals."""

    principal: str
    workspace_id: str
    kernel_id: str | None
    session: str | None = None


class Connection(Protocol):
    """An open WebSocket."""

    holder: Holder | None
    """None for what the hub itself serves, and looks after."""
    heard_at: float
    """Monotonic time of its last sign of life."""
    is_held: bool
    """Whether the client is not read for now, because the kernel takes no more: its silence means nothing."""

    def send_ping(self) -> None:
        """Ask the client for a sign of life. Never raises."""

    def end(self, code: CloseCode, reason: str) -> None:
        """Begin to close. Never raises."""

    async def finish_sending(self) -> None:
        """Return when what waited for the client is written."""

    def count(self) -> None:
        """Add what passed since the last time to the metrics."""


class Connections:
    """The registry. `add` and `remove` bracket each connection's life."""

    def __init__(
        self, clock: Clock, ping_seconds: float = 20.0, silence_seconds: float = 60.0, places: int = 256
    ) -> None:
        self._clock = clock
        self._places = places
        self._taken: Counter[str] = Counter()
        self._ping_seconds = ping_seconds
        self._silence_seconds = silence_seconds
        self._open: set[Connection] = set()
        self._by_session: dict[Holder, Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def place_in(self, workspace_id: str) -> Iterator[None]:
        """Hold one of a workspace's `places` for a block, from before its sockets are opened.

        A connection costs some thirteen descriptors, so that nobody can have so many that others get none.
        Raises Refused with 429 when all are taken.
        """
        if self._taken[workspace_id] >= self._places:
            message = f"{self._places} connections to this container are open already; close some tabs."
            raise Refused(429, "websocket.too_many", message)
        self._taken[workspace_id] += 1
        try:
            yield
        finally:
            self._taken[workspace_id] -= 1
            if not self._taken[workspace_id]:
                del self._taken[workspace_id]

    def add(self, connection: Connection) -> None:
        """Register a connection; an older one of the same client session to the same kernel is closed.

        A client session is unique per page; a second connection of it means that the first is stale. It is
        closed with 1000, so that, if it lives after all, the two do not replace each other for ever.
        """
        holder = connection.holder
        connection.heard_at = self._clock.monotonic()
        self._open.add(connection)
        if holder is not None and holder.session:
            stale = self._by_session.get(holder)
            self._by_session[holder] = connection
            if stale is not None:
                stale.end(CloseCode.NORMAL, "replaced by a newer connection of this session")

    def remove(self, connection: Connection) -> None:
        """Forget a connection. Harmless when it is not registered."""
        self._open.discard(connection)
        holder = connection.holder
        if holder is not None and self._by_session.get(holder) is connection:
            del self._by_session[holder]

    def report(self) -> list[OpenConnection]:
        """How many connections each principal holds to each kernel or workspace's terminals."""
        holders = [c.holder for c in self._open if c.holder is not None]
        counts = Counter((h.principal, h.workspace_id, h.kernel_id) for h in holders)
        return [OpenConnection(*key, count) for key, count in counts.items()]

    def count_all(self) -> None:
        """Bring the metrics up to date."""
        for connection in self._open:
            connection.count()

    def end_principals(self, revoked: Iterable[str]) -> int:
        """Close the connections of principals whose sign-in or token no longer holds; return how many."""
        gone = set(revoked)
        ended = [c for c in self._open if c.holder is not None and c.holder.principal in gone]
        for connection in ended:
            connection.end(CloseCode.SIGNED_OUT, "signed out")
        return len(ended)

    async def ping_for_ever(self) -> None:
        """Ping everybody in turn and drop who is silent. Runs until cancelled."""
        while True:
            await asyncio.sleep(self._ping_seconds)
            self.ping_all()

    def ping_all(self) -> None:
        """One round: drop who has been silent for too long, ping the others."""
        now = self._clock.monotonic()
        for connection in list(self._open):
            if now - connection.heard_at >= self._silence_seconds and not connection.is_held:
                connection.end(CloseCode.SERVICE_RESTART, "no sign of life")
            else:
                connection.send_ping()

    async def close_all(self, deadline_seconds: float) -> None:
        """Write out what waits, at most for `deadline_seconds`, then close everything with 1012.

        JupyterLab connects again after 1012, and not after 1000 and 1001.
        """
        connections = list(self._open)
        if connections:
            tasks = [asyncio.create_task(c.finish_sending(), name="connections.finish") for c in connections]
            _, late = await asyncio.wait(tasks, timeout=deadline_seconds)
            for task in late:
                task.cancel()
        for connection in list(self._open):
            connection.end(CloseCode.SERVICE_RESTART, "the proxy restarts")
