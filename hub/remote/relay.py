"""The relay between local ZeroMQ clients and a kernel behind a WebSocket, as a machine without I/O.

Events in, commands out. Local clients are told apart by their routing ids: a reply, and a question to the person
(``input_request``), goes to the client whose request is its parent; what the kernel publishes goes to all. Requests
that only the hub can carry out (interrupt, restart, shut down) become `Ask`, for they work on every kernel that way.

While the connection is broken, requests wait. What was under way when it broke, or when the kernel was started anew,
can never be answered: the kernel's queue is in order, so a question sent afterwards tells when all that came before
is lost, and its senders get an error instead of waiting for ever.

Clients written for kernels on the same machine rely on there being no distance: ``jupyter console`` takes a kernel
for idle that has not said ``busy`` within 50 ms of a cell. So ``busy`` is said here, at once, and the kernel's own is
left out; and a reply is held until the ``idle`` that follows it has come, lest that be taken for the next cell's.
It also waits one second for an answer and then runs the cell without: such a late answer, and its ``idle``, are kept
until that cell has ended.
Source: the Jupyter messaging protocol.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from hub.remote.routes import Route, Routes
from proxy.core.frames import CHANNELS, HeaderFacts, Payload, V1Framing, header_facts
from proxy.core.limits import DEFAULT_LIMITS, Limits
from proxy.core.messages import NO_PARENT, Minter
from proxy.core.wire import DELIMITER, Part, Parts, Signer
from proxy.errors import BadMessage

IDLE_SECONDS = 1.0
"""How long a reply is held for the ``idle`` that belongs to it; kernels that say none are slower by that."""
ASKED_OF_THE_HUB = {"interrupt_request": "interrupt", "shutdown_request": "shutdown"}


@dataclass(frozen=True, slots=True)
class LocalSent:
    """A client sent `frames`, routing ids first, on a channel."""

    channel: str
    frames: list[Part]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A client listens to iopub, to messages that begin with `topic`."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """The WebSocket is open, for the first time or again."""


@dataclass(frozen=True, slots=True)
class Broke:
    """The WebSocket is not open any more."""


@dataclass(frozen=True, slots=True)
class RemoteSent:
    """A message came by the WebSocket."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """What the hub was asked for with `Ask` is done; `error` is a sentence where it is not."""

    ask: Ask
    error: str | None = None


@dataclass(frozen=True, slots=True)
class WaitEnded:
    """The time asked for with `Wait` has passed."""

    msg_id: str


Event = LocalSent | Subscribed | Opened | Broke | RemoteSent | Answered | WaitEnded


@dataclass(frozen=True, slots=True)
class ToRemote:
    """Send by the WebSocket."""

    payload: Payload


@dataclass(frozen=True, slots=True)
class ToLocal:
    """Send `frames` on the local socket of a channel."""

    channel: str
    frames: list[Part]


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the hub to ``interrupt``, ``restart`` or ``shutdown`` the kernel, for the client at `route`."""

    action: str
    route: Route


