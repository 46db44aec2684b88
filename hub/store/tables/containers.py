"""Containers, their kernels and sessions, and what notebooks brought forth."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, Table, UniqueConstraint

from hub.store.tables.base import metadata, user_column
from hub.store.types import Json, PlainText, UtcDateTime

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", PlainText, primary_key=True),
    user_column(),
    Column("profile", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("image", PlainText, nullable=False),
    Column("memory_bytes", BigInteger),
    Column("cpus", Float),
    Column("pids", Integer),
    Column("container_id", PlainText),
    Column("started_at", UtcDateTime),
    Column("last_activity_at", UtcDateTime),
    Column("stop_reason", PlainText),
    Column("paused_at", UtcDateTime),
    UniqueConstraint("user_id", "profile"),
    Index(None, "state"),
)

kernels = Table(
    "kernels",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("workspace_id", PlainText, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    user_column(),
    Column("spec_name", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("last_activity_at", UtcDateTime, nullable=False),
    Column("executions", BigInteger, nullable=False),
    Column("reason", PlainText),
    Index(None, "workspace_id"),
    Index(None, "user_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", PlainText, primary_key=True),
    user_column(),
    Column("kernel_id", PlainText, ForeignKey("kernels.id", ondelete="CASCADE"), nullable=False),
    Column("path", PlainText, nullable=False),
    Column("name", PlainText, nullable=False),
    Column("type", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("user_id", "path"),
    Index(None, "kernel_id"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", PlainText, primary_key=True),
    user_column(),
    Column("kind", PlainText, nullable=False),
    Column("path", PlainText, nullable=False),
    Column("output", PlainText, nullable=False),
    Column("kernel_id", PlainText, nullable=False),
    Column("spec_name", PlainText, nullable=False),
    Column("cell_seconds", Float),
    Column("workspace_id", PlainText),
    Column("state", PlainText, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("cell", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("name", PlainText, nullable=False),
    Column("error", Json),
    Column("verdict", PlainText),
    Column("digest", PlainText),
    Index(None, "user_id", "started_at"),
    Index(None, "user_id", "digest"),
    Index(None, "state"),
)

# What is known of the executions of a kernel that has, or had, a notebook. The kernel may be gone: no foreign key.
kernel_results = Table(
    "kernel_results",
    metadata,
    Column("kernel_id", PlainText, primary_key=True),
    user_column(),
    Column("workspace_id", PlainText, nullable=False),
    Column("known", PlainText, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Index(None, "user_id"),
    Index(None, "workspace_id"),
)

# Results of cells that found no place in a notebook; the outputs are in a file of the hub's.
missed_results = Table(
    "missed_results",
    metadata,
    Column("id", PlainText, primary_key=True),
    user_column(),
    Column("kernel_id", PlainText, nullable=False),
    Column("request_id", PlainText, nullable=False),
    Column("path", PlainText, nullable=False),
    Column("code", PlainText, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("ran_at", UtcDateTime, nullable=False),
    Column("kept_at", UtcDateTime, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    UniqueConstraint("kernel_id", "request_id"),
    Index(None, "user_id", "kept_at"),
    Index(None, "kept_at"),
)
