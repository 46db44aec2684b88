"""Scores on their way to learning platforms, in the database."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from hub.domain.ids import UserId
from hub.domain.lti import LinkId, PlatformId, Score, ScoreId
from hub.store.tables import lti_contexts, lti_links, lti_scores, provider_identities
from hub.store.transaction import Transaction


class LtiScores:
    """A queue: what is due is tried, and tried again."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def put(self, score: Score) -> None:
        """Queue a score in place of those of the same person and link that were not sent yet."""
        stale = (lti_scores.c.link_id == score.link_id, lti_scores.c.user_id == score.user_id)
        await self._db.execute(delete(lti_scores).where(*stale, lti_scores.c.state != "sent"))
        values = {name: getattr(score, name) for name in Score.__slots__}
        await self._db.execute(insert(lti_scores).values(**values))

    async def find(self, score_id: str) -> Score | None:
        """The score, or None."""
        row = await self._db.row(select(lti_scores).where(lti_scores.c.id == score_id))
        return None if row is None else _score(row)

    async def due(self, now: datetime, limit: int) -> builtins.list[Score]:
        """Scores that may be sent now, those that wait longest first."""
        query = select(lti_scores).where(lti_scores.c.state == "queued", lti_scores.c.next_at <= now)
        rows = await self._db.rows(query.order_by(lti_scores.c.next_at, lti_scores.c.id).limit(limit))
        return [_score(row) for row in rows]

    async def claim(self, score: Score, until: datetime) -> bool:
        """Take a due score for a try; False when another hub has it, or a newer one took its place."""
        mine = (lti_scores.c.id == score.id, lti_scores.c.state == "queued", lti_scores.c.attempts == score.attempts)
        return bool(
            await self._db.count(update(lti_scores).where(*mine).values(attempts=score.attempts + 1, next_at=until))
        )

    async def sent(self, score_id: ScoreId, at: datetime) -> None:
        """The platform took it."""
        statement = update(lti_scores).where(lti_scores.c.id == score_id)
        await self._db.execute(statement.values(state="sent", sent_at=at, problem=""))

    async def failed(self, score_id: ScoreId, problem: str, next_at: datetime, *, for_good: bool) -> None:
        """The platform did not take it: `for_good`, or to be tried again at `next_at`."""
        statement = update(lti_scores).where(lti_scores.c.id == score_id, lti_scores.c.state == "queued")
        state = "failed" if for_good else "queued"
        await self._db.execute(statement.values(state=state, problem=problem, next_at=next_at))

    async def latest(self, platform_id: PlatformId, limit: int) -> builtins.list[Score]:
        """The newest scores for a platform."""
        query = (
            select(lti_scores)
            .join(lti_links, lti_links.c.id == lti_scores.c.link_id)
            .join(lti_contexts, lti_contexts.c.id == lti_links.c.context_id)
            .where(lti_contexts.c.platform_id == platform_id)
        )
        query = query.order_by(lti_scores.c.created_at.desc(), lti_scores.c.id).limit(limit)
        return [_score(row) for row in await self._db.rows(query)]

    async def subject_of(self, user_id: UserId, issuer: str) -> str | None:
        """Who somebody is to the platform's issuer; None if they never came from there."""
        query = select(provider_identities.c.subject).where(
            provider_identities.c.user_id == user_id, provider_identities.c.issuer == issuer
        )
        row = await self._db.row(query.order_by(provider_identities.c.created_at))
        return None if row is None else row.subject

    async def prune(self, before: datetime) -> int:
        """Forget scores that were sent or given up, and made before this time. How many."""
        mine = (lti_scores.c.state != "queued", lti_scores.c.created_at < before)
        return await self._db.count(delete(lti_scores).where(*mine))


def _score(row: Row[Any]) -> Score:
    found: dict[str, Any] = dict(row._mapping)
    return Score(**{**found, "id": ScoreId(found["id"]), "link_id": LinkId(found["link_id"])})
