"""What a bridge between a client and a kernel is told, and what it has done: events and commands.

Those that every message needs are structs, which cost a fifth of a frozen dataclass to make.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from proxy.contract.close_codes import CloseCode
from proxy.core.wire import Part, Parts, Signer
from proxy.kit.journal_format import Record


@dataclass(frozen=True, slots=True)
class KernelObserved:
    """The agent said how the kernel is: at attaching, and whenever that changes.

    `is_ending`: somebody else than its user has begun to end it, for `reason`.
    """

    state: str
    generation: int
    reason: str | None = None
    is_ending: bool = False


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


class ClientSent(msgspec.Struct, frozen=True):
    """A WebSocket message of the client."""

    message: str | bytes


class KernelSent(msgspec.Struct, frozen=True):
    """What one drain of a socket brought: ZeroMQ messages, in order."""

    channel: str
    messages: list[list[Part]]


@dataclass(frozen=True, slots=True)
class PlaceFound:
    """Where the client stands in the journal: it has everything up to record `place`; None when that is not known.

    `lost`: how many records after that the journal has no more. `past`: records before the place, as context.
    """

    turn: int
    place: int | None
    lost: int = 0
    past: list[Record] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class JournalRead:
    """Records of the journal, in order; `complete` when they reach its end as it was when they were read."""

    turn: int
    records: list[Record]
    complete: bool


@dataclass(frozen=True, slots=True)
class JournalAway:
    """The journal cannot be read, or there is none."""

    turn: int


@dataclass(frozen=True, slots=True)
class KernelEnded:
    """The kernel is no more, and its agent neither; `reason` None: its user wanted that, and need not be told."""

    reason: str | None


Event = (
    KernelObserved
    | SocketsOpened
    | SocketsFailed
    | PatienceEnded
    | ClientSent
    | KernelSent
    | PlaceFound
    | JournalRead
    | JournalAway
    | KernelEnded
)


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


class ToKernel(msgspec.Struct, frozen=True):
    """Send frames on a channel."""

    channel: str
    frames: list[Part]


class ToClient(msgspec.Struct, frozen=True):
    """Queue messages for the client, in order."""

    channel: str
    messages: list[Parts]


@dataclass(frozen=True, slots=True)
class FindPlace:
    """Say `PlaceFound` for the IOPub message with this identity; without one, for the record number `base`.

    `look_back`: with the records before it. `fresh`: after the agent has written all that it has.
    """

    turn: int
    identity: bytes
    base: int
    look_back: bool = False
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class ReadJournal:
    """Say `JournalRead` with the next records after `after`, once the client has room for more.

    `fresh`: after the agent has written all that it has; `pause`: seconds to wait before.
    """

    turn: int
    after: int
    fresh: bool = False
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class NoteRequest:
    """Tell the agent who asks the kernel to execute something, and for which cell."""

    msg_id: str
    session: str
    cell_id: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the WebSocket."""

    code: CloseCode
    reason: str


Command = (
    OpenSockets | CloseSockets | Wait | Probe | ToKernel | ToClient | FindPlace | ReadJournal | NoteRequest | Close
)
