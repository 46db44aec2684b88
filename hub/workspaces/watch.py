"""What agents push, taken into the database: deaths at once and audited, other states as they change.

Events come faster than a database should be written, so only the newest of each kernel is kept, and written at
most every `WRITE_EVERY_SECONDS`; a death does not wait for that. Nothing is lost with what is skipped: agents know the
present at any time. Where an agent is lost, its container is looked at until the engine knows what became of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from hub import metrics
from hub.domain.audit import AuditEvent
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState
from hub.domain.workspace import WorkspaceState
from hub.errors import HubError
from hub.store.engine import Store
from hub.store.unit import Unit
from hub.workspaces.agents import Agents, LiveKernel
from hub.workspaces.kernels import Kernels
from hub.workspaces.service import Workspaces
from proxy.kit.clock import Clock
from proxy.kit.tasks import TaskOwner

log = logging.getLogger(__name__)

WRITE_EVERY_SECONDS = 1.0
DEATHS_EVERY_SECONDS = 0.2
"""Deaths are written so often at most: a hostile container can tell of as many as it likes."""
LOOKS = (0.0, 0.1, 0.2, 0.3, 0.5) + (1.0,) * 20
"""Pauses between looks at a container whose agent was lost: the engine knows of its end a little later."""
MAX_DEATHS_KNOWN = 10_000
MAX_KERNELS_HEARD = 64
"""Most kernels of one workspace between two writes: more cannot be, and what an agent says is anybody's word."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was heard of a kernel since the last write: a death must not be lost to the new life that followed it."""

    newest: LiveKernel
    death: LiveKernel | None


class Watch:
    """Listens to `Agents`, writes to the `Store`. `on_news` is called after something ended that pages show."""

    def __init__(self, store: Store, agents: Agents, workspaces: Workspaces, kernels: Kernels, clock: Clock) -> None:
        self._store = store
        self._kernels = kernels
        self._clock = clock
        self._news: dict[WorkspaceId, dict[KernelId, _Heard]] = {}
        self._woken = asyncio.Event()
        self._death = asyncio.Event()
        self._agents = agents
        self._workspaces = workspaces
        self._tasks = TaskOwner("watch")
        self._told: dict[KernelId, tuple[int, KernelState]] = {}
        self._looking: set[WorkspaceId] = set()
        self.on_news: Callable[[], None] = lambda: None
        agents.on_kernel = self.heard
        agents.on_lost = self.lost

    def heard(self, workspace_id: WorkspaceId, kernel: LiveKernel) -> None:
        """Take note of one kernel's newest state."""
        news = self._news.setdefault(workspace_id, {})
        before = news.get(kernel.id)
        if before is not None or len(news) < MAX_KERNELS_HEARD:
            death = kernel if is_death(kernel) else before.death if before is not None else None
            news[kernel.id] = _Heard(kernel, death)
            if death is kernel:
                self._death.set()
        self._woken.set()

    def lost(self, workspace_id: WorkspaceId) -> None:
        """The agent of this workspace was lost: look what became of its container, until that is known."""
        if workspace_id not in self._looking and not self._tasks.is_closed:
            self._looking.add(workspace_id)
            self._tasks.start(self._look(workspace_id), f"look {workspace_id}")

    async def _look(self, workspace_id: WorkspaceId) -> None:
        try:
            for pause in LOOKS:
                await asyncio.sleep(pause)
                if self._agents.connected(workspace_id):
                    break
                workspace = await self._workspaces.look(workspace_id)
                if workspace is None or workspace.state is WorkspaceState.STOPPED:
                    break
        except HubError as error:
            log.warning("workspace %s was not looked at: %s", workspace_id, error.message)
        finally:
            self._looking.discard(workspace_id)
            self.on_news()

    async def close(self) -> None:
        """End the looks under way."""
        await self._tasks.close()

    async def run(self) -> None:
        """Write what was heard, until cancelled; news that cannot be written are dropped, and others come."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            self._death.clear()
            try:
                await self.write()
            except HubError as error:
                log.warning("kernel states were not written: %s", error.message)
            except Exception:
                log.exception("kernel states were not written")
            await asyncio.sleep(DEATHS_EVERY_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITE_EVERY_SECONDS - DEATHS_EVERY_SECONDS):
                    await self._death.wait()

    async def write(self) -> None:
        """Write all news in one unit of work; a kernel the hub does not know, or of another workspace, is ignored."""
        news, self._news = self._news, {}
        any_death = any(one.death is not None for heard in news.values() for one in heard.values())
        async with self._store.unit() as unit:
            for workspace_id, heard in news.items():
                known = {kernel.id for kernel in await unit.kernels.list_in(workspace_id)}
                for kernel_id in heard.keys() & known:
                    await self._write_one(unit, heard[kernel_id])
        if any_death:
            self.on_news()

    async def _write_one(self, unit: Unit, heard: _Heard) -> None:
        row = await unit.kernels.find(heard.newest.id)
        if row is None:
            return
        await unit.kernels.save(self._kernels.observed(row, heard.newest))
        if heard.death is not None and self._is_news(row, heard.death) and not self._kernels.is_ending(row.id):
            log.warning("kernel %s died: %s", row.id, heard.death.reason)
            metrics.KERNEL_DEATHS.labels(metrics.death_class(heard.death.reason or "")).inc()
            await unit.audit.add(self._event(row, heard.death))

    def _is_news(self, row: Kernel, seen: LiveKernel) -> bool:
        """Whether this death was not told yet. A second may come before the life after the first was written."""
        told, death = self._told.get(row.id), (seen.generation, seen.state)
        is_news = died(row, seen) if told is None else told != death
        if is_news and is_death(seen):
            if len(self._told) >= MAX_DEATHS_KNOWN:
                self._told.clear()
            self._told[row.id] = death
        return is_news

    def _event(self, row: Kernel, seen: LiveKernel) -> AuditEvent:
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
                "restarts": seen.restarts,
                "exit_status": seen.exit_status,
                "kernelspec": row.spec_name,
                "workspace": row.workspace_id,
            },
        )


def is_death(seen: LiveKernel) -> bool:
    """Whether a kernel's process ended by itself: it stays dead, or is restarted with a reason."""
    return seen.state is KernelState.DEAD or (seen.state is KernelState.RESTARTING and seen.reason is not None)


def died(row: Kernel, seen: LiveKernel) -> bool:
    """Whether this is the news of a death: the kernel is dead or being restarted with a reason, and was neither."""
    return is_death(seen) and row.state not in (KernelState.DEAD, KernelState.RESTARTING)
