"""Rules of culling for groups and users, and postponements.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")

INDEXES = [
    ("culling_rules", ["user_id"]),
    ("culling_rules", ["group_id"]),
    ("culling_postponements", ["user_id"]),
]


def upgrade() -> None:
    """Two tables that a hub of the previous release does not look at."""
    op.create_table(
        "culling_rules",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("user_id", TEXT, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("group_id", TEXT, sa.ForeignKey("groups.id", ondelete="CASCADE")),
        sa.Column("by_owner", sa.Boolean(), nullable=False),
        sa.Column("value", JSON, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("changed_by", TEXT, nullable=False),
    )
    op.create_table(
        "culling_postponements",
        sa.Column("workspace_id", TEXT, sa.ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("kernel_id", TEXT, primary_key=True),
        sa.Column("rule", TEXT, primary_key=True),
        sa.Column("user_id", TEXT, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
    )
    for table, columns in INDEXES:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns)


def downgrade() -> None:
    """Both go with what is in them: everybody has what the settings and profiles say."""
    op.drop_table("culling_postponements")
    op.drop_table("culling_rules")
