"""What agents last said of every kernel, followed over time, and judged by `hub.domain.health`.

An observation, not a truth: a hub that restarts begins anew, and whatever was not heard lately is unknown.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from hub.domain.health import BEAT, LATE, Container, Health, HealthState, Signals, judge
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import KernelState
from hub.domain.workspace import Workspace, WorkspaceState
from hub.workspaces.punctuality import Punctuality
from proxy.kit.clock import Clock

WORD_SECONDS = 30.0
"""An agent that has said nothing for so long does not answer: it is asked every ten seconds."""


@dataclass(frozen=True, slots=True)
class Signs:
    """The signals of one kernel as its agent last told them, bounded; None: the agent does not say."""

    heartbeat_for: timedelta | None = None
    control_for: timedelta | None = None
    cpu: float | None = None
    restarts: int = 0
    exit_status: int | None = None


class Judged(Protocol):
    """What is judged: a kernel as the database has it, or as its agent told it."""

    @property
    def id(self) -> KernelId:
        """Its id."""

    @property
    def spec_name(self) -> str:
        """Its kernelspec's name."""

    @property
    def state(self) -> KernelState:
        """The state that was told last."""

    @property
    def reason(self) -> str | None:
        """Why it died, if it did."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an agent about one kernel. `idle_for` means nothing unless the state is idle."""

    workspace_id: WorkspaceId
    state: KernelState
    generation: int
    idle_for: timedelta
    reason: str | None
    signs: Signs


@dataclass(frozen=True, slots=True)
class _Track:
    """A kernel over time. `heard_at`, `missed_at`, `interrupted_at` are on the hub's monotonic clock."""

    word: Word
    heard_at: float
    told_since: datetime
    misses: int = 0
    missed_at: float = 0.0
    interrupted_at: float | None = None
    state: HealthState | None = None
    state_since: datetime | None = None


