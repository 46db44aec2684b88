"""Learning platforms (LTI 1.3): courses, links, scores, keys."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, Table, UniqueConstraint

from hub.store.tables.base import metadata, user_column
from hub.store.types import Json, PlainText, UtcDateTime

# Learning platforms (LTI 1.3) that may send people here. An issuer and a client id are one registration; the key set
# is what was last fetched, so that launches go on while a platform's own does not answer.
lti_platforms = Table(
    "lti_platforms",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("issuer", PlainText, nullable=False),
    Column("client_id", PlainText, nullable=False),
    Column("authorize_url", PlainText, nullable=False),
    Column("token_url", PlainText, nullable=False),
    Column("jwks_url", PlainText, nullable=False),
    Column("audience", PlainText, nullable=False),
    Column("deployments", Json, nullable=False),
    # Deployments that a signed launch named and no administrator has accepted yet.
    Column("waiting", Json, nullable=False),
    Column("makes_groups", Boolean, nullable=False),
    Column("frame_origins", Json, nullable=False),
    Column("source", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    Column("keys", Json),
    Column("keys_at", UtcDateTime),
    UniqueConstraint("issuer", "client_id"),
)

# Courses of platforms, and the group that each is here.
lti_contexts = Table(
    "lti_contexts",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("platform_id", PlainText, ForeignKey("lti_platforms.id", ondelete="CASCADE"), nullable=False),
    Column("deployment", PlainText, nullable=False),
    Column("context", PlainText, nullable=False),
    Column("title", PlainText, nullable=False),
    Column("group_id", PlainText, ForeignKey("groups.id", ondelete="SET NULL")),
    Column("members_url", PlainText, nullable=False),
    Column("line_items_url", PlainText, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("roster_at", UtcDateTime),
    Column("roster_problem", PlainText, nullable=False),
    UniqueConstraint("platform_id", "deployment", "context"),
    Index(None, "group_id"),
)

# What teachers chose when they made a link (deep linking): the platform knows it by its id only.
lti_targets = Table(
    "lti_targets",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("platform_id", PlainText, ForeignKey("lti_platforms.id", ondelete="CASCADE"), nullable=False),
    user_column(),
    Column("kind", PlainText, nullable=False),
    Column("path", PlainText, nullable=False),
    Column("title", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "platform_id"),
    Index(None, "user_id"),
)

# Links in courses, as launches told of them.
lti_links = Table(
    "lti_links",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("context_id", PlainText, ForeignKey("lti_contexts.id", ondelete="CASCADE"), nullable=False),
    Column("link", PlainText, nullable=False),
    Column("title", PlainText, nullable=False),
    Column("place", PlainText, nullable=False),
    Column("line_item_url", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("context_id", "link"),
)

# Scores on their way to a platform's gradebook.
lti_scores = Table(
    "lti_scores",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("link_id", PlainText, ForeignKey("lti_links.id", ondelete="CASCADE"), nullable=False),
    user_column(),
    Column("score", Float, nullable=False),
    Column("max", Float, nullable=False),
    Column("comment", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("problem", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    Index(None, "state", "next_at"),
    Index(None, "link_id", "user_id"),
    Index(None, "user_id"),
)

# The hub's own keys towards platforms; the private half is sealed (hub.auth.secrets).
lti_keys = Table(
    "lti_keys",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("public", Json, nullable=False),
    Column("private", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime),
)
