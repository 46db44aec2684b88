"""The picture of everything that runs: rows of the Now page, made of values that others took. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.domain.culling import Action, Decision, Rule, in_words, still_true
from hub.domain.health import Health, HealthState
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState
from hub.domain.workspace import Workspace, WorkspaceState
from hub.live.use import Use
from hub.store.running import RunningWorkspace
from hub.workspaces.health import of_row

Decided = Callable[[list[WorkspaceId]], tuple[datetime | None, list[Decision]]]
"""`Culler.decisions_for`."""
HealthOf = Callable[[Kernel, Workspace], Health]
"""`Agents.health`."""
NOT_KNOWN = Health(HealthState.UNKNOWN)
BUSY = frozenset({KernelState.BUSY})


@dataclass(frozen=True, slots=True)
class KernelSeen:
    """A kernel: what it serves, what it uses now (None: not known), and what becomes of it in words."""

    kernel: Kernel
    serves: tuple[str, ...]
    cpus: float | None
    memory_bytes: int | None
    connections: int
    fate: str
    health: Health = NOT_KNOWN


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace that is not stopped. `cpus` are processors in use; `use` has the lines, None before the first."""

    workspace: Workspace
    owner: str
    kernels: tuple[KernelSeen, ...]
    cpus: float | None
    memory_bytes: int | None
    memory_limit_bytes: int | None
    connections: int
    is_silent: bool
    last_activity_at: datetime | None
    fate: str
    ends_at: datetime | None
    use: Use | None

    @property
    def is_busy(self) -> bool:
        """Whether a cell runs in any of its kernels."""
        return any(seen.kernel.state in BUSY for seen in self.kernels)

    @property
    def has_trouble(self) -> bool:
        """Whether a kernel does not answer, and somebody should do something about it."""
        return any(seen.health.is_trouble for seen in self.kernels)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each there are."""

    containers: int
    starting: int
    kernels: int
    busy: int
    silent: int
    paused: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that runs at one moment."""

    at: datetime
    places: tuple[Place, ...]

    def counts(self) -> Counts:
        """Of the places in it."""
        kernels = [seen.kernel for place in self.places for seen in place.kernels]
        return Counts(
            containers=len(self.places),
            starting=sum(place.workspace.state is WorkspaceState.STARTING for place in self.places),
            kernels=sum(kernel.state is not KernelState.DEAD for kernel in kernels),
            busy=sum(kernel.state in BUSY for kernel in kernels),
            silent=sum(place.is_silent for place in self.places),
            paused=sum(place.workspace.paused_at is not None for place in self.places),
        )


def draw(
    now: datetime,
    running: Iterable[RunningWorkspace],
    uses: Mapping[WorkspaceId, Use],
    decided: Decided,
    to_kernel: Callable[[KernelId], int],
    to_workspace: Callable[[WorkspaceId], int],
    health: HealthOf = of_row,
) -> Picture:
    """Join what the database, the sampler, the culler, the agents and the proxies know."""
    return Picture(now, tuple(_place(now, one, uses, decided, to_kernel, to_workspace, health) for one in running))


def _place(
    now: datetime,
    one: RunningWorkspace,
    uses: Mapping[WorkspaceId, Use],
    decided: Decided,
    to_kernel: Callable[[KernelId], int],
    to_workspace: Callable[[WorkspaceId], int],
    health: HealthOf,
) -> Place:
    workspace = one.workspace
    use = uses.get(workspace.id)
    at, decided_then = decided([workspace.id])
    decisions = still_true(decided_then, one.kernels)
    by_kernel = {decision.kernel_id: decision for decision in decisions}
    kernels = tuple(
        KernelSeen(
            kernel=kernel,
            serves=tuple(session.name or session.path for session in one.sessions.get(kernel.id, ())),
            cpus=use.kernel_cpus.get(kernel.id) if use is not None else None,
            memory_bytes=_memory_of(use, kernel.id),
            connections=to_kernel(kernel.id),
            fate=_words(by_kernel.get(kernel.id), at, now, "is shut"),
            health=health(kernel, workspace),
        )
        for kernel in one.kernels
    )
    newest = use.newest if use is not None else None
    moments = [kernel.last_activity_at for kernel in one.kernels]
    moments += [moment for moment in (workspace.last_activity_at,) if moment is not None]
    fate, ends_at = _fate(decisions, one, at, now)
    return Place(
        workspace=workspace,
        owner=one.owner,
        kernels=kernels,
        cpus=use.cpu.last if use is not None else None,
        memory_bytes=newest.memory_bytes if newest is not None else None,
        memory_limit_bytes=workspace.limits.memory_bytes or (newest.memory_limit_bytes if newest is not None else None),
        connections=to_workspace(workspace.id),
        is_silent=use is not None and use.silent_since is not None and workspace.state is WorkspaceState.RUNNING,
        last_activity_at=max(moments, default=None),
        fate=fate,
        ends_at=ends_at,
        use=use,
    )


def _memory_of(use: Use | None, kernel_id: KernelId) -> int | None:
    if use is None or use.newest is None or kernel_id not in use.newest.kernels:
        return None
    return use.newest.kernels[kernel_id][1]


def _fate(
    decisions: Sequence[Decision], one: RunningWorkspace, at: datetime | None, now: datetime
) -> tuple[str, datetime | None]:
    """What happens to the container next, and when: its own end, or a kernel's that comes before."""
    own = next((decision for decision in decisions if decision.kernel_id is None), None)
    dues = [decision for decision in decisions if decision.kernel_id is not None and decision.due_in is not None]
    first = min(dues, key=_due_in, default=None)
    is_first = own is not None and (first is None or _due_in(own) <= _due_in(first))
    if own is not None and is_first and (own.due_in is not None or own.action is Action.STOP_WORKSPACE):
        return _words(own, at, now, "stops"), _due(own, at)
    if first is not None and at is not None:
        what = "its kernel" if len(one.kernels) == 1 else "a kernel"
        return f"{what} {_words(first, at, now, 'is shut')}", _due(first, at)
    busy = next((decision for decision in decisions if decision.kernel_id is not None), None)
    return _words(busy or own, at, now, "stops"), None


def _due_in(decision: Decision) -> timedelta:
    if decision.action is Action.STOP_WORKSPACE:
        return timedelta(0)
    return decision.due_in if decision.due_in is not None else timedelta.max


def _due(decision: Decision, at: datetime | None) -> datetime | None:
    return at + decision.due_in if at is not None and decision.due_in is not None else None


def _words(decision: Decision | None, at: datetime | None, now: datetime, verb: str) -> str:
    """A decision in words: ``empty, stops in 12 min``, ``stays: a cell is running``."""
    if decision is None or at is None:
        return ""
    if decision.action is Action.REPORT_DEAD:
        return f"dead: {decision.reason}"
    if decision.action is Action.PAUSE_WORKSPACE:
        return f"is paused: {decision.reason}"
    if decision.action not in (Action.KEEP, Action.WARN):
        return f"{verb} now: {decision.reason}"
    if decision.due_in is None:
        return f"stays: {decision.reason}"
    left = at + decision.due_in - now
    when = f"in {in_words(left)}" if left > timedelta(0) else "at any moment"
    why = "empty, " if decision.rule is Rule.WORKSPACE_EMPTY else ""
    return f"{why}{verb} {when}"
