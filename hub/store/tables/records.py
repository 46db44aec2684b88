"""What happened, and what administrators have set: audit log, lives of containers, settings."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, Table, text

from hub.store.tables.base import metadata
from hub.store.types import BigKey, Json, PlainText, UtcDateTime

FAILED = "outcome IN ('failed', 'died', 'lost')"
"""Of lives of containers: those that somebody may want to know of. Queries say it in these very words."""

# Append-only: the repository has no other way, and triggers (made by the first migration) refuse UPDATE and
# DELETE. There are no foreign keys, because what happened stays true when a user is gone.
audit_events = Table(
    "audit_events",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("action", PlainText, nullable=False),
    Column("actor", PlainText, nullable=False),
    Column("subject", PlainText, nullable=False),
    Column("address", PlainText, nullable=False),
    Column("details", Json, nullable=False),
    # Whom the details name: whose kernel or container it was.
    Column("person", PlainText),
    # The chain (hub.domain.audit): each line's digest covers the one before. Empty only where an older hub wrote.
    Column("previous", LargeBinary),
    Column("digest", LargeBinary),
    Index(None, "action", "id"),
    Index(None, "subject", "id"),
    Index(None, "actor", "id"),
    Index(None, "person", "id"),
    Index(None, "address", "id"),
    Index(None, "at"),
    sqlite_autoincrement=True,
)

# One life of a container, from the wish to have it to its end. What was needed when outlives people, their names do
# not: there is the id of the user and nothing else of theirs.
container_lives = Table(
    "container_lives",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("workspace_id", PlainText, nullable=False),
    Column("user_id", PlainText, nullable=False),
    Column("profile", PlainText, nullable=False),
    Column("image", PlainText, nullable=False),
    # Days since 1970 of `asked_at` in UTC: what is counted by day is counted by an index.
    Column("day", Integer, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("start_ms", Integer),
    Column("phases", Json, nullable=False),
    Column("outcome", PlainText, nullable=False),
    Column("reason", PlainText),
    Column("code", PlainText),
    Column("ended_by", PlainText),
    Column("seconds", Float),
    Column("kernels_started", Integer, nullable=False),
    Column("cpu_seconds", Float),
    Column("peak_memory_bytes", BigInteger),
    Index(None, "workspace_id", "asked_at"),
    Index(None, "user_id", "asked_at"),
    # What has not ended is little beside all that has.
    Index(
        "ix_container_lives_open",
        "asked_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(None, "day", "user_id", "outcome", "start_ms", "seconds"),
    # What went wrong is little, too.
    Index(
        "ix_container_lives_failed",
        *("day", "user_id"),
        sqlite_where=text(FAILED),
        postgresql_where=text(FAILED),
    ),
)

# What administrators have set while the hub runs, by name (hub.running_settings says which there are).
hub_settings = Table(
    "hub_settings",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("value", Json, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("changed_by", PlainText, nullable=False),
)
