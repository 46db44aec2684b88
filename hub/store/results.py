"""What is known of kernels' executions, and results that found no notebook, in the database."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, insert, select, update

from hub.domain.ids import KernelId, UserId, WorkspaceId
from hub.domain.missed import MAX_CODE_CHARS, Missed
from hub.store.tables import kernel_results, missed_results
from hub.store.transaction import Transaction
from hub.store.types import loggable

MAX_TEXT_CHARS = 1000


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """A kernel whose results are looked after, which may itself be gone. `known` is what `hub.results` remembers."""

    kernel_id: KernelId
    user_id: UserId
    workspace_id: WorkspaceId
    known: str


class KernelResults:
    """One row for each kernel that has, or had, a notebook, until everything of it is settled and it is gone."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def list(self) -> builtins.list[KernelRecord]:
        """All of them."""
        return [_record(row) for row in await self._db.rows(select(kernel_results))]

    async def save(self, record: KernelRecord, at: datetime) -> None:
        """Write a kernel's row, new or old. Raises Conflict if the user does not exist any more."""
        mine = kernel_results.c.kernel_id == record.kernel_id
        changed = update(kernel_results).where(mine).values(known=record.known, changed_at=at)
        if await self._db.count(changed):
            return
        await self._db.execute(
            insert(kernel_results).values(
                kernel_id=record.kernel_id,
                user_id=record.user_id,
                workspace_id=record.workspace_id,
                known=record.known,
                changed_at=at,
            ),
            conflict="This user does not exist any more.",
        )

    async def delete(self, kernel_id: KernelId) -> None:
        """Forget a kernel."""
        await self._db.execute(delete(kernel_results).where(kernel_results.c.kernel_id == kernel_id))


class MissedResults:
    """Results that found no notebook. Texts come from kernels and are cut to what fits."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, missed: Missed) -> None:
        """Keep one. Raises Conflict if this execution is kept already, or the user does not exist any more."""
        await self._db.execute(
            insert(missed_results).values(
                id=missed.id,
                user_id=missed.user_id,
                kernel_id=missed.kernel_id,
                request_id=loggable(missed.request_id, MAX_TEXT_CHARS),
                path=missed.path,
                code=loggable(missed.code, MAX_CODE_CHARS),
                reason=loggable(missed.reason, MAX_TEXT_CHARS),
                ran_at=missed.ran_at,
                kept_at=missed.kept_at,
                size_bytes=missed.size_bytes,
            ),
            conflict="This result is kept already.",
        )

    async def find_for(self, user_id: UserId, missed_id: str) -> Missed | None:
        """One of the user's, or None."""
        found = await self._many((missed_results.c.user_id == user_id) & (missed_results.c.id == missed_id))
        return found[0] if found else None

    async def find_request(self, kernel_id: KernelId, request_id: str) -> Missed | None:
        """The result of an execution, or None."""
        request = missed_results.c.request_id == loggable(request_id, MAX_TEXT_CHARS)
        found = await self._many((missed_results.c.kernel_id == kernel_id) & request)
        return found[0] if found else None

    async def list_for(self, user_id: UserId) -> builtins.list[Missed]:
        """All of a user's, newest first."""
        return await self._many(missed_results.c.user_id == user_id)

    async def list_before(self, at: datetime) -> builtins.list[Missed]:
        """All that were kept before this time."""
        return await self._many(missed_results.c.kept_at < at)

    async def delete(self, missed_id: str) -> bool:
        """Forget one. Whether there was one."""
        return bool(await self._db.count(delete(missed_results).where(missed_results.c.id == missed_id)))

    async def _many(self, condition: ColumnElement[bool]) -> builtins.list[Missed]:
        query = select(missed_results).where(condition)
        ordered = query.order_by(missed_results.c.kept_at.desc(), missed_results.c.ran_at.desc(), missed_results.c.id)
        return [_missed(row) for row in await self._db.rows(ordered)]


def _record(row: Row[Any]) -> KernelRecord:
    return KernelRecord(KernelId(row.kernel_id), UserId(row.user_id), WorkspaceId(row.workspace_id), row.known)


def _missed(row: Row[Any]) -> Missed:
    return Missed(
        id=row.id,
        user_id=UserId(row.user_id),
        kernel_id=KernelId(row.kernel_id),
        request_id=row.request_id,
        path=row.path,
        code=row.code,
        reason=row.reason,
        ran_at=row.ran_at,
        kept_at=row.kept_at,
        size_bytes=row.size_bytes,
    )
