"""What ran when, settings of the running hub, and the chain of the audit log.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
BYTES = sa.LargeBinary()

AUDIT_COLUMNS = {"person": TEXT, "previous": BYTES, "digest": BYTES}
AUDIT_INDEXES = (["person", "id"], ["address", "id"], ["at"])
LIVES_INDEXES = (
    ["workspace_id", "asked_at"],
    ["user_id", "asked_at"],
    ["day", "user_id", "outcome", "start_ms", "seconds"],
)
BATCH = 2000


def upgrade() -> None:
    """Add tables and columns that a hub of the previous release does not look at, and chain what was recorded."""
    op.create_table(
        "container_lives",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("workspace_id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("profile", TEXT, nullable=False),
        sa.Column("image", TEXT, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.Column("start_ms", sa.Integer()),
        sa.Column("phases", JSON, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("reason", TEXT),
        sa.Column("code", TEXT),
        sa.Column("ended_by", TEXT),
        sa.Column("seconds", sa.Float()),
        sa.Column("kernels_started", sa.Integer(), nullable=False),
        sa.Column("cpu_seconds", sa.Float()),
        sa.Column("peak_memory_bytes", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_container_lives")),
    )
    for columns in LIVES_INDEXES:
        op.create_index(op.f(_index("container_lives", columns)), "container_lives", columns)
    still = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_container_lives_open", "container_lives", ["asked_at"], sqlite_where=still, postgresql_where=still
    )
    failed, columns = sa.text("outcome IN ('failed', 'died', 'lost')"), ["day", "user_id"]
    op.create_index(
        "ix_container_lives_failed", "container_lives", columns, sqlite_where=failed, postgresql_where=failed
    )
    op.create_table(
        "hub_settings",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", JSON, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("changed_by", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hub_settings")),
    )
    for name, kind in AUDIT_COLUMNS.items():
        op.add_column("audit_events", sa.Column(name, kind))
    _chain()
    for columns in AUDIT_INDEXES:
        op.create_index(op.f(_index("audit_events", columns)), "audit_events", columns)


def downgrade() -> None:
    """Drop them: what ran when is forgotten, and the audit log is no chain any more."""
    for columns in AUDIT_INDEXES:
        op.drop_index(op.f(_index("audit_events", columns)), "audit_events")
    for name in AUDIT_COLUMNS:
        op.drop_column("audit_events", name)
    op.drop_table("hub_settings")
    op.drop_table("container_lives")


def _index(table: str, columns: list[str]) -> str:
    return f"ix_{table}_{'_'.join(columns)}"


def _chain() -> None:
    """Give every recorded line its digests, in order; the triggers that forbid changing lines step aside for it."""
    connection = op.get_bind()
    _allow_updates(connection)
    events = sa.table(
        "audit_events",
        sa.column("id", sa.BigInteger()),
        sa.column("at", MOMENT),
        *(sa.column(name, TEXT) for name in ("action", "actor", "subject", "address")),
        sa.column("details", JSON),
        *(sa.column(name, kind) for name, kind in AUDIT_COLUMNS.items()),
    )
    change = (
        sa.update(events)
        .where(events.c.id == sa.bindparam("place"))
        .values({name: sa.bindparam(f"new_{name}") for name in AUDIT_COLUMNS})
    )
    previous = bytes(32)
    for rows in _batches(connection, events):
        changes = []
        for row in rows:
            digest = hashlib.sha256(previous + _canonical(row)).digest()
            user = row.details.get("user")
            person = user if isinstance(user, str) else None
            changes.append({"place": row.id, "new_person": person, "new_previous": previous, "new_digest": digest})
            previous = digest
        connection.execute(change, changes)
    _forbid_updates(connection)


def _batches(connection: sa.Connection, events: sa.TableClause) -> Iterator[list[Any]]:
    after = 0
    while True:
        query = sa.select(events).where(events.c.id > after).order_by(events.c.id).limit(BATCH)
        rows = list(connection.execute(query))
        if not rows:
            return
        yield rows
        after = rows[-1].id


def _canonical(row: Any) -> bytes:
    """As `hub.domain.audit.canonical` was when this migration was written."""
    at: datetime = row.at if row.at.tzinfo is not None else row.at.replace(tzinfo=UTC)
    details = {name: _number_as_text(value) for name, value in row.details.items()}
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    fields = [moment, row.action, row.actor, row.subject, row.address, details]
    return json.dumps(fields, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()


def _number_as_text(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    if abs(value) < 2**53 and value == int(value):
        return int(value)
    return {"number": repr(float(value))}


def _allow_updates(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        op.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only")
    else:
        op.execute("DROP TRIGGER audit_events_refuse_update")


def _forbid_updates(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        op.execute("ALTER TABLE audit_events ENABLE TRIGGER audit_events_append_only")
    else:
        op.execute(
            "CREATE TRIGGER audit_events_refuse_update BEFORE UPDATE ON audit_events "
            "BEGIN SELECT RAISE(ABORT, 'audit_events can only be added to'); END"
        )
