"""Messages to people, and administrators' views of their files.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)


def _user() -> sa.Column[str]:
    return sa.Column("user_id", TEXT, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False)


def upgrade() -> None:
    """Two tables that a hub of the previous release does not look at."""
    op.create_table(
        "messages",
        sa.Column("id", TEXT, primary_key=True),
        _user(),
        sa.Column("sender_id", TEXT, nullable=False),
        sa.Column("sender_name", TEXT, nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("dismissed_at", MOMENT),
    )
    op.create_table(
        "views",
        sa.Column("id", TEXT, primary_key=True),
        _user(),
        sa.Column("viewer_id", TEXT, nullable=False),
        sa.Column("viewer_name", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
    )
    for table, columns in INDEXES:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns)


INDEXES = [
    ("messages", ["user_id", "created_at"]),
    ("messages", ["expires_at"]),
    ("views", ["user_id", "opened_at"]),
    ("views", ["opened_at"]),
]


def downgrade() -> None:
    """Both go with what is in them; the audit log remembers that there were messages and views."""
    op.drop_table("views")
    op.drop_table("messages")
