"""The bridge between one client and one kernel, as a state machine without I/O: events in, commands out.

    WAITING ──SocketsOpened──▶ SUBSCRIBING ──first iopub message, or patience──▶ LIVE
       ▲                                                                            │
       └────────────── the kernel restarts, starts anew (generation), or died ◀─────┘

What the client sends before LIVE is held, in order, so that no output of its first requests can be missed: a
SUB socket hears only what is published after the kernel knows of it (ipykernel says so with ``iopub_welcome``;
other kernels are asked for ``kernel_info`` until something is heard). The kernel is never kept from sending.

`LIVE` costs no JSON at all. Source: JUPYTER_API 3.5, 3.8, 3.10; the Jupyter messaging protocol.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from proxy.contract.close_codes import CloseCode
from proxy.core.frames import ClientMessage, Framing, header_facts
from proxy.core.limits import DEFAULT_LIMITS, Limits
from proxy.core.messages import NO_PARENT, Minter
from proxy.core.wire import Part, Parts, Signer
from proxy.errors import BadMessage

PATIENCE_SECONDS = 1.0
"""How long the kernel's welcome is waited for before it is asked."""
PROBE_SECONDS = 0.5
PROBES = 8
"""After so many questions without an answer (a busy kernel of an old kind) the client's messages go anyway."""
READY = frozenset({"idle", "busy"})
_WELCOME = b"iopub_welcome"


class Phase(Enum):
    """Where a bridge stands; see the module's picture."""

    WAITING = "waiting"
    SUBSCRIBING = "subscribing"
    LIVE = "live"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class KernelObserved:
    """The agent said how the kernel is: at attaching, and whenever that changes."""

    state: str
    generation: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SocketsOpened:
    """The sockets to this generation of the kernel are connected."""

    generation: int
    signer: Signer


@dataclass(frozen=True, slots=True)
class SocketsFailed:
    """They could not be; `gone` when the agent knows no such kernel."""

    generation: int
    gone: bool


@dataclass(frozen=True, slots=True)
class PatienceEnded:
    """The time asked for with `Wait` has passed."""

    generation: int


@dataclass(frozen=True, slots=True)
class ClientSent:
    """A WebSocket message of the client."""

    message: str | bytes


@dataclass(frozen=True, slots=True)
class KernelSent:
    """What one drain of a socket brought: ZeroMQ messages, in order."""

    channel: str
    messages: list[list[Part]]


Event = KernelObserved | SocketsOpened | SocketsFailed | PatienceEnded | ClientSent | KernelSent


@dataclass(frozen=True, slots=True)
class OpenSockets:
    """Attach to this generation of the kernel and connect to its sockets, closing those open now."""

    generation: int


