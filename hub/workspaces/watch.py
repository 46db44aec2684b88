"""What agents push, taken into the database: deaths at once and audited, other states as they change.

Events come faster than a database should be written, so only the newest of each kernel is kept, and written at
most every `WRITE_EVERY_SECONDS`. Nothing is lost with what is skipped: agents know the present at any time.
"""

from __future__ import annotations

import asyncio
import logging

from hub.domain.audit import AuditEvent
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState
from hub.errors import StoreUnavailable
from hub.store.engine import Store
from hub.workspaces.agents import Agents, LiveKernel
from hub.workspaces.kernels import Kernels
from hub.workspaces.service import Workspaces
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

WRITE_EVERY_SECONDS = 1.0


class Watch:
    """Listens to `Agents`, writes to the `Store`."""

    def __init__(self, store: Store, agents: Agents, workspaces: Workspaces, kernels: Kernels, clock: Clock) -> None:
        self._store = store
        self._kernels = kernels
        self._clock = clock
        self._news: dict[KernelId, tuple[WorkspaceId, LiveKernel]] = {}
        self._woken = asyncio.Event()
        agents.on_kernel = self.heard
        agents.on_lost = workspaces.look_soon

    def heard(self, workspace_id: WorkspaceId, kernel: LiveKernel) -> None:
        """Take note of one kernel's newest state."""
        self._news[kernel.id] = (workspace_id, kernel)
        self._woken.set()

    async def run(self) -> None:
        """Write what was heard, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.write()
            except StoreUnavailable as error:
                log.warning("kernel states were not written: %s", error.message)
            await asyncio.sleep(WRITE_EVERY_SECONDS)

    async def write(self) -> None:
        """Write all news in one unit of work; a kernel the hub does not know, or of another workspace, is ignored."""
        news, self._news = self._news, {}
        async with self._store.unit() as unit:
            for kernel_id, (workspace_id, seen) in news.items():
                row = await unit.kernels.find(kernel_id)
                if row is None or row.workspace_id != workspace_id:
                    continue
                await unit.kernels.save(self._kernels.observed(row, seen))
                if died(row, seen) and not self._kernels.is_ending(kernel_id):
                    log.warning("kernel %s died: %s", kernel_id, seen.reason)
                    await unit.audit.add(self._death(row, seen))

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


def died(row: Kernel, seen: LiveKernel) -> bool:
    """Whether this is the news of a death: the kernel is dead or being restarted with a reason, and was neither."""
    ended = seen.state is KernelState.DEAD or (seen.state is KernelState.RESTARTING and seen.reason is not None)
    return ended and row.state not in (KernelState.DEAD, KernelState.RESTARTING)
