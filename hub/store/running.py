"""What runs now, of everybody, in three queries however much it is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import select

from hub.domain.ids import KernelId, UserId, WorkspaceId
from hub.domain.kernels import Kernel, Session
from hub.domain.workspace import Workspace, WorkspaceState
from hub.store.kernels import as_kernel
from hub.store.sessions import as_session
from hub.store.tables import kernels, sessions, users, workspaces
from hub.store.transaction import Transaction
from hub.store.workspaces import as_workspace


@dataclass(frozen=True, slots=True)
class RunningWorkspace:
    """A workspace that is not stopped, the name of its owner, its kernels and what they serve."""

    workspace: Workspace
    owner: str
    kernels: list[Kernel]
    sessions: dict[KernelId, list[Session]]


class Running:
    """Workspaces that are not stopped, with everything that a page shows of them."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def list(self, user_id: UserId | None = None) -> list[RunningWorkspace]:
        """Those of one user, None: of everybody; the longest running first."""
        wanted = workspaces.c.state != WorkspaceState.STOPPED.value
        if user_id is not None:
            wanted &= workspaces.c.user_id == user_id
        places = await self._db.rows(
            select(workspaces, users.c.name.label("owner"))
            .join(users, users.c.id == workspaces.c.user_id)
            .where(wanted)
            .order_by(workspaces.c.started_at, workspaces.c.id)
        )
        within = select(kernels).join(workspaces, workspaces.c.id == kernels.c.workspace_id).where(wanted)
        served = select(sessions).join(kernels, kernels.c.id == sessions.c.kernel_id)
        served = served.join(workspaces, workspaces.c.id == kernels.c.workspace_id).where(wanted)
        by_workspace: dict[WorkspaceId, list[Kernel]] = defaultdict(list)
        for row in await self._db.rows(within.order_by(kernels.c.started_at, kernels.c.id)):
            kernel = as_kernel(row)
            by_workspace[kernel.workspace_id].append(kernel)
        by_kernel: dict[KernelId, list[Session]] = defaultdict(list)
        for row in await self._db.rows(served.order_by(sessions.c.created_at, sessions.c.id)):
            session = as_session(row)
            by_kernel[session.kernel_id].append(session)
        found = []
        for row in places:
            workspace = as_workspace(row)
            mine = by_workspace[workspace.id]
            of_kernels = {kernel.id: by_kernel[kernel.id] for kernel in mine if kernel.id in by_kernel}
            found.append(RunningWorkspace(workspace, row.owner, mine, of_kernels))
        return found