class Healths:
    """The health of all kernels that this hub hears of."""

    def __init__(self, clock: Clock, punctuality: Punctuality | None = None) -> None:
        self._clock = clock
        self._punctuality = punctuality or Punctuality(clock)
        self._tracks: defaultdict[WorkspaceId, dict[KernelId, _Track]] = defaultdict(dict)
        self._silent: set[WorkspaceId] = set()

    def hear(self, kernel_id: KernelId, word: Word) -> None:
        """Take an agent's word, which counts for its own workspace only."""
        monotonic, now = self._clock.monotonic(), self._clock.now()
        self._silent.discard(word.workspace_id)
        tracks = self._tracks[word.workspace_id]
        before = tracks.get(kernel_id)
        if before is None or before.word.generation != word.generation:
            since = now - word.idle_for if word.state is KernelState.IDLE else now
            tracks[kernel_id] = _Track(word, monotonic, since)
            return
        changed = before.word.state is not word.state
        misses, missed_at = _misses(before, word, monotonic)
        tracks[kernel_id] = replace(
            before,
            word=word,
            heard_at=monotonic,
            told_since=now if changed else before.told_since,
            misses=misses,
            missed_at=missed_at,
            interrupted_at=None if changed else before.interrupted_at,
        )

    def interrupted(self, workspace_id: WorkspaceId, kernel_id: KernelId) -> None:
        """An interrupt was sent; the first of several counts."""
        track = self._tracks[workspace_id].get(kernel_id)
        if track is not None and track.interrupted_at is None:
            self._tracks[workspace_id][kernel_id] = replace(track, interrupted_at=self._clock.monotonic())

    def keep_only(self, workspace_id: WorkspaceId, kernel_ids: set[KernelId]) -> None:
        """The agent listed its kernels: others of this workspace are no more."""
        for gone in self._tracks[workspace_id].keys() - kernel_ids:
            del self._tracks[workspace_id][gone]

    def lose(self, workspace_id: WorkspaceId) -> None:
        """The agent does not answer: nothing is known of its kernels until it does, and misses begin anew."""
        self._silent.add(workspace_id)
        tracks = self._tracks[workspace_id]
        for kernel_id, track in tracks.items():
            tracks[kernel_id] = replace(track, misses=0)

    def forget(self, workspace_id: WorkspaceId) -> None:
        """The workspace was stopped."""
        self._silent.discard(workspace_id)
        self._tracks.pop(workspace_id, None)

    def of(self, kernel: Judged, workspace: Workspace) -> Health:
        """The health of a kernel of this workspace now, from what was heard of it last."""
        signals = self._signals(kernel, workspace)
        track = self._tracks[workspace.id].get(kernel.id)
        if track is None:
            return judge(signals, workspace.paused_at if signals.container is Container.PAUSED else None)
        state = judge(signals).state
        if track.state is not state:
            track = replace(track, state=state, state_since=self._began(track, state, signals))
            self._tracks[workspace.id][kernel.id] = track
        since = workspace.paused_at if state is HealthState.PAUSED else self._since(track, state)
        return judge(signals, since)

    def _began(self, track: _Track, state: HealthState, signals: Signals) -> datetime | None:
        """When a state began that is seen now for the first time; None: when the agent told it."""
        now = self._clock.now()
        if state in (HealthState.STUCK, HealthState.BUSY_NOT_RESPONDING):
            return now - (signals.control_for or timedelta(0))
        if state is HealthState.NOT_RESPONDING:
            return now - (signals.heartbeat_for or timedelta(0))
        return now if track.state is not None else None

    def _since(self, track: _Track, state: HealthState) -> datetime | None:
        if state is HealthState.IDLE:
            heard_ago = timedelta(seconds=self._clock.monotonic() - track.heard_at)
            return self._clock.now() - track.word.idle_for - heard_ago
        if state.value == track.word.state.value:
            return track.told_since
        return track.state_since or track.told_since

    def _signals(self, kernel: Judged, workspace: Workspace) -> Signals:
        container = container_of(workspace)
        reason = workspace.stop_reason if container is Container.GONE else kernel.reason
        track = self._tracks[workspace.id].get(kernel.id)
        is_python = kernel.spec_name.startswith("python")
        if track is None:
            answers = workspace.id not in self._silent
            return Signals(kernel.state, container, answers, reason=reason, is_python=is_python)
        monotonic = self._clock.monotonic()
        word, signs, since = track.word, track.word.signs, track.interrupted_at
        return Signals(
            told=word.state,
            container=container,
            agent_answers=word.workspace_id not in self._silent and monotonic - track.heard_at <= WORD_SECONDS,
            hub_lag=self._punctuality.lag(),
            heartbeat_for=signs.heartbeat_for,
            misses=track.misses,
            control_for=signs.control_for,
            cpu=signs.cpu,
            reason=reason if container is Container.GONE else word.reason,
            restarts=signs.restarts,
            is_python=is_python,
            interrupted_for=None if since is None else timedelta(seconds=monotonic - since),
        )


def of_row(kernel: Judged, workspace: Workspace) -> Health:
    """The health of a kernel by what the database knows alone."""
    container = container_of(workspace)
    reason = workspace.stop_reason if container is Container.GONE else kernel.reason
    since = workspace.paused_at if container is Container.PAUSED else None
    return judge(Signals(kernel.state, container, reason=reason), since)


def container_of(workspace: Workspace) -> Container:
    """What is positively known of a kernel's container."""
    if workspace.state is WorkspaceState.UNKNOWN:
        return Container.UNKNOWN
    if workspace.state is WorkspaceState.STOPPED:
        return Container.GONE
    return Container.PAUSED if workspace.paused_at is not None else Container.RUNNING


def _misses(before: _Track, word: Word, monotonic: float) -> tuple[int, float]:
    """How many answers, at least a beat apart, said that the echo is late; and when the last that counted came."""
    echo = word.signs.heartbeat_for
    if echo is None or echo < LATE:
        return 0, before.missed_at
    if before.misses and monotonic - before.missed_at < BEAT.total_seconds():
        return before.misses, before.missed_at
    return before.misses + 1, monotonic
