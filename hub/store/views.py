"""Looks into people's files in the database."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from hub.domain.ids import UserId
from hub.domain.views import View
from hub.store.tables import views
from hub.store.transaction import Transaction


class Views:
    """Who looked at whose files. Rows go only with the user who was looked at."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, view: View) -> None:
        """Record a look that begins. Raises Conflict if the user does not exist any more."""
        await self._db.execute(
            insert(views).values(
                id=view.id,
                user_id=view.user_id,
                viewer_id=view.viewer_id,
                viewer_name=view.viewer_name,
                reason=view.reason,
                opened_at=view.opened_at,
                ends_at=view.ends_at,
            ),
            conflict="This user does not exist any more.",
        )

    async def find_open(self, user_id: UserId, viewer_id: str, now: datetime) -> View | None:
        """The look that `viewer_id` has open into the user's files, or None."""
        found = await self.list_open(user_id, now)
        return next((view for view in found if view.viewer_id == viewer_id), None)

    async def list_open(self, user_id: UserId, now: datetime) -> builtins.list[View]:
        """Looks into the user's files that have not ended, the newest first."""
        query = select(views).where(views.c.user_id == user_id, views.c.ends_at > now, views.c.opened_at <= now)
        return [_view(row) for row in await self._db.rows(query.order_by(views.c.opened_at.desc(), views.c.id))]

    async def list_for(self, user_id: UserId, limit: int = 20) -> builtins.list[View]:
        """The newest looks into the user's files."""
        query = select(views).where(views.c.user_id == user_id)
        rows = await self._db.rows(query.order_by(views.c.opened_at.desc(), views.c.id).limit(limit))
        return [_view(row) for row in rows]

    async def close(self, view_id: str, at: datetime) -> None:
        """End a look now; one that has ended stays as it was."""
        open_then = (views.c.id == view_id) & (views.c.ends_at > at)
        await self._db.execute(update(views).where(open_then).values(ends_at=at))


def _view(row: Row[Any]) -> View:
    return View(
        id=row.id,
        user_id=UserId(row.user_id),
        viewer_id=row.viewer_id,
        viewer_name=row.viewer_name,
        reason=row.reason,
        opened_at=row.opened_at,
        ends_at=row.ends_at,
    )