@dataclass(frozen=True, slots=True)
class CloseSockets:
    """Close the sockets: nobody is behind them any more."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Say `PatienceEnded` after so many seconds."""

    seconds: float
    generation: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Send these frames to shell and control by a path of their own, whose answers nobody wants."""

    frames: list[Part]


@dataclass(frozen=True, slots=True)
class ToKernel:
    """Send frames on a channel."""

    channel: str
    frames: list[Part]


@dataclass(frozen=True, slots=True)
class ToClient:
    """Queue messages for the client, in order."""

    channel: str
    messages: list[Parts]


@dataclass(frozen=True, slots=True)
class Close:
    """Close the WebSocket."""

    code: CloseCode
    reason: str


Command = OpenSockets | CloseSockets | Wait | Probe | ToKernel | ToClient | Close


class Bridge:
    """One connection's state machine. Call `handle` with each event; perform what it returns, in order.

    An event that does not fit (late, of an older generation) is ignored. `rejected` counts the kernel's
    messages that broke a rule and were left out.
    """

    def __init__(self, framing: Framing, mint: Minter, limits: Limits = DEFAULT_LIMITS) -> None:
        self.phase = Phase.WAITING
        self.rejected = 0
        self._framing = framing
        self._mint = mint
        self._limits = limits
        self._signer: Signer | None = None
        self._generation = -1
        self._state = ""
        self._probes = 0
        self._held: deque[ClientMessage] = deque()
        self._held_bytes = 0

    def handle(self, event: Event) -> list[Command]:
        """What follows from `event`."""
        if self.phase is Phase.CLOSED:
            return []
        match event:
            case KernelSent():
                return self._from_kernel(event)
            case ClientSent():
                return self._from_client(event.message)
            case KernelObserved():
                return self._observe(event)
            case SocketsOpened():
                return self._opened(event)
            case SocketsFailed():
                return self._failed(event)
            case PatienceEnded():
                return self._impatient(event)

    # ---- the kernel's life

    def _observe(self, seen: KernelObserved) -> list[Command]:
        if seen.generation < self._generation:
            return []
        is_new = seen.generation > self._generation
        was, self._state, self._generation = self._state, seen.state, seen.generation
        if seen.state in READY:
            # Not only a new generation: "restarting" may be told before the generation grows.
            if not is_new and was in READY:
                return []
            self._wait_again()
            return [OpenSockets(seen.generation)]
        if seen.state == was and not is_new:
            return []
        commands: list[Command] = []
        if was and (told := self._told_state(seen)) is not None:
            commands.append(ToClient("iopub", [self._mint("status", {"execution_state": told}, NO_PARENT)]))
        if self.phase is not Phase.WAITING:
            commands.append(CloseSockets())
        self._wait_again()
        return commands

    @staticmethod
    def _told_state(seen: KernelObserved) -> str | None:
        """The state that front ends must hear of from the server, since the kernel cannot say it.

        ``restarting`` makes them say that the kernel died, so it is not for a restart that was asked for.
        """
        if seen.state == "dead" or (seen.state == "restarting" and seen.reason):
            return seen.state
        return None

    def _wait_again(self) -> None:
        self.phase = Phase.WAITING
        self._signer = None

    def _opened(self, event: SocketsOpened) -> list[Command]:
        if event.generation != self._generation or self.phase is not Phase.WAITING:
            return []
        self.phase, self._signer, self._probes = Phase.SUBSCRIBING, event.signer, 0
        return [Wait(PATIENCE_SECONDS, self._generation)]

    def _failed(self, event: SocketsFailed) -> list[Command]:
        if event.generation != self._generation:
            return []
        if event.gone:
            return self._close(CloseCode.KERNEL_GONE, "this kernel does not exist any more")
        return self._close(CloseCode.SERVICE_RESTART, "the kernel's sockets did not open")

    def _impatient(self, event: PatienceEnded) -> list[Command]:
        if self.phase is not Phase.SUBSCRIBING or event.generation != self._generation:
            return []
        if self._probes >= PROBES or self._signer is None:
            return self._go_live()
        self._probes += 1
        frames = self._signer.pack(self._mint("kernel_info_request", {}, NO_PARENT))
        return [Probe(frames), Wait(PROBE_SECONDS, self._generation)]

    def _go_live(self) -> list[Command]:
        self.phase = Phase.LIVE
        held, self._held, self._held_bytes = self._held, deque(), 0
        return [self._to_kernel(message) for message in held]

    # ---- messages

    def _from_kernel(self, event: KernelSent) -> list[Command]:
        signer = self._signer
        if signer is None:
            return []
        messages: list[Parts] = []
        for frames in event.messages:
            try:
                parts = signer.unpack(frames, self._limits)
                if _WELCOME in parts[0] and header_facts(parts[0]).msg_type == "iopub_welcome":
                    continue  # to whoever subscribed last, told to everybody
            except BadMessage:
                self.rejected += 1
                continue
            messages.append(parts)
        commands: list[Command] = [ToClient(event.channel, messages)] if messages else []
        if self.phase is Phase.SUBSCRIBING and event.channel == "iopub":
            commands += self._go_live()
        return commands

    def _from_client(self, raw: str | bytes) -> list[Command]:
        try:
            message = self._framing.decode(raw)
        except BadMessage as bad:
            return self._close(CloseCode.POLICY, f"{bad.code}: {bad}")
        if self.phase is Phase.LIVE:
            return [self._to_kernel(message)]
        self._held_bytes += len(raw)
        if self._held_bytes > self._limits.held_bytes:
            return self._close(CloseCode.TRY_AGAIN_LATER, "the kernel is not ready, and too much waits for it")
        self._held.append(message)
        return []

    def _to_kernel(self, message: ClientMessage) -> ToKernel:
        assert self._signer is not None  # noqa: S101  LIVE has one
        return ToKernel(message.channel, self._signer.pack(message.parts))

    def _close(self, code: CloseCode, reason: str) -> list[Command]:
        self.phase = Phase.CLOSED
        self._held.clear()
        return [CloseSockets(), Close(code, reason[:100])]
