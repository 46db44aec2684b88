"""Decisions carried out and recorded: warnings, ends, dead kernels. Right before an end, it is looked once more."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Protocol

from hub import metrics
from hub.domain.audit import AuditEvent, Detail
from hub.domain.culling import Action, Decision, Rule
from hub.domain.ids import KernelId, UserId, WorkspaceId
from hub.domain.kernels import KernelState
from hub.domain.workspace import Workspace
from hub.store.engine import Store
from hub.workspaces.agents import Agents
from hub.workspaces.kernels import Kernels
from hub.workspaces.service import Workspaces
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

START_GRACE = timedelta(minutes=1)
"""How long a kernel's start may take; a row that says `starting` for longer holds no container open."""
SINCE_LOOKED = timedelta(seconds=1)


class Pausing(Protocol):
    """The part of `Freezer` that is used here."""

    @property
    def can_pause(self) -> bool:
        """Whether the spawner can."""

    async def pause_soon(self, workspace_id: WorkspaceId, at_rest: timedelta, reason: str = "") -> None:
        """Freeze a container in which nothing has happened for `at_rest`, in the background."""

    def quiet_for(self, workspace_id: WorkspaceId) -> timedelta | None:
        """How long nobody has needed it, None: nobody ever did."""


class Acting:
    """What the culler does. `pausing` None: nothing is paused."""

    def __init__(
        self,
        store: Store,
        workspaces: Workspaces,
        kernels: Kernels,
        agents: Agents,
        clock: Clock,
        pausing: Pausing | None = None,
    ) -> None:
        self._store = store
        self._workspaces = workspaces
        self._kernels = kernels
        self._agents = agents
        self._clock = clock
        self._pausing = pausing
        self._reported_dead: set[KernelId] = set()

    async def carry_out(self, decision: Decision, workspace: Workspace) -> None:
        """Do what a decision asks for. Raises a HubError when that could not be done."""
        match decision.action:
            case Action.SHUT_KERNEL if decision.kernel_id is not None:
                await self._shut(decision, workspace, decision.kernel_id)
            case Action.REPORT_DEAD if decision.kernel_id is not None:
                await self._report_dead(decision.workspace_id, decision.kernel_id, decision.reason)
            case Action.STOP_WORKSPACE:
                await self._stop(decision, workspace)
            case Action.PAUSE_WORKSPACE if self._pausing is not None and decision.facts.limit is not None:
                await self._pausing.pause_soon(decision.workspace_id, decision.facts.limit, decision.reason)
            case _:
                pass

    def still_dead(self, decisions: list[Decision]) -> None:
        """Dead kernels that are not seen any more are forgotten."""
        self._reported_dead &= {
            decision.kernel_id
            for decision in decisions
            if decision.action is Action.REPORT_DEAD and decision.kernel_id is not None
        }

    async def record(self, what: str, decision: Decision, user_id: UserId) -> None:
        """Write a decision into the audit log with the numbers that it was made from."""
        async with self._store.unit() as unit:
            await unit.audit.add(
                AuditEvent(
                    at=self._clock.now(),
                    action=f"culling.{what}",
                    actor="hub",
                    subject=decision.kernel_id or decision.workspace_id,
                    details={"user": user_id, "workspace": decision.workspace_id, **numbers(decision)},
                )
            )

    async def _shut(self, decision: Decision, workspace: Workspace, kernel_id: KernelId) -> None:
        async with self._store.reading() as unit:
            kernel = await unit.kernels.find(kernel_id)
        # An agent may name any kernel; it is asked to shut only those of its own container.
        if kernel is None or kernel.workspace_id != decision.workspace_id:
            return
        await self._agents.wake(workspace.id)
        live = (await self._agents.status(workspace.id, 0.0)).kernels.get(kernel_id)
        if live is None or (decision.rule is Rule.KERNEL_IDLE and _was_used(live.idle_now(self._now()), decision)):
            log.info("kernel %s is not culled: it was used a moment ago", kernel_id)
            return
        log.info("kernel %s is culled: %s", kernel.id, decision.reason)
        await self.record("decided", decision, workspace.user_id)
        await self._kernels.end(kernel, decision.reason, action="kernel.culled")
        metrics.CULLED.labels("kernel").inc()

    async def _stop(self, decision: Decision, workspace: Workspace) -> None:
        live = await self._agents.status(workspace.id, 0.0)
        living = [kernel for kernel in live.kernels.values() if kernel.state is not KernelState.DEAD]
        in_use = [kernel for kernel in living if kernel.state is not KernelState.IDLE]
        works = any(job.exit_status is None for job in live.jobs)
        held = living if decision.rule is Rule.WORKSPACE_EMPTY else in_use
        if held or works or await self._kernel_begins(workspace.id):
            log.info("workspace %s is not culled: it was used a moment ago", workspace.id)
            return
        log.info("workspace %s is culled: %s", workspace.id, decision.reason)
        await self.record("decided", decision, workspace.user_id)
        await self._workspaces.stop(workspace.id, decision.reason)
        metrics.CULLED.labels("workspace").inc()

    def _now(self) -> float:
        return self._clock.monotonic()

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


def numbers(decision: Decision) -> dict[str, Detail]:
    """What a decision was made from, as the audit log and the API say it; spans in seconds."""
    facts, standing = decision.facts, decision.facts.standing

    def seconds(span: timedelta | None) -> float | None:
        return round(span.total_seconds(), 3) if span is not None else None

    return {
        "action": str(decision.action),
        "rule": str(decision.rule) if decision.rule is not None else None,
        "reason": decision.reason,
        "state": facts.state,
        "spent_seconds": seconds(facts.spent),
        "limit_seconds": seconds(facts.limit),
        "limit_source": facts.source,
        "connections": facts.connections,
        "cpu": facts.cpu,
        "warning_seconds": seconds(facts.warning),
        "warned_for_seconds": seconds(standing.warned_for) if standing.warned_of is decision.rule else None,
        "put_off_for_seconds": seconds(standing.put_off_for) or None,
        "times_put_off": standing.times,
        "put_off_seconds": seconds(standing.put_off),
        "quiet_for_seconds": seconds(facts.quiet_for) or None,
    }


def _was_used(idle_for: timedelta, decision: Decision) -> bool:
    spent = decision.facts.spent
    return spent is not None and idle_for + SINCE_LOOKED < spent
