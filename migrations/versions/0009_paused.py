"""Since when a workspace's container is paused.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column that a hub of the previous release neither reads nor writes: to it, nothing is paused."""
    op.add_column("workspaces", sa.Column("paused_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """What is paused then stays frozen until it is stopped, or thawed by hand (`docker unpause`)."""
    op.drop_column("workspaces", "paused_at")
