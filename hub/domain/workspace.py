"""A workspace's life cycle: a user's container for one profile.

The whole life is `advance(workspace, event) -> Transition`: the next value to persist and the effects to
perform afterwards. Effects' outcomes come back as events. An event that does not fit the state changes
nothing and says why, so that late answers and repeated requests are harmless.

    stopped ──StartRequested──▶ starting ──Started──▶ running ──StopRequested──▶ stopping ──Stopped──▶ stopped
       ▲                            │                   │  ▲                        │
       └────────StartFailed─────────┘

    starting, running, stopping ──EngineSilent──▶ unknown ──any positive word──▶ running or stopped

Nothing follows from the engine's silence, so `unknown` has no effects; a stop may be asked for in it.

A running workspace may be paused: its container is frozen and goes on where it was. That is a time beside the state
(`paused_at`), not a state: what holds of a running workspace holds of a paused one, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from hub.domain.ids import UserId, WorkspaceId


class WorkspaceState(StrEnum):
    """Where a workspace is in its life. `unknown`: the engine did not answer; nothing follows from that."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a workspace's container may use. None means unlimited."""

    memory_bytes: int | None
    cpus: float | None
    pids: int | None


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace as the database remembers it. `stop_reason` says in words why it is not running.

    `paused_at` is since when its container is frozen, None for one that is not; `unknown` keeps what was last known.
    """

    id: WorkspaceId
    user_id: UserId
    profile: str
    state: WorkspaceState
    image: str
    limits: Limits
    container_id: str | None = None
    started_at: datetime | None = None
    last_activity_at: datetime | None = None
    stop_reason: str | None = None
    paused_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StartRequested:
    """Somebody needs the workspace."""


@dataclass(frozen=True, slots=True)
class Started:
    """The spawner started the container and its agent answered. `phases`: how long each part took, in milliseconds."""

    container_id: str
    at: datetime
    phases: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StartFailed:
    """The start did not succeed; nothing is left behind. `reason` is a sentence for the user, `code` the error's."""

    reason: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Somebody, or the culler, wants the container stopped. `reason` is a sentence for the user."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The container is gone after a stop."""


@dataclass(frozen=True, slots=True)
class EngineSilent:
    """The engine did not answer: we do not know."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The container is frozen, or about to be: who writes it first can always thaw what it finds."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Thawed:
    """The container goes on."""


@dataclass(frozen=True, slots=True)
class ObservedRunning:
    """The engine positively said that the container runs, at the time `at`, and whether it is frozen.

    `at` counts for one that is found frozen and was not known to be: it is paused since then.
    """

    container_id: str
    is_paused: bool = False
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ObservedGone:
    """The engine positively said that the container ended or does not exist, and why if it knows."""

    reason: str


Event = (
    StartRequested
    | Started
    | StartFailed
    | StopRequested
    | Stopped
    | Paused
    | Thawed
    | EngineSilent
    | ObservedRunning
    | ObservedGone
)


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Effect: create and start the container."""


@dataclass(frozen=True, slots=True)
class StopContainer:
    """Effect: stop and remove the container, then forget its kernels with this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class ForgetKernels:
    """Effect: the container's kernels are gone; record why."""

    reason: str


Effect = StartContainer | StopContainer | ForgetKernels


@dataclass(frozen=True, slots=True)
class Transition:
    """What to persist, then what to perform. `ignored` says why an event changed nothing, else None."""

    workspace: Workspace
    effects: tuple[Effect, ...] = ()
    ignored: str | None = None


def advance(ws: Workspace, event: Event) -> Transition:
    """The next value of a workspace after an event, and what has to be done about it."""
    match ws.state, event:
        case WorkspaceState.STOPPED, StartRequested():
            starting = replace(ws, state=WorkspaceState.STARTING, stop_reason=None, container_id=None, paused_at=None)
            return Transition(starting, (StartContainer(),))
        case ((WorkspaceState.STARTING | WorkspaceState.UNKNOWN), Started(container_id, at)):
            return Transition(_running(ws, container_id, at))
        case WorkspaceState.STARTING, StartFailed(reason):
            return Transition(_stopped(ws, reason))
        case (
            (WorkspaceState.RUNNING | WorkspaceState.UNKNOWN | WorkspaceState.STARTING),
            StopRequested(reason),
        ):
            stopping = replace(ws, state=WorkspaceState.STOPPING, stop_reason=reason, paused_at=None)
            return Transition(stopping, (StopContainer(reason),))
        case ((WorkspaceState.STOPPING | WorkspaceState.UNKNOWN), Stopped()):
            return Transition(_stopped(ws, ws.stop_reason), (ForgetKernels(ws.stop_reason or "stopped"),))
        case WorkspaceState.RUNNING, Paused(at) if ws.paused_at is None:
            return Transition(replace(ws, paused_at=at))
        case WorkspaceState.RUNNING, Thawed() if ws.paused_at is not None:
            return Transition(replace(ws, paused_at=None))
        case ((WorkspaceState.STARTING | WorkspaceState.RUNNING | WorkspaceState.STOPPING), EngineSilent()):
            return Transition(replace(ws, state=WorkspaceState.UNKNOWN))
        case (
            (WorkspaceState.STOPPED | WorkspaceState.STARTING | WorkspaceState.UNKNOWN),
            ObservedRunning(container_id) as seen,
        ):
            return Transition(replace(_running(ws, container_id), paused_at=_paused_at(ws, seen)))
        case WorkspaceState.RUNNING, ObservedRunning(ws.container_id) as seen if _paused_at(ws, seen) != ws.paused_at:
            return Transition(replace(ws, paused_at=_paused_at(ws, seen)))
        case (
            (WorkspaceState.RUNNING | WorkspaceState.UNKNOWN | WorkspaceState.STOPPING),
            ObservedGone(reason),
        ):
            return Transition(_stopped(ws, ws.stop_reason or reason), (ForgetKernels(ws.stop_reason or reason),))
        case WorkspaceState.STARTING, ObservedGone(reason):
            return Transition(_stopped(ws, reason))
        case state, _:
            return Transition(ws, ignored=f"{type(event).__name__} does not apply to a {state} workspace")


def _running(ws: Workspace, container_id: str, started_at: datetime | None = None) -> Workspace:
    """Running since `started_at`; None for one that was only found running, whose times stay as known."""
    return replace(
        ws,
        state=WorkspaceState.RUNNING,
        container_id=container_id,
        started_at=started_at or ws.started_at,
        last_activity_at=started_at or ws.last_activity_at,
        stop_reason=None,
        paused_at=None,
    )


def _paused_at(ws: Workspace, seen: ObservedRunning) -> datetime | None:
    """Since when a container that was seen is frozen: as known before, or since it was seen so."""
    return (ws.paused_at or seen.at) if seen.is_paused else None


def _stopped(ws: Workspace, reason: str | None) -> Workspace:
    return replace(ws, state=WorkspaceState.STOPPED, container_id=None, stop_reason=reason, paused_at=None)
