"""Kernels in the database."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, delete, insert, select, update

from hub.domain.ids import KernelId, UserId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState
from hub.errors import NotFound
from hub.store.tables import kernels
from hub.store.transaction import Transaction
from hub.store.types import MAX_INTEGER, loggable

MAX_REASON_CHARS = 1000


class Kernels:
    """Kernels as they were last known. Counts and reasons come from agents and are cut to what fits."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, kernel: Kernel) -> None:
        """Record a new kernel. Raises Conflict if its id is known, or its workspace or user is not."""
        await self._db.execute(
            insert(kernels).values(
                id=kernel.id,
                workspace_id=kernel.workspace_id,
                user_id=kernel.user_id,
                spec_name=kernel.spec_name,
                started_at=kernel.started_at,
                **_changeable(kernel),
            ),
            conflict="There is a kernel of this id already, or its workspace does not exist any more.",
        )

    async def find(self, kernel_id: KernelId) -> Kernel | None:
        """The kernel with this id, or None."""
        row = await self._db.row(self._db.locking(select(kernels).where(kernels.c.id == kernel_id)))
        return None if row is None else as_kernel(row)

    async def list(self) -> builtins.list[Kernel]:
        """All kernels, in order of their start."""
        return await self._many(None)

    async def list_for(self, user_id: UserId) -> builtins.list[Kernel]:
        """The user's kernels in all workspaces, in order of their start."""
        return await self._many(kernels.c.user_id == user_id)

    async def list_in(self, workspace_id: WorkspaceId) -> builtins.list[Kernel]:
        """The kernels of one workspace, in order of their start."""
        return await self._many(kernels.c.workspace_id == workspace_id)

    async def save(self, kernel: Kernel) -> None:
        """Write everything about a kernel that can change. Raises NotFound if it was deleted meanwhile."""
        statement = update(kernels).where(kernels.c.id == kernel.id).values(**_changeable(kernel))
        if not await self._db.count(statement):
            raise NotFound("This kernel does not exist any more.")

    async def observe(self, observed: Iterable[Kernel]) -> None:
        """Write state, last activity and executions of many kernels at once; leave out those that are gone.

        Rows are written in order of their ids, so that two hubs that do this at once cannot block each other.
        """
        parameters = [
            {
                "key": kernel.id,
                "new_state": kernel.state.value,
                "new_last_activity_at": kernel.last_activity_at,
                "new_executions": _fitting(kernel.executions),
            }
            for kernel in sorted(observed, key=lambda kernel: kernel.id)
        ]
        if parameters:
            await self._db.execute(_OBSERVE, parameters)

    async def delete(self, kernel_id: KernelId) -> bool:
        """Delete a kernel and its sessions. Whether there was one."""
        return bool(await self._db.count(delete(kernels).where(kernels.c.id == kernel_id)))

    async def _many(self, condition: ColumnElement[bool] | None) -> builtins.list[Kernel]:
        query = select(kernels).order_by(kernels.c.started_at, kernels.c.id)
        if condition is not None:
            query = query.where(condition)
        return [as_kernel(row) for row in await self._db.rows(query)]


_OBSERVE = (
    update(kernels)
    .where(kernels.c.id == bindparam("key"))
    .values(
        state=bindparam("new_state"),
        last_activity_at=bindparam("new_last_activity_at"),
        executions=bindparam("new_executions"),
    )
)


def _fitting(number: int) -> int:
    return max(0, min(number, MAX_INTEGER))


def _changeable(kernel: Kernel) -> dict[str, Any]:
    return {
        "state": kernel.state.value,
        "last_activity_at": kernel.last_activity_at,
        "executions": _fitting(kernel.executions),
        "reason": None if kernel.reason is None else loggable(kernel.reason, MAX_REASON_CHARS),
    }


def as_kernel(row: Row[Any]) -> Kernel:
    """The kernel that a row of the table stands for."""
    return Kernel(
        id=KernelId(row.id),
        workspace_id=WorkspaceId(row.workspace_id),
        user_id=UserId(row.user_id),
        spec_name=row.spec_name,
        state=KernelState(row.state),
        started_at=row.started_at,
        last_activity_at=row.last_activity_at,
        executions=row.executions,
        reason=row.reason,
    )
