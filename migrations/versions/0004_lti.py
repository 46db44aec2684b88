"""Learning platforms (LTI 1.3): platforms, courses, links, scores on their way, and the hub's keys.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Add tables; a hub of the previous release does not look at them."""
    op.create_table(
        "lti_platforms",
        sa.Column("id", TEXT, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("name", "issuer", "client_id")),
        *(sa.Column(name, TEXT, nullable=False) for name in ("authorize_url", "token_url", "jwks_url", "audience")),
        sa.Column("deployments", JSON, nullable=False),
        sa.Column("waiting", JSON, nullable=False),
        sa.Column("makes_groups", sa.Boolean(), nullable=False),
        sa.Column("frame_origins", JSON, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("disabled_at", MOMENT),
        sa.Column("keys", JSON),
        sa.Column("keys_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lti_platforms")),
        sa.UniqueConstraint("name", name=op.f("uq_lti_platforms_name")),
        sa.UniqueConstraint("issuer", "client_id", name=op.f("uq_lti_platforms_issuer_client_id")),
    )
    op.create_table(
        "lti_contexts",
        *(sa.Column(name, TEXT, nullable=False) for name in ("id", "platform_id", "deployment", "context", "title")),
        sa.Column("group_id", TEXT),
        sa.Column("members_url", TEXT, nullable=False),
        sa.Column("line_items_url", TEXT, nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("roster_at", MOMENT),
        sa.Column("roster_problem", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lti_contexts")),
        _of("lti_contexts", "platform_id", "lti_platforms"),
        _of("lti_contexts", "group_id", "groups", "SET NULL"),
        sa.UniqueConstraint(
            "platform_id", "deployment", "context", name=op.f("uq_lti_contexts_platform_id_deployment_context")
        ),
    )
    op.create_index(op.f("ix_lti_contexts_group_id"), "lti_contexts", ["group_id"])
    op.create_table(
        "lti_targets",
        *(sa.Column(name, TEXT, nullable=False) for name in ("id", "platform_id", "user_id", "kind", "path", "title")),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lti_targets")),
        _of("lti_targets", "platform_id", "lti_platforms"),
        _of("lti_targets", "user_id", "users"),
    )
    op.create_index(op.f("ix_lti_targets_platform_id"), "lti_targets", ["platform_id"])
    op.create_index(op.f("ix_lti_targets_user_id"), "lti_targets", ["user_id"])
    op.create_table(
        "lti_links",
        *(sa.Column(name, TEXT, nullable=False) for name in ("id", "context_id", "link", "title", "place")),
        sa.Column("line_item_url", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lti_links")),
        _of("lti_links", "context_id", "lti_contexts"),
        sa.UniqueConstraint("context_id", "link", name=op.f("uq_lti_links_context_id_link")),
    )
    op.create_table(
        "lti_scores",
        *(sa.Column(name, TEXT, nullable=False) for name in ("id", "link_id", "user_id")),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("max", sa.Float(), nullable=False),
        sa.Column("comment", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("problem", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("next_at", MOMENT, nullable=False),
        sa.Column("sent_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lti_scores")),
        _of("lti_scores", "link_id", "lti_links"),
        _of("lti_scores", "user_id", "users"),
    )
    op.create_index(op.f("ix_lti_scores_state_next_at"), "lti_scores", ["state", "next_at"])
    op.create_index(op.f("ix_lti_scores_link_id_user_id"), "lti_scores", ["link_id", "user_id"])
    op.create_index(op.f("ix_lti_scores_user_id"), "lti_scores", ["user_id"])
    op.create_table(
        "lti_keys",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("public", JSON, nullable=False),
        sa.Column("private", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("retired_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lti_keys")),
    )


def downgrade() -> None:
    """Drop them: platforms must be registered again, scores that were not sent yet are lost."""
    for table in ("lti_keys", "lti_scores", "lti_links", "lti_targets", "lti_contexts", "lti_platforms"):
        op.drop_table(table)


def _of(table: str, column: str, other: str, ondelete: str = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}"), ondelete=ondelete)
