"""People: how they sign in, what groups are, and what is counted once.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
BYTES = sa.LargeBinary()

NEW_COLUMNS: dict[str, dict[str, Any]] = {
    "users": {"display_name": TEXT, "email": TEXT, "removed_at": MOMENT},
    "sign_ins": {
        "provider": TEXT,
        "provider_issuer": TEXT,
        "provider_subject": TEXT,
        "provider_sid": TEXT,
        "provider_data": JSON,
        "rotated_at": MOMENT,
        "previous_digest": BYTES,
        "form_token": TEXT,
        "presence_seed": BYTES,
        "presence_at": MOMENT,
    },
    "groups": {"display_name": TEXT, "properties": JSON, "source": TEXT},
    "memberships": {"role": TEXT, "source": TEXT},
}
DEFAULTS: dict[str, Any] = {
    "groups.display_name": sa.text("''"),
    "groups.properties": sa.text("'{}'"),
    "groups.source": "hub",
    "memberships.role": "member",
    "memberships.source": "hub",
}
"""What columns that may not be empty hold for rows that are there."""
NEW_INDEXES = {
    "users": [["last_activity_at"], ["created_at"]],
    "sign_ins": [["previous_digest"], ["provider_issuer", "provider_subject"]],
    "memberships": [["group_id", "role"]],
}


def upgrade() -> None:
    """Add what a hub of the previous release does not look at: columns that may be empty, and tables."""
    for table, columns in NEW_COLUMNS.items():
        for name, kind in columns.items():
            default = DEFAULTS.get(f"{table}.{name}")
            op.add_column(table, sa.Column(name, kind, nullable=default is None, server_default=default))
    for table, indexes in NEW_INDEXES.items():
        for names in indexes:
            op.create_index(op.f(_index(table, names)), table, names)
    marked = sa.text("removed_at IS NOT NULL")
    op.create_index("ix_users_removed", "users", ["removed_at"], sqlite_where=marked, postgresql_where=marked)
    op.create_table(
        "provider_identities",
        sa.Column("issuer", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("claims", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_used_at", MOMENT),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_provider_identities")),
        _of_user("provider_identities"),
    )
    op.create_index(op.f("ix_provider_identities_user_id"), "provider_identities", ["user_id"])
    op.create_table(
        "second_factors",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("credential_id", BYTES),
        sa.Column("data", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_used_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_second_factors")),
        _of_user("second_factors"),
        sa.UniqueConstraint("credential_id", name=op.f("uq_second_factors_credential_id")),
    )
    op.create_index(op.f("ix_second_factors_user_id"), "second_factors", ["user_id"])
    op.create_table(
        "sign_in_failures",
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("pk_sign_in_failures")),
    )
    op.create_index(op.f("ix_sign_in_failures_last_at"), "sign_in_failures", ["last_at"])
    op.create_table(
        "sign_in_attempts",
        sa.Column("digest", BYTES, nullable=False),
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_in_attempts")),
    )
    op.create_index(op.f("ix_sign_in_attempts_expires_at"), "sign_in_attempts", ["expires_at"])
    op.create_table(
        "used_once",
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("digest", BYTES, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("purpose", "digest", name=op.f("pk_used_once")),
    )
    op.create_index(op.f("ix_used_once_expires_at"), "used_once", ["expires_at"])
    op.create_table(
        "registrations",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("password_hash", TEXT, nullable=False),
        sa.Column("display_name", TEXT, nullable=False),
        sa.Column("email", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("address", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registrations")),
        sa.UniqueConstraint("name", name=op.f("uq_registrations_name")),
    )


def downgrade() -> None:
    """Drop them: who signs in by a provider only cannot any more, second factors are gone."""
    for table in (
        "registrations",
        "used_once",
        "sign_in_attempts",
        "sign_in_failures",
        "second_factors",
        "provider_identities",
    ):
        op.drop_table(table)
    op.drop_index("ix_users_removed", "users")
    for table, indexes in NEW_INDEXES.items():
        for names in indexes:
            op.drop_index(op.f(_index(table, names)), table)
    for table, columns in NEW_COLUMNS.items():
        for name in columns:
            op.drop_column(table, name)


def _index(table: str, columns: list[str]) -> str:
    return f"ix_{table}_{'_'.join(columns)}"


def _of_user(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f(f"fk_{table}_user_id"), ondelete="CASCADE")
