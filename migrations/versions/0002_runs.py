"""Runs of notebooks.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Make the table; a hub of the previous release does not look at it."""
    op.create_table(
        "runs",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("output", TEXT, nullable=False),
        sa.Column("kernel_id", TEXT, nullable=False),
        sa.Column("spec_name", TEXT, nullable=False),
        sa.Column("cell_seconds", sa.Float()),
        sa.Column("workspace_id", TEXT),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("cell", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("error", JSON),
        sa.Column("verdict", TEXT),
        sa.Column("digest", TEXT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_runs_user_id"), ondelete="CASCADE"),
    )
    op.create_index(op.f("ix_runs_user_id_started_at"), "runs", ["user_id", "started_at"])
    op.create_index(op.f("ix_runs_user_id_digest"), "runs", ["user_id", "digest"])
    op.create_index(op.f("ix_runs_state"), "runs", ["state"])


def downgrade() -> None:
    """Forget all runs; the files that they wrote stay."""
    op.drop_table("runs")
