"""Use cases of kernels: start, list, interrupt, restart, shut down.

The row is written before the kernel is started, and taken back if the start fails; what a kernel is doing now
comes from its agent, and from the row when the agent cannot be asked.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from hub import metrics
from hub.crash_points import Point, reached
from hub.domain.audit import AuditEvent
from hub.domain.health import Health
from hub.domain.ids import KernelId, UserId, WorkspaceId, new_uuid
from hub.domain.kernels import Kernel, KernelState
from hub.domain.users import User
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import AgentSilent, Conflict, HubError, KernelNotReady, NotFound, UnknownKernelspec
from hub.store.engine import Store
from hub.workspaces.agents import Agents, Live, LiveKernel, ask, last_activity
from hub.workspaces.connections import Connections
from hub.workspaces.kernelspecs import Kernelspecs
from hub.workspaces.quotas import Quotas
from hub.workspaces.service import Workspaces
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

MAX_KERNELS = 64
"""Of one user. An agent refuses more itself, but a user can replace an agent."""


@dataclass(frozen=True, slots=True)
class KernelModel:
    """A kernel, how many connections the proxies hold to it, and how it is (None: it was not asked)."""

    kernel: Kernel
    connections: int
    health: Health | None = None


class Kernels:
    """Kernels of users, in their workspaces."""

    def __init__(
        self,
        store: Store,
        workspaces: Workspaces,
        agents: Agents,
        kernelspecs: Kernelspecs,
        connections: Connections,
        clock: Clock,
        quotas: Quotas | None = None,
    ) -> None:
        self._store = store
        self._quotas = quotas
        self._workspaces = workspaces
        self._agents = agents
        self._kernelspecs = kernelspecs
        self._connections = connections
        self._clock = clock
        self._ending: set[KernelId] = set()
        self.on_gone: Callable[[KernelId], None] = lambda _kernel_id: None

    def is_ending(self, kernel_id: KernelId) -> bool:
        """Whether the hub itself is shutting this kernel down: its end is no death."""
        return kernel_id in self._ending

    async def start(
        self, user: User, spec_name: str | None, path: str = "", kernel_id: KernelId | None = None
    ) -> KernelModel:
        """Start a kernel in the folder of `path`, in its profile's workspace, which is started first if need be.

        `spec_name` is a name as `Kernelspecs` lists them, None means the default; `kernel_id` is an id the client
        chose (a UUID). Raises UnknownKernelspec, Conflict for an id in use or one kernel too many, and what
        `Workspaces.ensure` raises.
        """
        if self._quotas is not None:
            await self._quotas.check_kernel(user)
        choice = await self._kernelspecs.choose(user, spec_name)
        workspace = await self._workspaces.ensure(user, choice.profile)
        now = self._clock.now()
        kernel = Kernel(
            id=kernel_id or KernelId(new_uuid()),
            workspace_id=workspace.id,
            user_id=user.id,
            spec_name=choice.listed,
            state=KernelState.STARTING,
            started_at=now,
            last_activity_at=now,
        )
        async with self._turn(user):
            if self._quotas is not None:
                await self._quotas.check_kernel(user)  # others may have started some meanwhile
            reached(Point.KERNEL_ADD_BEFORE)
            async with self._store.unit() as unit:
                if await unit.kernels.find(kernel.id) is not None:
                    raise Conflict(f"A kernel with the id {kernel.id} exists already.")
                if len(await unit.kernels.list_for(user.id)) >= MAX_KERNELS:
                    raise Conflict(f"You have {MAX_KERNELS} kernels; shut one down first.")
                await unit.kernels.add(kernel)
                await unit.lives.kernel_started(workspace.id)
        reached(Point.KERNEL_ADD_AFTER)
        folder = str(PurePosixPath(path).parent)
        cwd = "" if folder == "." else folder
        try:
            client = self._agents.client(workspace.id)
            start = client.start_kernel(kernel.id, choice.kernel, cwd, {"JPY_SESSION_NAME": path})
            with metrics.timed(metrics.KERNEL_STARTS):
                await self._changing(workspace.id, start)
            reached(Point.KERNEL_START_AFTER)
        except HubError as error:
            async with self._store.unit() as unit:
                await unit.kernels.delete(kernel.id)
            if isinstance(error, UnknownKernelspec):
                raise await self._kernelspecs.unknown(user, choice.listed) from error
            raise
        return KernelModel(kernel, self._connections.to_kernel(kernel.id))

    def _turn(self, user: User) -> AbstractAsyncContextManager[object]:
        return self._quotas.turn(user) if self._quotas is not None else nullcontext()

    async def list(self, user: User) -> list[KernelModel]:
        """All of a user's kernels, oldest first."""
        async with self._store.reading() as unit:
            kernels = await unit.kernels.list_for(user.id)
            workspaces = {workspace.id: workspace for workspace in await unit.workspaces.list_for(user.id)}
        lives: dict[WorkspaceId, Live | None] = {}
        for workspace_id in {kernel.workspace_id for kernel in kernels}:
            try:
                lives[workspace_id] = await self._agents.status(workspace_id)
            except AgentSilent:
                lives[workspace_id] = None
        return [
            self._model(kernel, lives[kernel.workspace_id], workspaces.get(kernel.workspace_id)) for kernel in kernels
        ]

    async def get(self, user: User, kernel_id: KernelId) -> KernelModel:
        """One kernel of the user.

        Raises NotFound when there is no such kernel, and AgentSilent when its container cannot be asked:
        front ends give a kernel up for dead at any answer but success and 503.
        """
        async with self._store.reading() as unit:
            kernel = await unit.kernels.find(kernel_id)
            workspace = await unit.workspaces.find(kernel.workspace_id) if kernel is not None else None
        if kernel is None or kernel.user_id != user.id:
            raise _no_such_kernel(kernel_id)
        if workspace is not None and workspace.state is WorkspaceState.STOPPING:
            ending = replace(kernel, state=KernelState.DEAD, reason=workspace.stop_reason or "its container is stopped")
            return KernelModel(ending, self._connections.to_kernel(kernel_id))
        return self._model(kernel, await self._agents.status(kernel.workspace_id), workspace)

    async def interrupt(self, user: User, kernel_id: KernelId) -> None:
        """Interrupt what the kernel is running, which is nothing while it starts.

        Raises KernelNotReady when it is dead.
        """
        kernel = await self.row(user, kernel_id)
        try:
            await self._changing(
                kernel.workspace_id, self._agents.client(kernel.workspace_id).interrupt_kernel(kernel_id)
            )
            self._agents.interrupted(kernel.workspace_id, kernel_id)
        except KernelNotReady:
            state = (await self.get(user, kernel_id)).kernel.state
            if state not in (KernelState.STARTING, KernelState.RESTARTING):
                raise

    async def restart(self, user: User, kernel_id: KernelId) -> KernelModel:
        """Restart the kernel with the same id; gives it once the new process was started."""
        kernel = await self.row(user, kernel_id)
        await self._changing(kernel.workspace_id, self._agents.client(kernel.workspace_id).restart_kernel(kernel_id))
        reached(Point.KERNEL_RESTART_AFTER)
        restarted = replace(kernel, state=KernelState.STARTING, last_activity_at=self._clock.now(), executions=0)
        async with self._store.unit() as unit:
            await unit.kernels.save(restarted)
        return KernelModel(restarted, self._connections.to_kernel(kernel_id))

    async def shutdown(self, user: User, kernel_id: KernelId, reason: str = "shut down by its user") -> None:
        """Shut the kernel down and end its sessions."""
        kernel = await self.row(user, kernel_id)
        await self.end(kernel, reason, actor=user.id)

    async def end(self, kernel: Kernel, reason: str, actor: str = "hub", action: str = "kernel.ended") -> None:
        """Shut a kernel down, forget it and its sessions, and record why.

        A container that is positively not running has no kernel to shut; one that does not answer raises AgentSilent.
        """
        self._ending.add(kernel.id)
        try:
            reached(Point.KERNEL_SHUT_BEFORE)
            if actor != kernel.user_id:
                await self._agents.farewell(kernel.workspace_id, [kernel.id], reason)
            await self._shut(kernel)
            reached(Point.KERNEL_SHUT_AFTER)
            await self._forget(kernel, reason, actor, action)
            reached(Point.KERNEL_FORGET_AFTER)
        finally:
            self._ending.discard(kernel.id)

    async def _shut(self, kernel: Kernel) -> None:
        try:
            await self._changing(
                kernel.workspace_id, self._agents.client(kernel.workspace_id).shutdown_kernel(kernel.id)
            )
        except NotFound:
            log.info("kernel %s was gone already", kernel.id)
        except AgentSilent:
            workspace = await self._workspaces.look(kernel.workspace_id)
            if workspace is not None and workspace.state is not WorkspaceState.STOPPED:
                raise

    async def _forget(self, kernel: Kernel, reason: str, actor: str, action: str) -> None:
        async with self._store.unit() as unit:
            await unit.sessions.delete_for_kernel(kernel.id)
            await unit.kernels.delete(kernel.id)
            await unit.audit.add(
                AuditEvent(
                    at=self._clock.now(),
                    action=action,
                    actor=actor,
                    subject=kernel.id,
                    details={
                        "user": kernel.user_id,
                        "reason": reason,
                        "executions": kernel.executions,
                        "kernelspec": kernel.spec_name,
                        "workspace": kernel.workspace_id,
                    },
                )
            )
        self.on_gone(kernel.id)

    async def row(self, user: User, kernel_id: KernelId) -> Kernel:
        """The user's kernel as the database has it. Raises NotFound, also for another user's kernel."""
        async with self._store.reading() as unit:
            kernel = await unit.kernels.find(kernel_id)
        if kernel is None or kernel.user_id != user.id:
            raise _no_such_kernel(kernel_id)
        return kernel

    async def workspace_of(self, user_id: UserId, kernel_id: KernelId) -> Workspace:
        """The workspace that holds a user's kernel, for routing. Raises NotFound."""
        async with self._store.reading() as unit:
            kernel = await unit.kernels.find(kernel_id)
            if kernel is None or kernel.user_id != user_id:
                raise _no_such_kernel(kernel_id)
            workspace = await unit.workspaces.find(kernel.workspace_id)
        if workspace is None:
            raise _no_such_kernel(kernel_id)
        return workspace

    async def _changing(self, workspace_id: WorkspaceId, answer: Awaitable[object]) -> None:
        """Ask for a change, after which the last status no longer holds."""
        try:
            await ask(answer)
        finally:
            self._agents.forget_status(workspace_id)

    def _model(self, kernel: Kernel, live: Live | None, workspace: Workspace | None) -> KernelModel:
        connections = self._connections.to_kernel(kernel.id)
        health = self._agents.health(kernel, workspace) if workspace is not None else None
        if live is None:
            return KernelModel(replace(kernel, state=KernelState.UNKNOWN), connections, health)
        seen = live.kernels.get(kernel.id)
        return KernelModel(kernel if seen is None else self.observed(kernel, seen), connections, health)

    def observed(self, kernel: Kernel, seen: LiveKernel) -> Kernel:
        """The row with what its agent says of it now."""
        return replace(
            kernel,
            state=seen.state,
            executions=seen.executions,
            last_activity_at=max(kernel.started_at, last_activity(seen, self._clock.now(), self._clock.monotonic())),
            reason=seen.reason,
        )


def _no_such_kernel(kernel_id: KernelId) -> NotFound:
    return NotFound(f"Kernel does not exist: {kernel_id}")
