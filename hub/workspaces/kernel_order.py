"""Kernels of the database and kernels of the agents, held against each other: the part of reconciliation that asks.

An agent that does not answer says nothing, and nothing follows from that. A kernel without a row is adopted if anything
was ever run in it: it may hold somebody's work, and its owner can see it then and end it; one in which nothing was run
is shut down (the answer to the request for it was lost, and whoever asked has asked again).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence

from hub import metrics
from hub.crash_points import Point, reached
from hub.domain.audit import AuditEvent
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import AgentSilent, Conflict, HubError, NotFound
from hub.store.engine import Store
from hub.workspaces.agents import Agents, LiveKernel, ask, last_activity
from hub.workspaces.connections import Connections
from hub.workspaces.differences import Kind, Patience, Suspicions, compare_kernels
from hub.workspaces.kernels import MAX_KERNELS, Kernels
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

STATUS_AGE_SECONDS = 15.0
"""An answer that somebody else had from the agent within this time is good enough for a first look."""
AT_ONCE = 50
GONE = "its process was gone when the hub looked for it"


class KernelOrder:
    """Puts kernels in order."""

    def __init__(self, store: Store, agents: Agents, kernels: Kernels, connections: Connections, clock: Clock) -> None:
        self._store = store
        self._agents = agents
        self._kernels = kernels
        self._connections = connections
        self._clock = clock

    async def round(
        self, running: Sequence[Workspace], rows: Sequence[Kernel], suspicions: Suspicions, patience: Patience
    ) -> dict[Kind, int]:
        """Compare the kernels of all running workspaces with `rows`, which were read before. How many were settled."""
        by_workspace: dict[WorkspaceId, list[Kernel]] = defaultdict(list)
        for row in rows:
            by_workspace[row.workspace_id].append(row)
        known = {row.id for row in rows}
        done: dict[Kind, int] = {}
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(workspace: Workspace) -> None:
            async with turns:
                try:
                    kinds = await self._of(workspace, by_workspace[workspace.id], known, suspicions, patience)
                except HubError as error:
                    log.warning("kernels of workspace %s were not compared: %s", workspace.id, error.message)
                    return
            for kind in kinds:
                done[kind] = done.get(kind, 0) + 1
                metrics.RECONCILE_FINDINGS.labels(kind).inc()

        await asyncio.gather(*(one(workspace) for workspace in running))
        return done

    async def _of(
        self,
        workspace: Workspace,
        rows: list[Kernel],
        known: Collection[str],
        suspicions: Suspicions,
        patience: Patience,
    ) -> list[Kind]:
        if workspace.paused_at is not None or self._agents.is_held(workspace.id):
            suspicions.keep_those(workspace.id)  # nothing is started in it, and nothing ends
            return []
        try:
            live = await self._agents.status(workspace.id, STATUS_AGE_SECONDS)
        except AgentSilent:
            suspicions.keep_those(workspace.id)
            return []
        found, now = compare_kernels(rows, live.kernels, known), self._clock.monotonic()
        settled: list[Kind] = []
        for row in found.gone:
            if suspicions.is_due((Kind.KERNEL_GONE, row.id, workspace.id), patience, now) and await self._forget(row):
                settled.append(Kind.KERNEL_GONE)
        for stranger in found.strangers:
            if suspicions.is_due((Kind.KERNEL_ADOPTED, stranger.id, workspace.id), patience, now):
                kind = await self._settle_stranger(workspace, stranger.id)
                settled += [] if kind is None else [kind]
        for _ in settled:
            reached(Point.RECONCILE_KERNEL_AFTER)
        return settled

    async def _forget(self, row: Kernel) -> bool:
        """Forget a kernel that its agent does not have, asked once more."""
        live = await self._agents.status(row.workspace_id, 0.0)
        if row.id in live.kernels:
            return False
        log.warning("kernel %s is not there any more: it is forgotten", row.id)
        await self._kernels.end(row, GONE)
        return True

    async def _settle_stranger(self, workspace: Workspace, kernel_id: KernelId) -> Kind | None:
        live = await self._agents.status(workspace.id, 0.0)
        kernel = live.kernels.get(kernel_id)
        if kernel is None or kernel.state in (KernelState.STARTING, KernelState.RESTARTING):
            return None
        if kernel.executions or self._connections.to_kernel(kernel_id) or kernel.state is KernelState.BUSY:
            return Kind.KERNEL_ADOPTED if await self._adopt(workspace, kernel) else None
        log.warning("kernel %s has no record, and nothing was ever run in it: it is shut down", kernel_id)
        try:
            await ask(self._agents.client(workspace.id).shutdown_kernel(kernel_id))
        except NotFound:
            return None
        finally:
            self._agents.forget_status(workspace.id)
        return Kind.KERNEL_UNUSED

    async def _adopt(self, workspace: Workspace, live: LiveKernel) -> bool:
        """Give a kernel a row, if its workspace still runs and its user may have one more."""
        now = self._clock.now()
        active_at = last_activity(live, now, self._clock.monotonic())
        kernel = Kernel(
            id=live.id,
            workspace_id=workspace.id,
            user_id=workspace.user_id,
            spec_name=live.spec_name,
            state=live.state,
            started_at=active_at,
            last_activity_at=active_at,
            executions=live.executions,
        )
        try:
            async with self._store.unit() as unit:
                current = await unit.workspaces.find(workspace.id)
                if current is None or current.state is not WorkspaceState.RUNNING:
                    return False
                if len(await unit.kernels.list_for(workspace.user_id)) >= MAX_KERNELS:
                    return False
                await unit.kernels.add(kernel)
                details: dict[str, str | int] = {
                    "user": workspace.user_id,
                    "reason": "it ran without a record",
                    "executions": live.executions,
                }
                await unit.audit.add(AuditEvent(now, "kernel.adopted", "hub", live.id, "", details))
        except Conflict:
            return False
        log.warning("kernel %s ran without a record: it is adopted", live.id)
        return True
