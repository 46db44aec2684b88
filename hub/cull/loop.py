"""The culling loop: snapshots of running workspaces in, decisions of `hub.domain.culling` carried out.

A workspace whose agent does not answer gives no snapshot, so nothing is decided about it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub import metrics
from hub.config import Culling, Settings
from hub.domain.audit import AuditEvent
from hub.domain.culling import (
    Action,
    CullingPolicy,
    Decision,
    KernelSnapshot,
    WorkspaceSnapshot,
    decide,
)
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import KernelState
from hub.domain.workspace import Workspace
from hub.errors import HubError
from hub.store.engine import Store
from hub.workspaces.agents import Agents
from hub.workspaces.connections import Connections
from hub.workspaces.kernels import Kernels
from hub.workspaces.service import Workspaces
from proxy.contract.agent import TerminalInfo
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

ACTIVITY_GRAIN = timedelta(minutes=1)

START_GRACE = timedelta(minutes=1)
"""How long a kernel's start may take; a row that says `starting` for longer holds no container open."""


def policy_of(culling: Culling) -> CullingPolicy:
    """The policy that the settings describe."""
    return CullingPolicy(culling.kernel_idle, culling.workspace_empty, culling.cull_connected)


@dataclass(frozen=True, slots=True)
class _View:
    """A snapshot, and how long ago anything last happened in the workspace; None: nothing ever did."""

    snapshot: WorkspaceSnapshot
    idle_for: timedelta | None


