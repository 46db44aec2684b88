"""All WebSockets that are open through this proxy: counted, pinged, closed.

A connection is dropped after `silence_seconds` without a sign of life (a message or the answer to a ping), so
that a client that vanished without a word is noticed, and its kernel can be culled.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from proxy.contract.activity import EndedSession, OpenConnection, OpenSession
from proxy.contract.close_codes import CloseCode
from proxy.errors import Refused
from proxy.io.cursors import SessionKey
from proxy.kit.clock import Clock

SILENT = "no sign of life"
"""The reason of a connection's end that nobody wanted."""
ENDED_SESSIONS = 10_000
"""So many ends are remembered for a hub that is away."""
HowEnded = Literal["closed", "dropped", "silent"]
REPLACED = "replaced by a newer connection of this session"


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose connection it is, and to what. `session` is the client's own name for it, None for terminals."""

    principal: str
    workspace_id: str
    kernel_id: str | None
    session: str | None = None
    user_id: str = ""

    @property
    def key(self) -> SessionKey | None:
        """Whose session to which kernel it is, whatever it was let in with; None without a name for it."""
        if self.kernel_id is None or not self.session:
            return None
        return SessionKey(self.user_id, self.kernel_id, self.session)


class Connection(Protocol):
    """An open WebSocket."""

    holder: Holder | None
    """None for what the hub itself serves, and looks after."""
    heard_at: float
    """Monotonic time of its last sign of life."""
    is_held: bool
    """Whether the client is not read for now, because the kernel takes no more: its silence means nothing."""
    asked_order: int
    """When it was asked for, see `Connections.next_order`: of two of one session, the later is the client's."""

    @property
    def seen(self) -> str:
        """The identity, in hexadecimal, of the last IOPub message that the client is known to have; empty for none."""

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
        self._by_session: dict[SessionKey, Connection] = {}
        self._ended: deque[tuple[float, OpenSession, HowEnded, str]] = deque(maxlen=ENDED_SESSIONS)
        self._asked = 0

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

    def next_order(self) -> int:
        """The place of a request for a WebSocket among all of this machine: nanoseconds, by the machine's clock."""
        self._asked = max(self._asked + 1, time.time_ns())
        return self._asked

    def add(self, connection: Connection) -> None:
        """Register a connection; one of the same user's session to the same kernel that was asked for before is closed.

        A client session is unique per page; a second connection of it means that the first is stale, also if the page
        shows something else now to be let in. It is closed with 1000, so that, if it lives after all, the two do not
        replace each other for ever.
        """
        connection.heard_at = self._clock.monotonic()
        self._open.add(connection)
        if connection.holder is not None and (key := connection.holder.key) is not None:
            other = self._by_session.get(key)
            stale = connection if other is not None and other.asked_order > connection.asked_order else other
            if stale is not connection:
                self._by_session[key] = connection
            if stale is not None:
                stale.end(CloseCode.NORMAL, REPLACED)

    def give_up(self, digest: bytes, order: int) -> None:
        """Another proxy has the session with this digest since `order`: what was asked for before is closed here."""
        for key, connection in list(self._by_session.items()):
            if key.digest() == digest and connection.asked_order < order:
                connection.end(CloseCode.NORMAL, REPLACED)

    def remove(self, connection: Connection, how: HowEnded = "dropped") -> None:
        """Forget a connection, which ended like this. Harmless when it is not registered."""
        self._open.discard(connection)
        holder = connection.holder
        key = holder.key if holder is not None else None
        if holder is not None and key is not None and self._by_session.get(key) is connection:
            del self._by_session[key]
            session = _session_of(holder)
            if session is not None and session not in self.sessions():
                self._ended.append((self._clock.monotonic(), session, how, connection.seen))

    def report(self) -> list[OpenConnection]:
        """How many connections each principal holds to each kernel or workspace's terminals."""
        holders = [c.holder for c in self._open if c.holder is not None]
        counts = Counter((h.principal, h.workspace_id, h.kernel_id) for h in holders)
        return [OpenConnection(*key, count) for key, count in counts.items()]

    def sessions(self) -> list[OpenSession]:
        """The front ends that are connected to kernels."""
        holders = [c.holder for c in self._by_session.values() if c.holder is not None]
        return list({session for holder in holders if (session := _session_of(holder)) is not None})

    def ended_sessions(self) -> list[EndedSession]:
        """Those that are no more, until `forget_ended`, without those that have come back."""
        now, back = self._clock.monotonic(), set(self.sessions())
        return [
            EndedSession(session.workspace_id, session.kernel_id, session.session, how, seen, max(now - at, 0.0))
            for at, session, how, seen in self._ended
            if session not in back
        ]

    def forget_ended(self, until: float) -> None:
        """The hub knows of all that ended before or at this moment of the monotonic clock."""
        while self._ended and self._ended[0][0] <= until:
            self._ended.popleft()

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
                connection.end(CloseCode.SERVICE_RESTART, SILENT)
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


def _session_of(holder: Holder) -> OpenSession | None:
    if holder.kernel_id is None or not holder.session:
        return None
    return OpenSession(holder.workspace_id, holder.kernel_id, holder.session)
