"""When idle things end: what is said of it, and what was put off."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, Table

from hub.store.tables.base import metadata, user_column
from hub.store.types import Json, PlainText, UtcDateTime

culling_rules = Table(
    "culling_rules",
    metadata,
    Column("id", PlainText, primary_key=True),
    user_column(nullable=True),
    Column("group_id", PlainText, ForeignKey("groups.id", ondelete="CASCADE")),
    Column("by_owner", Boolean, nullable=False),
    Column("value", Json, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("changed_by", PlainText, nullable=False),
    Index(None, "user_id"),
    Index(None, "group_id"),
)

culling_postponements = Table(
    "culling_postponements",
    metadata,
    Column("workspace_id", PlainText, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("kernel_id", PlainText, primary_key=True),
    Column("rule", PlainText, primary_key=True),
    user_column(),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("times", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Index(None, "user_id"),
)
