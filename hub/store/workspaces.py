"""Workspaces in the database."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, insert, select, update

from hub.domain.ids import UserId, WorkspaceId
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import NotFound
from hub.store.tables import workspaces
from hub.store.transaction import Transaction


class Workspaces:
    """Users' containers, at most one for each user and profile."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, ws: Workspace) -> None:
        """Record a new workspace. Raises Conflict if the user has one of this profile already."""
        await self._db.execute(
            insert(workspaces).values(id=ws.id, user_id=ws.user_id, profile=ws.profile, **_changeable(ws)),
            conflict="The user has a workspace of this profile already.",
        )

    async def find(self, workspace_id: WorkspaceId) -> Workspace | None:
        """The workspace with this id, or None."""
        return await self._one(workspaces.c.id == workspace_id)

    async def find_for(self, user_id: UserId, profile: str) -> Workspace | None:
        """The user's workspace of this profile, or None."""
        return await self._one((workspaces.c.user_id == user_id) & (workspaces.c.profile == profile))

    async def list(self) -> builtins.list[Workspace]:
        """All workspaces."""
        return await self._many(None)

    async def list_for(self, user_id: UserId) -> builtins.list[Workspace]:
        """The user's workspaces."""
        return await self._many(workspaces.c.user_id == user_id)

    async def list_for_many(
        self, user_ids: Iterable[UserId], *, stopped: bool = False
    ) -> dict[UserId, builtins.list[Workspace]]:
        """The workspaces of each of these users, in one query; `stopped`: also those that do not run."""
        query = select(workspaces).order_by(workspaces.c.profile, workspaces.c.id)
        if not stopped:
            query = query.where(workspaces.c.state != WorkspaceState.STOPPED.value)
        wanted = list(user_ids)
        rows = await self._db.rows_for(wanted, lambda keys: query.where(workspaces.c.user_id.in_(keys)))
        found: dict[UserId, builtins.list[Workspace]] = {user_id: [] for user_id in wanted}
        for row in rows:
            found[UserId(row.user_id)].append(as_workspace(row))
        return found

    async def list_by_state(self, *states: WorkspaceState) -> builtins.list[Workspace]:
        """The workspaces that are in one of these states."""
        return await self._many(workspaces.c.state.in_([state.value for state in states]))

    async def save(self, ws: Workspace) -> None:
        """Write everything about a workspace that can change. Find and save within one unit.

        Raises NotFound if it was deleted meanwhile, with its user.
        """
        statement = update(workspaces).where(workspaces.c.id == ws.id).values(**_changeable(ws))
        if not await self._db.count(statement):
            raise NotFound("This workspace does not exist any more.")

    async def touch(self, workspace_id: WorkspaceId, at: datetime) -> None:
        """Remember that something happened in the workspace at this time, and change nothing else."""
        await self._db.execute(update(workspaces).where(workspaces.c.id == workspace_id).values(last_activity_at=at))

    async def delete(self, workspace_id: WorkspaceId) -> bool:
        """Delete a workspace with its kernels and sessions. Whether there was one."""
        return bool(await self._db.count(delete(workspaces).where(workspaces.c.id == workspace_id)))

    async def _one(self, condition: ColumnElement[bool]) -> Workspace | None:
        row = await self._db.row(self._db.locking(select(workspaces).where(condition)))
        return None if row is None else as_workspace(row)

    async def _many(self, condition: ColumnElement[bool] | None) -> builtins.list[Workspace]:
        query = select(workspaces).order_by(workspaces.c.profile, workspaces.c.id)
        if condition is not None:
            query = query.where(condition)
        return [as_workspace(row) for row in await self._db.rows(query)]


def _changeable(ws: Workspace) -> dict[str, Any]:
    return {
        "state": ws.state.value,
        "image": ws.image,
        "memory_bytes": ws.limits.memory_bytes,
        "cpus": ws.limits.cpus,
        "pids": ws.limits.pids,
        "container_id": ws.container_id,
        "started_at": ws.started_at,
        "last_activity_at": ws.last_activity_at,
        "stop_reason": ws.stop_reason,
        "paused_at": ws.paused_at,
    }


def as_workspace(row: Row[Any]) -> Workspace:
    """The workspace that a row of the table stands for."""
    return Workspace(
        id=WorkspaceId(row.id),
        user_id=UserId(row.user_id),
        profile=row.profile,
        state=WorkspaceState(row.state),
        image=row.image,
        limits=Limits(memory_bytes=row.memory_bytes, cpus=row.cpus, pids=row.pids),
        container_id=row.container_id,
        started_at=row.started_at,
        last_activity_at=row.last_activity_at,
        stop_reason=row.stop_reason,
        paused_at=row.paused_at,
    )
