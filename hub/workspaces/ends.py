"""What became of kernels that are no more: for front ends that still show one, and for proxies that lost one.

The audit log is the record: each end is in it with its reason and who wanted it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.domain.audit import AuditEvent
from hub.domain.ids import KernelId, UserId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState
from hub.domain.users import User
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import HubError
from hub.store.audit import AuditSearch
from hub.store.engine import Store
from hub.store.unit import Unit
from hub.workspaces.service import Workspaces
from proxy.contract.ends import ANSWER_SECONDS, EndsAnswer, EndsQuestion, KernelEnd
from proxy.kit.clock import Clock

REMEMBERED = timedelta(days=1)
"""How long an ended kernel is told to be dead, with its reason; after that there never was one."""
PAUSES = (0.1, 0.2, 0.2, 0.3, 0.5, 0.5, 0.5, 0.5)
"""Between looks at a container whose agent was lost. The engine knows of an end a moment after the agent is gone."""
MAX_KERNELS_ASKED = 64
_STOPPED = "workspace.stopping"


@dataclass(frozen=True, slots=True)
class End:
    """How a kernel ended. `by_user`: its own user shut it. `with_container`: its whole container ended."""

    kernel: Kernel
    reason: str
    at: datetime
    by_user: bool
    with_container: bool


class Ends:
    """Finds out how kernels ended."""

    def __init__(self, store: Store, workspaces: Workspaces, clock: Clock) -> None:
        self._store = store
        self._workspaces = workspaces
        self._clock = clock

    async def find(self, user: User, kernel_id: KernelId) -> End | None:
        """The end of a kernel that the user had within `REMEMBERED`; None where there was none."""
        async with self._store.reading() as unit:
            return await self._find(unit, kernel_id, user.id)

    async def answer(self, question: EndsQuestion) -> EndsAnswer:
        """Which of the kernels have ended, and why; held back for a few seconds while that is not sure."""
        workspace_id = WorkspaceId(question.workspace_id[:64])
        kernel_ids = [KernelId(kernel_id[:64]) for kernel_id in question.kernel_ids[:MAX_KERNELS_ASKED]]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for pause in (0.0, *PAUSES):
                    await asyncio.sleep(pause)
                    await self._workspaces.look(workspace_id)
                    if ended := await self._ended(workspace_id, kernel_ids):
                        return EndsAnswer(ended)
        except (TimeoutError, HubError):
            pass
        return EndsAnswer([])

    async def _ended(self, workspace_id: WorkspaceId, kernel_ids: list[KernelId]) -> list[KernelEnd]:
        async with self._store.reading() as unit:
            workspace = await unit.workspaces.find(workspace_id)
            if workspace is not None and workspace.state is WorkspaceState.STOPPING:
                return await self._stopping(unit, workspace, kernel_ids)
            living = {kernel.id for kernel in await unit.kernels.list_in(workspace_id)}
            gone = [kernel_id for kernel_id in kernel_ids if kernel_id not in living]
            ends = [(kernel_id, await self._find(unit, kernel_id)) for kernel_id in gone]
        return [
            KernelEnd(kernel_id, end.reason, end.by_user)
            for kernel_id, end in ends
            if end is not None and end.kernel.workspace_id in ("", workspace_id)
        ]

    async def _stopping(self, unit: Unit, workspace: Workspace, kernel_ids: list[KernelId]) -> list[KernelEnd]:
        """The container is being stopped: its kernels end for that reason, though their rows are still there."""
        found = await unit.audit.search(AuditSearch(subject=workspace.id, action=_STOPPED), limit=1)
        by_user = any(event.actor == workspace.user_id for event in found.events)
        reason = workspace.stop_reason or "the container was stopped"
        own = {kernel.id for kernel in await unit.kernels.list_in(workspace.id)}
        return [KernelEnd(kernel_id, reason, by_user) for kernel_id in kernel_ids if kernel_id in own]

    async def _find(self, unit: Unit, kernel_id: KernelId, user_id: UserId | None = None) -> End | None:
        wanted = AuditSearch(subject=kernel_id, action="kernel.", since=self._clock.now() - REMEMBERED)
        for event in (await unit.audit.search(wanted, limit=10)).events:
            if event.action in ("kernel.ended", "kernel.culled") and event.person is not None:
                return _end(event, kernel_id, event.person) if user_id in (None, event.person) else None
        return None


def _end(event: AuditEvent, kernel_id: KernelId, person: str) -> End:
    details = event.details
    return End(
        kernel=Kernel(
            id=kernel_id,
            workspace_id=WorkspaceId(str(details.get("workspace") or "")),
            user_id=UserId(person),
            spec_name=str(details.get("kernelspec") or "python3"),
            state=KernelState.DEAD,
            started_at=event.at,
            last_activity_at=event.at,
            executions=_count(details.get("executions")),
            reason=str(details.get("reason") or "it ended"),
        ),
        reason=str(details.get("reason") or "it ended"),
        at=event.at,
        by_user=event.actor == person,
        with_container=bool(details.get("with_container")),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
