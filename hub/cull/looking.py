"""From what an agent says, what the proxies report and what is remembered: one snapshot of a workspace. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Protocol

from hub.cull.memory import Remembered, Seen
from hub.domain.culling import NOTHING, STUCK, KernelSnapshot, Rule, WorkspaceSnapshot
from hub.domain.culling_policy import CullingPolicy
from hub.domain.health import Health
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import KernelState
from hub.domain.workspace import Workspace
from hub.workspaces.agents import Live, LiveKernel
from proxy.contract.agent import TerminalInfo

OF_KERNELS = (Rule.KERNEL_IDLE, Rule.KERNEL_STUCK)
OF_WORKSPACES = (Rule.WORKSPACE_EMPTY, Rule.MAX_AGE)
JudgeHealth = Callable[[LiveKernel, Workspace], Health | None]
"""`Agents.health`."""


class Counts(Protocol):
    """The part of `Connections` that is used here."""

    def to_kernel(self, kernel_id: KernelId) -> int:
        """Open connections to a kernel."""

    def to_workspace(self, workspace_id: WorkspaceId) -> int:
        """Open connections to a workspace."""


def snapshot_of(
    workspace: Workspace,
    live: Live,
    known: Remembered,
    policy: CullingPolicy,
    connections: Counts,
    health: JudgeHealth,
    now: float,
    wall: datetime,
    quiet_for: timedelta | None = None,
) -> WorkspaceSnapshot:
    """What there is to see of a workspace at `now` (monotonic); what has to be remembered of it is put into `known`.

    `quiet_for`: how long nobody has needed it to go on, None: nobody ever did. What was heard of a paused workspace is
    old; its times have gone on.
    """
    since = max(0.0, now - live.heard_at)
    kernels = tuple(
        _kernel(workspace, kernel, known, policy, connections.to_kernel(kernel.id), health, now, wall)
        for kernel in live.kernels.values()
    )
    to_workspace = connections.to_workspace(workspace.id)
    terminals = sum(_is_in_use(terminal, policy, since) for terminal in live.terminals)
    jobs = tuple(job.program for job in live.jobs if job.exit_status is None)
    living = [kernel for kernel in kernels if kernel.state is not KernelState.DEAD]
    if living or terminals or to_workspace or jobs:
        known.empty_at = None
    elif known.empty_at is None:
        known.empty_at = now
    empty_for = NOTHING if known.empty_at is None else timedelta(seconds=now - known.empty_at)
    rests = [kernel.idle_for for kernel in living]
    rests += [timedelta(seconds=max(0.0, terminal.idle_seconds) + since) for terminal in live.terminals]
    stills = [*_stills(live, known, now), *rests[len(living) :], *([] if quiet_for is None else [quiet_for])]
    uptime = live.container.uptime_seconds
    by_the_wall = wall - workspace.started_at if workspace.started_at is not None else None
    for gone in known.seen.keys() - {None, *(kernel.id for kernel in kernels)}:
        del known.seen[gone]
    return WorkspaceSnapshot(
        workspace.id,
        kernels,
        terminals,
        to_workspace,
        empty_for,
        jobs,
        age=known.age(None if uptime is None else uptime + since, by_the_wall, now),
        rest_for=min(rests, default=empty_for),
        still_for=min(stills, default=empty_for),
        paused_for=paused_for(workspace, wall),
        standing=known.standing(None, OF_WORKSPACES, now),
    )


def _kernel(
    workspace: Workspace,
    kernel: LiveKernel,
    known: Remembered,
    policy: CullingPolicy,
    connections: int,
    health: JudgeHealth,
    now: float,
    wall: datetime,
) -> KernelSnapshot:
    seen, judged = known.of(kernel.id), health(kernel, workspace)
    state = judged.state if judged is not None else None
    if state not in STUCK:
        seen.stuck_at = None
    elif seen.stuck_at is None:
        seen.stuck_at = now
    frozen_for = paused_for(workspace, wall)
    if frozen_for is None and _works(kernel, policy):
        seen.used_at = seen.worked_at = now
    if connections and not policy.cull_connected:
        seen.used_at = now
    return KernelSnapshot(
        kernel.id,
        kernel.state,
        _idle_for(kernel, seen, now),
        connections,
        kernel.reason,
        cpu=kernel.cpu_recent if frozen_for is None else 0.0,
        health=state,
        stuck_for=timedelta(seconds=now - seen.stuck_at) if seen.stuck_at is not None else None,
        paused_for=frozen_for,
        standing=known.standing(kernel.id, OF_KERNELS, now),
    )


def paused_for(workspace: Workspace, wall: datetime) -> timedelta | None:
    """How long a workspace has been paused, None for one that is not."""
    return None if workspace.paused_at is None else max(NOTHING, wall - workspace.paused_at)


def _works(kernel: LiveKernel, policy: CullingPolicy) -> bool:
    """Whether it works in the background, which its agent does not count."""
    return policy.busy_cpu is not None and kernel.cpu_recent is not None and kernel.cpu_recent > policy.busy_cpu


def _stills(live: Live, known: Remembered, now: float) -> Iterator[timedelta]:
    """For how long each kernel has done nothing, whoever looks on."""
    for kernel in live.kernels.values():
        worked_at, idle = known.of(kernel.id).worked_at, kernel.idle_now(now)
        if kernel.state is not KernelState.DEAD:
            yield idle if worked_at is None else min(idle, timedelta(seconds=now - worked_at))


def _idle_for(kernel: LiveKernel, seen: Seen, now: float) -> timedelta:
    idle = kernel.idle_now(now)
    return idle if seen.used_at is None else min(idle, timedelta(seconds=now - seen.used_at))


def _is_in_use(terminal: TerminalInfo, policy: CullingPolicy, since: float) -> bool:
    """Whether a terminal holds its container: for as long after its last input or output as a kernel would."""
    limit = policy.kernel_idle
    return limit is None or terminal.idle_seconds + since < limit.total_seconds()
