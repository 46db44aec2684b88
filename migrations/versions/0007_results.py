"""Cells that ran while nobody watched, and results that found no notebook.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)


def _user() -> sa.Column[str]:
    return sa.Column("user_id", TEXT, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False)


def upgrade() -> None:
    """Two tables that a hub of the previous release does not look at."""
    op.create_table(
        "kernel_results",
        sa.Column("kernel_id", TEXT, primary_key=True),
        _user(),
        sa.Column("workspace_id", TEXT, nullable=False),
        sa.Column("known", TEXT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
    )
    op.create_table(
        "missed_results",
        sa.Column("id", TEXT, primary_key=True),
        _user(),
        sa.Column("kernel_id", TEXT, nullable=False),
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("ran_at", MOMENT, nullable=False),
        sa.Column("kept_at", MOMENT, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("kernel_id", "request_id", name=op.f("uq_missed_results_kernel_id_request_id")),
    )
    for table, columns in INDEXES:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns)


INDEXES = [
    ("kernel_results", ["user_id"]),
    ("kernel_results", ["workspace_id"]),
    ("missed_results", ["user_id", "kept_at"]),
    ("missed_results", ["kept_at"]),
]


def downgrade() -> None:
    """Both go with what is in them; the files of missed results stay in the hub's folder."""
    op.drop_table("missed_results")
    op.drop_table("kernel_results")
