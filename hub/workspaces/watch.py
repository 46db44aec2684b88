"""What agents push, taken into the database: deaths at once and audited, other states as they change.

Events come faster than a database should be written, so only the newest of each kernel is kept, and written at
most every `WRITE_EVERY_SECONDS`. Nothing is lost with what is skipped: agents know the present at any time.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from hub import metrics
from hub.domain.audit import AuditEvent
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState
from hub.errors import HubError
from hub.store.engine import Store
from hub.store.unit import Unit
from hub.workspaces.agents import Agents, LiveKernel
from hub.workspaces.kernels import Kernels
from hub.workspaces.service import Workspaces
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

WRITE_EVERY_SECONDS = 1.0
MAX_KERNELS_HEARD = 64
"""Most kernels of one workspace between two writes: more cannot be, and what an agent says is anybody's word."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was heard of a kernel since the last write: a death must not be lost to the new life that followed it."""

    newest: LiveKernel
    death: LiveKernel | None


class Watch:
    """Listens to `Agents`, writes to the `Store`."""

    def __init__(self, store: Store, agents: Agents, workspaces: Workspaces, kernels: Kernels, clock: Clock) -> None:
        self._store = store
        self._kernels = kernels
        self._clock = clock
        self._news: dict[WorkspaceId, dict[KernelId, _Heard]] = {}
        self._woken = asyncio.Event()
        agents.on_kernel = self.heard
        agents.on_lost = workspaces.look_soon

    def heard(self, workspace_id: WorkspaceId, kernel: LiveKernel) -> None:
        """Take note of one kernel's newest state."""
        news = self._news.setdefault(workspace_id, {})
        before = news.get(kernel.id)
        if before is not None or len(news) < MAX_KERNELS_HEARD:
            death = kernel if is_death(kernel) else before.death if before is not None else None
            news[kernel.id] = _Heard(kernel, death)
        self._woken.set()

    async def run(self) -> None:
        """Write what was heard, until cancelled; news that cannot be written are dropped, and others come."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.write()
            except HubError as error:
                log.warning("kernel states were not written: %s", error.message)
            except Exception:
                log.exception("kernel states were not written")
            await asyncio.sleep(WRITE_EVERY_SECONDS)

    async def write(self) -> None:
        """Write all news in one unit of work; a kernel the hub does not know, or of another workspace, is ignored."""
        news, self._news = self._news, {}
        async with self._store.unit() as unit:
            for workspace_id, heard in news.items():
                known = {kernel.id for kernel in await unit.kernels.list_in(workspace_id)}
                for kernel_id in heard.keys() & known:
                    await self._write_one(unit, heard[kernel_id])

    async def _write_one(self, unit: Unit, heard: _Heard) -> None:
        row = await unit.kernels.find(heard.newest.id)
        if row is None:
            return
        await unit.kernels.save(self._kernels.observed(row, heard.newest))
        if heard.death is not None and died(row, heard.death) and not self._kernels.is_ending(row.id):
            log.warning("kernel %s died: %s", row.id, heard.death.reason)
            metrics.KERNEL_DEATHS.labels(metrics.death_class(heard.death.reason or "")).inc()
            await unit.audit.add(self._death(row, heard.death))

    def _death(self, row: Kernel, seen: LiveKernel) -> AuditEvent:
        return AuditEvent(
            at=self._clock.now(),
            action="kernel.died",
            actor="hub",
            subject=row.id,
            details={
                "user": row.user_id,
                "reason": seen.reason or "the kernel process ended",
                "executions": row.executions,
                "restarted": seen.state is not KernelState.DEAD,
            },
        )


def is_death(seen: LiveKernel) -> bool:
    """Whether a kernel's process ended by itself: it stays dead, or is restarted with a reason."""
    return seen.state is KernelState.DEAD or (seen.state is KernelState.RESTARTING and seen.reason is not None)


def died(row: Kernel, seen: LiveKernel) -> bool:
    """Whether this is the news of a death: the kernel is dead or being restarted with a reason, and was neither."""
    return is_death(seen) and row.state not in (KernelState.DEAD, KernelState.RESTARTING)
