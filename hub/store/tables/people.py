"""People, groups, and what is told them or done with their files."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, text

from hub.store.tables.base import metadata, user_column
from hub.store.types import Json, PlainText, UtcDateTime

# Each number and id that was ever given to a user. Rows are never deleted, so neither is ever given again:
# uids of containers and names of folders derive from them and outlive the user. PostgreSQL leaves a gap where
# a transaction was rolled back; SQLite gives the number to the next.
user_numbers = Table(
    "user_numbers",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("user_id", PlainText, nullable=False, unique=True),
    Column("given_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

users = Table(
    "users",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("number", Integer, ForeignKey("user_numbers.number"), nullable=False, unique=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("role", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    Column("last_activity_at", UtcDateTime),
    Column("display_name", PlainText),
    Column("email", PlainText),
    # Marked for deletion since then: barred like a disabled user, and gone with the files when the grace is over.
    Column("removed_at", UtcDateTime),
    Index(None, "last_activity_at"),
    Index(None, "created_at"),
    # Those who are marked are few beside all others.
    Index(
        "ix_users_removed",
        "removed_at",
        sqlite_where=text("removed_at IS NOT NULL"),
        postgresql_where=text("removed_at IS NOT NULL"),
    ),
)

groups = Table(
    "groups",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("display_name", PlainText, nullable=False, server_default=text("''")),
    Column("properties", Json, nullable=False, server_default=text("'{}'")),
    # Who keeps it: ``hub``, or the provider or learning platform whose claims make its members.
    Column("source", PlainText, nullable=False, server_default="hub"),
)

memberships = Table(
    "memberships",
    metadata,
    Column("group_id", PlainText, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    user_column(primary_key=True),
    Column("role", PlainText, nullable=False, server_default="member"),
    Column("source", PlainText, nullable=False, server_default="hub"),
    Index(None, "user_id"),
    Index(None, "group_id", "role"),
)

# What administrators and group owners tell people; shown until it is dismissed or has expired.
messages = Table(
    "messages",
    metadata,
    Column("id", PlainText, primary_key=True),
    user_column(),
    Column("sender_id", PlainText, nullable=False),
    Column("sender_name", PlainText, nullable=False),
    Column("text", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("dismissed_at", UtcDateTime),
    Index(None, "user_id", "created_at"),
    Index(None, "expires_at"),
)

# Who looked into whose files, why and how long. The viewer is no foreign key: it stays true when they are gone.
views = Table(
    "views",
    metadata,
    Column("id", PlainText, primary_key=True),
    user_column(),
    Column("viewer_id", PlainText, nullable=False),
    Column("viewer_name", PlainText, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Index(None, "user_id", "opened_at"),
    Index(None, "opened_at"),
)
