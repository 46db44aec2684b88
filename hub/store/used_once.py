"""What counts once only, in the database: nonces, ids of tokens, codes of authenticator apps.

Kept until it would be refused for its age anyway, so that a replay is refused after a restart and by every hub.
Insert only *after* signatures were checked: otherwise strangers could fill the table (CVE-2026-34052).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite

from hub.store.tables import used_once
from hub.store.transaction import Transaction


class UsedOnce:
    """Things by purpose and SHA-256. The table's key decides who was first, whatever hub they came to."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def use(self, purpose: str, digest: bytes, expires_at: datetime) -> bool:
        """Use it up; False when it was used before. It is forgotten some time after `expires_at`."""
        insert = postgresql.insert if self._db.dialect == "postgresql" else sqlite.insert
        values = {"purpose": purpose, "digest": digest, "expires_at": expires_at}
        return bool(await self._db.count(insert(used_once).values(**values).on_conflict_do_nothing()))

    async def prune(self, before: datetime) -> int:
        """Forget what expired before this time. How many."""
        return await self._db.count(delete(used_once).where(used_once.c.expires_at < before))