class Culler:
    """Looks at every running workspace at an interval, and keeps its last decisions for those who ask."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        workspaces: Workspaces,
        kernels: Kernels,
        agents: Agents,
        connections: Connections,
        clock: Clock,
        culling: Callable[[], Culling] | None = None,
    ) -> None:
        self._culling = culling or (lambda: settings.culling)
        self._policy = policy_of(self._culling())
        self._store = store
        self._workspaces = workspaces
        self._kernels = kernels
        self._agents = agents
        self._connections = connections
        self._clock = clock
        self._empty_since: dict[WorkspaceId, float] = {}
        self._reported_dead: set[KernelId] = set()
        self._decisions: dict[WorkspaceId, list[Decision]] = {}
        self._decided_at: datetime | None = None

    async def run(self) -> None:
        """Cull at the interval, until cancelled. A round that fails is logged; the next one tries again."""
        while True:
            await asyncio.sleep(self._culling().interval.total_seconds())
            try:
                await self.run_once()
            except HubError as error:
                log.warning("a culling round was given up: %s", error.message)
            except Exception:
                log.exception("a culling round was given up")

    async def run_once(self) -> list[Decision]:
        """One round: look, decide, act. Gives all decisions, those that keep things included."""
        self._policy = policy_of(self._culling())
        running = await self._workspaces.list_running()
        seen = await asyncio.gather(*(self._look(workspace) for workspace in running))
        views = [(workspace, view) for workspace, view in zip(running, seen, strict=True) if view is not None]
        await self._note_activity(views)
        snapshots = [view.snapshot for _, view in views]
        decisions = decide(self._policy, snapshots)
        self._remember(running, decisions)
        for decision in decisions:
            try:
                await self._carry_out(decision)
            except HubError as error:
                log.warning("%s of %s was not done: %s", decision.action, decision.workspace_id, error.message)
        return decisions

    def decisions_for(self, workspace_ids: list[WorkspaceId]) -> tuple[datetime | None, list[Decision]]:
        """When the last round was, and what it decided about these workspaces and their kernels."""
        return self._decided_at, [d for w in workspace_ids for d in self._decisions.get(w, [])]

    async def _look(self, workspace: Workspace) -> _View | None:
        """What there is to see of a workspace; None when its agent does not answer."""
        try:
            live = await self._agents.status(workspace.id)
        except HubError as error:
            log.info("workspace %s is not judged: %s", workspace.id, error.message)
            self._empty_since.pop(workspace.id, None)
            await self._workspaces.look(workspace.id)
            return None
        now = self._clock.monotonic()
        kernels = tuple(
            KernelSnapshot(
                kernel.id,
                kernel.state,
                kernel.idle_now(now),
                self._connections.to_kernel(kernel.id),
                kernel.reason,
            )
            for kernel in live.kernels.values()
        )
        connections = self._connections.to_workspace(workspace.id)
        since = now
        living = any(kernel.state is not KernelState.DEAD for kernel in kernels)
        terminals = sum(self._in_use(terminal) for terminal in live.terminals)
        jobs = tuple(job.program for job in live.jobs if job.exit_status is None)
        if living or terminals or connections or jobs:
            self._empty_since.pop(workspace.id, None)
        else:
            since = self._empty_since.setdefault(workspace.id, now)
        snapshot = WorkspaceSnapshot(
            workspace.id, kernels, terminals, connections, timedelta(seconds=now - since), jobs
        )
        idle = [kernel.idle_for for kernel in kernels]
        idle += [timedelta(seconds=max(0.0, terminal.idle_seconds)) for terminal in live.terminals]
        return _View(snapshot, min(idle, default=None))

    def _in_use(self, terminal: TerminalInfo) -> bool:
        """Whether a terminal holds its container: for as long after its last input or output as a kernel would."""
        limit = self._policy.kernel_idle
        return limit is None or terminal.idle_seconds < limit.total_seconds()

    async def _note_activity(self, views: list[tuple[Workspace, _View]]) -> None:
        """Remember when workspaces were last active, no finer than `ACTIVITY_GRAIN`."""
        now = self._clock.now()
        moved = []
        for workspace, view in views:
            if view.idle_for is None:
                continue
            at, before = now - view.idle_for, workspace.last_activity_at
            if before is None or at - before > ACTIVITY_GRAIN:
                moved.append((workspace.id, at))
        if moved:
            async with self._store.unit() as unit:
                for workspace_id, at in moved:
                    await unit.workspaces.touch(workspace_id, at)

    def _remember(self, running: list[Workspace], decisions: list[Decision]) -> None:
        self._decided_at = self._clock.now()
        self._decisions = {workspace.id: [] for workspace in running}
        for decision in decisions:
            self._decisions[decision.workspace_id].append(decision)
        for gone in self._empty_since.keys() - self._decisions.keys():
            del self._empty_since[gone]
        dead = {d.kernel_id for d in decisions if d.action is Action.REPORT_DEAD and d.kernel_id is not None}
        self._reported_dead &= dead

    async def _carry_out(self, decision: Decision) -> None:
        match decision.action:
            case Action.SHUT_KERNEL if decision.kernel_id is not None:
                async with self._store.reading() as unit:
                    kernel = await unit.kernels.find(decision.kernel_id)
                # An agent may name any kernel; it is asked to shut only those of its own container.
                if kernel is not None and kernel.workspace_id == decision.workspace_id:
                    log.info("kernel %s is culled: %s", kernel.id, decision.reason)
                    await self._kernels.end(kernel, decision.reason, action="kernel.culled")
                    metrics.CULLED.labels("kernel").inc()
            case Action.REPORT_DEAD if decision.kernel_id is not None:
                await self._report_dead(decision.workspace_id, decision.kernel_id, decision.reason)
            case Action.STOP_WORKSPACE if not await self._kernel_begins(decision.workspace_id):
                log.info("workspace %s is culled: %s", decision.workspace_id, decision.reason)
                await self._workspaces.stop(decision.workspace_id, decision.reason)
                metrics.CULLED.labels("workspace").inc()
                self._empty_since.pop(decision.workspace_id, None)
            case _:
                pass

    async def _kernel_begins(self, workspace_id: WorkspaceId) -> bool:
        """Whether a kernel is being started that no snapshot shows yet: its row comes before its process."""
        since = self._clock.now() - START_GRACE
        async with self._store.reading() as unit:
            kernels = await unit.kernels.list_in(workspace_id)
        return any(kernel.state is KernelState.STARTING and kernel.started_at > since for kernel in kernels)

    async def _report_dead(self, workspace_id: WorkspaceId, kernel_id: KernelId, reason: str) -> None:
        """Record a dead kernel that no event told of: its agent reported it while the hub was away."""
        if kernel_id in self._reported_dead:
            return
        self._reported_dead.add(kernel_id)
        async with self._store.unit() as unit:
            kernel = await unit.kernels.find(kernel_id)
            if kernel is None or kernel.workspace_id != workspace_id or kernel.state is KernelState.DEAD:
                return
            await unit.audit.add(
                AuditEvent(
                    at=self._clock.now(),
                    action="kernel.died",
                    actor="hub",
                    subject=kernel_id,
                    details={"user": kernel.user_id, "reason": reason, "executions": kernel.executions},
                )
            )
