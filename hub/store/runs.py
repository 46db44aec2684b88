"""Runs of notebooks in the database."""

from __future__ import annotations

import builtins
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from hub.domain.ids import KernelId, UserId, WorkspaceId
from hub.domain.runs import Run, RunId, RunKind, RunState, Verdict
from hub.errors import NotFound
from hub.store.tables import runs
from hub.store.transaction import Transaction
from hub.store.types import loggable

MAX_NAME_CHARS = 200
_OPEN = (RunState.STARTING.value, RunState.RUNNING.value)


class Runs:
    """Runs as they were last known. Names come from notebooks and are cut to what fits."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, run: Run) -> None:
        """Record a new run. Raises Conflict if its id is known, or its user is not."""
        await self._db.execute(
            insert(runs).values(
                id=run.id,
                user_id=run.user_id,
                kind=run.kind.value,
                path=run.path,
                kernel_id=run.kernel_id,
                spec_name=run.spec_name,
                cell_seconds=run.cell_seconds,
                started_at=run.started_at,
                **_changeable(run),
            ),
            conflict="There is a run of this id already.",
        )

    async def find(self, run_id: RunId) -> Run | None:
        """The run with this id, or None."""
        row = await self._db.row(self._db.locking(select(runs).where(runs.c.id == run_id)))
        return None if row is None else _run(row)

    async def list_for(self, user_id: UserId, limit: int) -> builtins.list[Run]:
        """The user's last runs, the newest first."""
        query = select(runs).where(runs.c.user_id == user_id)
        rows = await self._db.rows(query.order_by(runs.c.started_at.desc(), runs.c.id).limit(limit))
        return [_run(row) for row in rows]

    async def list_open(self) -> builtins.list[Run]:
        """All runs of everybody that are not over."""
        rows = await self._db.rows(select(runs).where(runs.c.state.in_(_OPEN)).order_by(runs.c.started_at, runs.c.id))
        return [_run(row) for row in rows]

    async def list_verified(self, user_id: UserId, digest: str) -> builtins.list[Run]:
        """The user's last verifications of a notebook's version that are over, the newest first."""
        found = (runs.c.user_id == user_id) & (runs.c.digest == digest) & runs.c.ended_at.is_not(None)
        rows = await self._db.rows(select(runs).where(found).order_by(runs.c.ended_at.desc(), runs.c.id).limit(20))
        return [_run(row) for row in rows]

    async def save(self, run: Run) -> None:
        """Write everything about a run that can change. Raises NotFound if it was deleted meanwhile."""
        if not await self._db.count(update(runs).where(runs.c.id == run.id).values(**_changeable(run))):
            raise NotFound("This run does not exist any more.")

    async def trim(self, user_id: UserId, kind: RunKind, most: int) -> None:
        """Forget the user's oldest runs of a kind that are over, beyond the newest `most`."""
        mine = (runs.c.user_id == user_id) & (runs.c.kind == kind.value)
        kept = select(runs.c.id).where(mine).order_by(runs.c.started_at.desc()).limit(most)
        newest = [row.id for row in await self._db.rows(kept)]
        await self._db.execute(delete(runs).where(mine, runs.c.state.not_in(_OPEN), runs.c.id.not_in(newest)))


def _changeable(run: Run) -> dict[str, Any]:
    return {
        "output": run.output,
        "workspace_id": run.workspace_id,
        "state": run.state.value,
        "ended_at": run.ended_at,
        "cell": run.cell,
        "total": run.total,
        "name": loggable(run.name, MAX_NAME_CHARS),
        "error": run.error,
        "digest": run.digest,
        "verdict": None if run.verdict is None else run.verdict.value,
    }


def _run(row: Row[Any]) -> Run:
    return Run(
        id=RunId(row.id),
        user_id=UserId(row.user_id),
        kind=RunKind(row.kind),
        path=row.path,
        output=row.output,
        kernel_id=KernelId(row.kernel_id),
        spec_name=row.spec_name,
        workspace_id=None if row.workspace_id is None else WorkspaceId(row.workspace_id),
        state=RunState(row.state),
        started_at=row.started_at,
        cell_seconds=row.cell_seconds,
        ended_at=row.ended_at,
        cell=row.cell,
        total=row.total,
        name=row.name,
        error=row.error,
        verdict=None if row.verdict is None else Verdict(row.verdict),
        digest=row.digest,
    )