@dataclass(frozen=True, slots=True)
class Died:
    """The kernel's process ended and nobody asked for that; `will_restart` says whether the hub starts it again."""

    will_restart: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Say `WaitEnded` with `msg_id` after `IDLE_SECONDS`."""

    msg_id: str


Command = ToRemote | ToLocal | Ask | Died | Wait


class Relay:
    """The relay's state. `signer` has the local key, `mint` makes the messages that the relay sends itself."""

    def __init__(self, signer: Signer, mint: Minter, limits: Limits = DEFAULT_LIMITS) -> None:
        self.is_alive = True
        """Whether the kernel lives as far as is known; while not, no heartbeat is answered."""
        self.rejected = 0
        """Messages that were malformed or wrongly signed."""
        self._signer = signer
        self._mint = mint
        self._limits = limits
        self._framing = V1Framing(limits, CHANNELS)
        self._routes = Routes()
        self._numbers = itertools.count()
        self._is_open = self._was_open = False
        self._waiting: deque[Payload] = deque()
        self._waiting_bytes = 0
        self._probes: dict[str, tuple[str, int]] = {}
        self._incarnation = ""
        self._held: dict[str, ToLocal] = {}
        self._idle: set[str] = set()
        self._said_busy: set[str] = set()
        self._late: list[tuple[Route, ToLocal]] = []

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the connection that no more must be read from local clients."""
        return self._waiting_bytes > self._limits.held_bytes

    @property
    def is_executing(self) -> bool:
        """Whether a local client waits for a cell to end."""
        return any(route.msg_type == "execute_request" for route in self._routes.pending("shell"))

    def handle(self, event: Event) -> list[Command]:
        """What follows from an event."""
        commands = self._follow(event)
        return commands + self._due() if self._late else commands

    def _follow(self, event: Event) -> list[Command]:
        match event:
            case RemoteSent(message):
                return self._from_remote(message)
            case LocalSent(channel, frames):
                return self._from_local(channel, frames)
            case Subscribed(topic):
                content = {"subscription": topic.decode(errors="replace")}
                return [self._publish(self._mint("iopub_welcome", content, NO_PARENT), topic)]
            case Opened():
                return self._opened()
            case Broke():
                self._is_open = False
                return []
            case Answered(ask, error):
                return self._answered(ask, error)
            case WaitEnded(msg_id):
                return self._release(msg_id)

    # ---- from local clients

    def _from_local(self, channel: str, frames: list[Part]) -> list[Command]:
        try:
            parts = self._signer.unpack(frames, self._limits)
            facts = header_facts(parts[0])
        except BadMessage:
            self.rejected += 1
            return []
        identities = tuple(bytes(frame) for frame in frames[: frames.index(DELIMITER)])
        route = Route(channel, identities, facts.msg_id, facts.msg_type, bytes(parts[0]), next(self._numbers))
        if channel != "stdin" and facts.msg_type in ASKED_OF_THE_HUB:
            return [Ask(_action(facts.msg_type, parts), route)]
        if channel != "stdin" and facts.msg_type.endswith("_request"):
            self._forget(self._routes.add(route))
        busy: list[Command] = []
        if facts.msg_type == "execute_request":
            self._said_busy.add(facts.msg_id)
            busy = [self._say_state("busy", route)]
        return busy + self._to_remote(self._framing.encode(channel, parts))

    def _to_remote(self, payload: Payload) -> list[Command]:
        if self._is_open:
            return [ToRemote(payload)]
        self._waiting.append(payload)
        self._waiting_bytes += payload.size
        return []

    def _answered(self, ask: Ask, error: str | None) -> list[Command]:
        content: dict[str, Any] = {"status": "ok"}
        if error is not None:
            content = {"status": "error", "ename": "KernelhubError", "evalue": error, "traceback": [error]}
        if ask.action != "interrupt":
            content["restart"] = ask.action == "restart"
        return [self._reply(ask.route, content)]

    # ---- the connection

    def _opened(self) -> list[Command]:
        waiting, self._waiting, self._waiting_bytes = self._waiting, deque(), 0
        headers = {bytes(payload.pieces[2]) for payload in waiting}
        again, self._was_open, self._is_open = self._was_open, True, True
        commands = self._probe(headers) if again else []
        return commands + [ToRemote(payload) for payload in waiting]

    def _probe(self, not_sent: Collection[bytes] = ()) -> list[Command]:
        """Ask something behind all that is under way: when that is answered, the rest never will be.

        `not_sent` are the headers of requests that are not under way yet.
        """
        commands: list[Command] = []
        self._probes.clear()
        for channel in ("shell", "control"):
            before = [route for route in self._routes.pending(channel) if route.header not in not_sent]
            if before:
                parts = self._mint("kernel_info_request", {}, NO_PARENT)
                self._probes[header_facts(parts[0]).msg_id] = (channel, before[-1].number)
                commands.append(ToRemote(self._framing.encode(channel, parts)))
        return commands

    # ---- from the kernel

    def _from_remote(self, message: bytes) -> list[Command]:
        try:
            channel, parts = self._framing.decode(message)
            facts = header_facts(parts[0])
            if channel == "iopub":
                return self._published(parts, facts)
            parent = header_facts(parts[1])
        except BadMessage:
            self.rejected += 1
            return []
        if probe := self._probes.pop(parent.msg_id, None):
            return self._give_up(*probe)
        route = self._routes.find(parent.msg_id)
        if route is None:
            return []
        if channel == "stdin":
            return [ToLocal("stdin", [*route.identities, *self._signer.pack(parts)])]
        reply = ToLocal(channel, [*route.identities, *self._signer.pack(parts)])
        if self._routes.is_overtaken(route):
            self._forget(route)
            return self._keep(route, reply)
        if channel == "shell" and route.msg_id not in self._idle:
            self._held[route.msg_id] = reply
            return [Wait(route.msg_id)]
        self._forget(route)
        return [reply]

    def _release(self, msg_id: str) -> list[Command]:
        """Send the reply that is held for this request, if one is."""
        reply, route = self._held.pop(msg_id, None), self._routes.find(msg_id)
        if route is None or reply is None:
            return []
        self._forget(route)
        return self._keep(route, reply) if self._routes.is_overtaken(route) else [reply]

    def _keep(self, route: Route, command: ToLocal) -> list[Command]:
        """Keep what answers `route` until the cell that overtook it has ended."""
        self._late.append((route, command))
        return []

    def _due(self) -> list[Command]:
        due = [command for route, command in self._late if not self._routes.is_overtaken(route)]
        self._late = [(route, command) for route, command in self._late if self._routes.is_overtaken(route)]
        return [*due]

    def _forget(self, route: Route | None) -> None:
        if route is None:
            return
        self._routes.answered(route.msg_id)
        self._idle.discard(route.msg_id)
        self._said_busy.discard(route.msg_id)
        self._held.pop(route.msg_id, None)

    def _published(self, parts: Parts, facts: HeaderFacts) -> list[Command]:
        published = self._publish(parts, b"kernel." + facts.msg_type.encode())
        if facts.msg_type != "status":
            return [published]
        commands: list[Command] = [published]
        state = _state_in(parts[3])
        parent = header_facts(parts[1])
        if state in ("restarting", "dead"):
            self.is_alive = state != "dead"
            lost = [*self._routes.pending("shell"), *self._routes.pending("control")]
            return [*commands, *self._lose(lost), Died(will_restart=self.is_alive)]
        self.is_alive = True
        if state == "busy" and parent.msg_id in self._said_busy:
            self._said_busy.discard(parent.msg_id)
            commands = []
        elif (asked := self._routes.find(parent.msg_id)) is not None and self._routes.is_overtaken(asked):
            commands = self._keep(asked, published) + self._release(parent.msg_id)
        elif state == "idle" and parent.msg_id in self._held:
            commands += self._release(parent.msg_id)
        elif state == "idle" and self._routes.is_pending(parent.msg_id):
            self._idle.add(parent.msg_id)
        return commands + self._notice_restart(parent, facts.session)

    def _notice_restart(self, parent: HeaderFacts, session: str) -> list[Command]:
        """A kernel's process keeps one session id for its life. Some repeat their client's, which says nothing."""
        if not session or session in (self._incarnation, parent.session):
            return []
        before, self._incarnation = self._incarnation, session
        return self._probe() if before else []

    def _give_up(self, channel: str, last: int) -> list[Command]:
        return self._lose([route for route in self._routes.pending(channel) if route.number <= last])

    def _lose(self, routes: list[Route]) -> list[Command]:
        """Answer requests that nobody else will answer any more."""
        commands: list[Command] = []
        why = "The kernel was started anew, or the connection to the hub broke, while this ran."
        for route in routes:
            if route.msg_id in self._held:
                commands += self._release(route.msg_id)
                continue
            self._forget(route)
            if route.msg_type == "execute_request":
                note = self._mint("stream", {"name": "stderr", "text": f"{why}\n"}, route.header)
                commands += [self._publish(note, b"kernel.stream"), self._say_state("idle", route)]
            content = {"status": "error", "ename": "KernelhubError", "evalue": why, "traceback": [why]}
            commands.append(self._reply(route, content))
        return commands

    def _reply(self, route: Route, content: dict[str, Any]) -> Command:
        parts = self._mint(route.msg_type.removesuffix("_request") + "_reply", content, route.header)
        return ToLocal(route.channel, [*route.identities, *self._signer.pack(parts)])

    def _say_state(self, state: str, route: Route) -> Command:
        return self._publish(self._mint("status", {"execution_state": state}, route.header), b"kernel.status")

    def _publish(self, parts: Parts, topic: bytes) -> ToLocal:
        return ToLocal("iopub", [topic, *self._signer.pack(parts)])


class _Shutdown(msgspec.Struct):
    restart: bool = False


class _Status(msgspec.Struct):
    execution_state: str = ""


_shutdown = msgspec.json.Decoder(_Shutdown)
_status = msgspec.json.Decoder(_Status)


def _action(msg_type: str, parts: Parts) -> str:
    if msg_type == "shutdown_request":
        try:
            return "restart" if _shutdown.decode(parts[3]).restart else "shutdown"
        except (ValueError, RecursionError):
            return "shutdown"
    return ASKED_OF_THE_HUB[msg_type]


def _state_in(content: Part) -> str:
    try:
        return _status.decode(content).execution_state
    except (ValueError, RecursionError):
        return ""
