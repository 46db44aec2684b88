"""What differs between database, engine and run folders, and how long it has. Pure.

A difference is not yet a reason to act. What the engine says of a workspace that the database knows is taken in at
once (nothing ends by that). What has no owner must have been seen without one in several rounds and for a time of
grace: a request that is under way looks just so for a moment.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import Kernel
from hub.domain.workspace import Workspace, WorkspaceState
from hub.spawn.protocol import Observation, Presence
from hub.workspaces.agents import LiveKernel

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
IN_TRANSITION = (WorkspaceState.STARTING, WorkspaceState.STOPPING)


class Kind(StrEnum):
    """What can differ."""

    FOUND_RUNNING = "found_running"
    """A container runs that the database did not know to run: it is adopted."""
    FOUND_GONE = "found_gone"
    """The database says that a container runs, or moves, and there is none."""
    FOUND_PAUSED = "found_paused"
    """A container is frozen that the database did not know to be: it is taken for paused, and goes on when needed."""
    FOUND_THAWED = "found_thawed"
    """A container goes on that the database knows as paused: somebody has thawed it by hand."""
    UNFINISHED_STOP = "unfinished_stop"
    """A stop that nobody goes on with: its hub ended. It is gone on with."""
    LEFTOVER = "leftover"
    """The ended container or the run folder of a workspace that is stopped: removed."""
    UNOWNED_CONTAINER = "unowned_container"
    """A container of this hub's label, of no workspace: ended."""
    UNOWNED_FOLDER = "unowned_folder"
    """A run folder of no workspace and no container: removed."""
    PROBE = "probe"
    """What a probe of an image left: removed."""
    KERNEL_GONE = "kernel_gone"
    """A kernel of the database that its agent does not have: forgotten."""
    KERNEL_ADOPTED = "kernel_adopted"
    """A kernel that an agent has and in which something was run, without a row: it gets one."""
    KERNEL_UNUSED = "kernel_unused"
    """A kernel that an agent has and in which nothing was ever run, without a row: shut down."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. `known` is the workspace as the database had it, `seen` the engine's word, where there are."""

    kind: Kind
    subject: str
    known: Workspace | None = None
    seen: Observation | None = None

    @property
    def key(self) -> tuple[Kind, str, WorkspaceState | None]:
        """What makes two differences, seen one after the other, the same one."""
        return self.kind, self.subject, self.known.state if self.known is not None else None


def compare(
    workspaces: Iterable[Workspace],
    inventory: Iterable[Observation],
    folders: Iterable[WorkspaceId],
    *,
    moving: Collection[WorkspaceId] = (),
    is_probe: Collection[str] = (),
    scratch: str = "verify-",
) -> list[Difference]:
    """The differences. `moving` are the workspaces that this hub starts or stops just now: nothing is said of them.

    The inventory and the folders must have been taken before the workspaces were read: rows are written before
    containers and folders are made, so what has no row then has no owner. `is_probe` are ids of probes; ids that begin
    with `scratch` are looked after elsewhere.
    """
    listed = {seen.workspace_id: seen for seen in inventory}
    with_folder = set(folders)
    found: list[Difference] = []
    known: set[WorkspaceId] = set()
    for workspace in workspaces:
        known.add(workspace.id)
        if workspace.id in moving:
            continue
        seen = listed.get(workspace.id) or Observation(workspace.id, Presence.ABSENT)
        kind = _of_workspace(workspace.state, seen.presence, workspace.id in with_folder) or _of_pause(workspace, seen)
        if kind is not None:
            found.append(Difference(kind, workspace.id, workspace, seen))
    for workspace_id in sorted((listed.keys() | with_folder) - known):
        if workspace_id.startswith(scratch):
            continue
        if workspace_id in is_probe:
            found.append(Difference(Kind.PROBE, workspace_id, None, listed.get(workspace_id)))
        elif workspace_id in listed:
            found.append(Difference(Kind.UNOWNED_CONTAINER, workspace_id, None, listed[workspace_id]))
        else:
            found.append(Difference(Kind.UNOWNED_FOLDER, workspace_id))
    return found


def _of_workspace(state: WorkspaceState, presence: Presence, has_folder: bool) -> Kind | None:
    running = presence is Presence.RUNNING
    match state:
        case WorkspaceState.STOPPED if running:
            return Kind.FOUND_RUNNING
        case WorkspaceState.STOPPED:
            return Kind.LEFTOVER if presence is Presence.EXITED or has_folder else None
        case WorkspaceState.RUNNING:
            return None if running else Kind.FOUND_GONE
        case WorkspaceState.STOPPING:
            return Kind.UNFINISHED_STOP if running else Kind.FOUND_GONE
        case WorkspaceState.STARTING | WorkspaceState.UNKNOWN:
            return Kind.FOUND_RUNNING if running else Kind.FOUND_GONE


def _of_pause(workspace: Workspace, seen: Observation) -> Kind | None:
    if workspace.state is not WorkspaceState.RUNNING or seen.is_paused is (workspace.paused_at is not None):
        return None
    return Kind.FOUND_PAUSED if seen.is_paused else Kind.FOUND_THAWED


@dataclass(frozen=True, slots=True)
class KernelDifferences:
    """Kernels of one workspace: rows without a kernel, and kernels without a row."""

    gone: list[Kernel]
    strangers: list[LiveKernel]


def compare_kernels(
    rows: Iterable[Kernel], live: Mapping[KernelId, LiveKernel], known_ids: Collection[str]
) -> KernelDifferences:
    """Compare the rows of one workspace with what its agent said after they were read.

    `known_ids` are the ids of all kernels of everybody: an agent is anybody's word, and a kernel of somebody else's id
    is nobody's to adopt. So is one whose id is none that the hub gives.
    """
    gone = [row for row in rows if row.id not in live]
    strangers = [kernel for kernel in live.values() if kernel.id not in known_ids and _UUID.match(kernel.id)]
    return KernelDifferences(gone, strangers)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and for how long (seconds) a difference must have been seen before it is acted upon."""

    looks: int
    seconds: float


@dataclass(slots=True)
class _Suspicion:
    since: float
    looks: int


Key = tuple[str | None, ...]


@dataclass(slots=True)
class Suspicions:
    """Remembers since when each difference is there. Pure but for itself; times are monotonic, in seconds."""

    _known: dict[Key, _Suspicion] = field(default_factory=dict)
    _seen: set[Key] = field(default_factory=set)

    def begin(self) -> None:
        """A round begins: what it does not see again is forgotten at its `end`."""
        self._seen = set()

    def is_due(self, key: Key, patience: Patience, now: float) -> bool:
        """Note that it was seen now; whether that was often and long enough."""
        self._seen.add(key)
        suspicion = self._known.setdefault(key, _Suspicion(now, 0))
        suspicion.looks += 1
        return suspicion.looks >= patience.looks and now - suspicion.since >= patience.seconds

    def end(self) -> int:
        """The round is over; how many are under suspicion."""
        self._known = {key: suspicion for key, suspicion in self._known.items() if key in self._seen}
        return len(self._known)

    def keep_those(self, last: str) -> None:
        """Nothing is known, in this round, of those whose keys end with this: neither seen nor gone."""
        self._seen.update(key for key in self._known if key[-1] == last)

    def __len__(self) -> int:
        return len(self._known)
