"""The tables. docs/reference/database.md says what each is for; migrations/versions makes them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)

from hub.store.types import BigKey, Json, PlainText, UtcDateTime

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


FAILED = "outcome IN ('failed', 'died', 'lost')"
"""Of lives of containers: those that somebody may want to know of. Queries say it in these very words."""


def _user(*, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    """The user to whom a row belongs and with whom it goes."""
    target = ForeignKey("users.id", ondelete="CASCADE")
    return Column("user_id", PlainText, target, primary_key=primary_key, nullable=nullable)


# Each number and id that was ever given to a user. Rows are never deleted, so neither is ever given again:
# uids of containers and names of folders derive from them and outlive the user. PostgreSQL leaves a gap where
# a transaction was rolled back; SQLite gives the number to the next.
user_numbers = Table(
    "user_numbers",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("user_id", PlainText, nullable=False, unique=True),
    Column("given_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

users = Table(
    "users",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("number", Integer, ForeignKey("user_numbers.number"), nullable=False, unique=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("role", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    Column("last_activity_at", UtcDateTime),
    Column("display_name", PlainText),
    Column("email", PlainText),
    # Marked for deletion since then: barred like a disabled user, and gone with the files when the grace is over.
    Column("removed_at", UtcDateTime),
    Index(None, "last_activity_at"),
    Index(None, "created_at"),
    # Those who are marked are few beside all others.
    Index(
        "ix_users_removed",
        "removed_at",
        sqlite_where=text("removed_at IS NOT NULL"),
        postgresql_where=text("removed_at IS NOT NULL"),
    ),
)

passwords = Table(
    "passwords",
    metadata,
    _user(primary_key=True),
    Column("hash", PlainText, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("id", PlainText, primary_key=True),
    _user(),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("address", PlainText, nullable=False),
    Column("user_agent", PlainText, nullable=False),
    Column("revoked_at", UtcDateTime),
    # By whom this person was signed in, None for a password of the hub; its own words for them and their session.
    Column("provider", PlainText),
    Column("provider_issuer", PlainText),
    Column("provider_subject", PlainText),
    Column("provider_sid", PlainText),
    Column("provider_data", Json),
    # The cookie's secret is changed now and then; the one before counts for a moment, for requests under way.
    Column("rotated_at", UtcDateTime),
    Column("previous_digest", LargeBinary),
    # What forms of this sign-in's pages carry; it stays while the cookie's secret changes.
    Column("form_token", PlainText),
    # When this browser last proved that a person sits there, and of what the token of its pages is made since.
    Column("presence_seed", LargeBinary),
    Column("presence_at", UtcDateTime),
    Index(None, "user_id"),
    Index(None, "last_seen_at"),
    Index(None, "previous_digest"),
    Index(None, "provider_issuer", "provider_subject"),
)

# Who somebody is to a provider: its issuer and its subject, never an e-mail address.
provider_identities = Table(
    "provider_identities",
    metadata,
    Column("issuer", PlainText, primary_key=True),
    Column("subject", PlainText, primary_key=True),
    _user(),
    Column("provider", PlainText, nullable=False),
    Column("claims", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    Index(None, "user_id"),
)

# Authenticator apps, passkeys and recovery codes.
second_factors = Table(
    "second_factors",
    metadata,
    Column("id", PlainText, primary_key=True),
    _user(),
    Column("kind", PlainText, nullable=False),
    Column("name", PlainText, nullable=False),
    Column("credential_id", LargeBinary, unique=True),
    Column("data", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    Index(None, "user_id"),
)

# Wrong passwords and codes, by what they are counted (hub.auth.throttle); forgotten an hour after the last.
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("kind", PlainText, primary_key=True),
    Column("key", PlainText, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Index(None, "last_at"),
)

# Sign-ins that are under way elsewhere: at a provider, in a learning platform, or at the second factor.
sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("purpose", PlainText, nullable=False),
    Column("data", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "expires_at"),
)

# What counts once only (nonces, ids of tokens, codes), until it would be refused for its age.
used_once = Table(
    "used_once",
    metadata,
    Column("purpose", PlainText, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "expires_at"),
)

# People who asked for an account and wait for an administrator's word.
registrations = Table(
    "registrations",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("password_hash", PlainText, nullable=False),
    Column("display_name", PlainText, nullable=False),
    Column("email", PlainText, nullable=False),
    Column("message", PlainText, nullable=False),
    Column("address", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", PlainText, primary_key=True),
    _user(),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("name", PlainText, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Index(None, "user_id"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    _user(nullable=True),
    Column("purpose", PlainText, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime),
    Index(None, "user_id"),
    Index(None, "expires_at"),
)

groups = Table(
    "groups",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("display_name", PlainText, nullable=False, server_default=text("''")),
    Column("properties", Json, nullable=False, server_default=text("'{}'")),
    # Who keeps it: ``hub``, or the provider or learning platform whose claims make its members.
    Column("source", PlainText, nullable=False, server_default="hub"),
)

memberships = Table(
    "memberships",
    metadata,
    Column("group_id", PlainText, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    _user(primary_key=True),
    Column("role", PlainText, nullable=False, server_default="member"),
    Column("source", PlainText, nullable=False, server_default="hub"),
    Index(None, "user_id"),
    Index(None, "group_id", "role"),
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", PlainText, primary_key=True),
    _user(),
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
    UniqueConstraint("user_id", "profile"),
    Index(None, "state"),
)

kernels = Table(
    "kernels",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("workspace_id", PlainText, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    _user(),
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
    _user(),
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
    _user(),
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

# What administrators and group owners tell people; shown until it is dismissed or has expired.
messages = Table(
    "messages",
    metadata,
    Column("id", PlainText, primary_key=True),
    _user(),
    Column("sender_id", PlainText, nullable=False),
    Column("sender_name", PlainText, nullable=False),
    Column("text", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("dismissed_at", UtcDateTime),
    Index(None, "user_id", "created_at"),
    Index(None, "expires_at"),
)

# What is known of the executions of a kernel that has, or had, a notebook. The kernel may be gone: no foreign key.
kernel_results = Table(
    "kernel_results",
    metadata,
    Column("kernel_id", PlainText, primary_key=True),
    _user(),
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
    _user(),
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

# Who looked into whose files, why and how long. The viewer is no foreign key: it stays true when they are gone.
culling_rules = Table(
    "culling_rules",
    metadata,
    Column("id", PlainText, primary_key=True),
    _user(nullable=True),
    Column("group_id", PlainText, ForeignKey("groups.id", ondelete="CASCADE")),
    Column("by_owner", Boolean, nullable=False),
    Column("value", Json, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("changed_by", PlainText, nullable=False),
    Index(None, "user_id"),
    Index(None, "group_id"),
)

culling_postponements = Table(
    "culling_postponements",
    metadata,
    Column("workspace_id", PlainText, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("kernel_id", PlainText, primary_key=True),
    Column("rule", PlainText, primary_key=True),
    _user(),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("times", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Index(None, "user_id"),
)

views = Table(
    "views",
    metadata,
    Column("id", PlainText, primary_key=True),
    _user(),
    Column("viewer_id", PlainText, nullable=False),
    Column("viewer_name", PlainText, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Index(None, "user_id", "opened_at"),
    Index(None, "opened_at"),
)

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
    _user(),
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
    _user(),
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

# Append-only: the repository has no other way, and triggers (made by the first migration) refuse UPDATE and
# DELETE. There are no foreign keys, because what happened stays true when a user is gone.
audit_events = Table(
    "audit_events",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("action", PlainText, nullable=False),
    Column("actor", PlainText, nullable=False),
    Column("subject", PlainText, nullable=False),
    Column("address", PlainText, nullable=False),
    Column("details", Json, nullable=False),
    # Whom the details name: whose kernel or container it was.
    Column("person", PlainText),
    # The chain (hub.domain.audit): each line's digest covers the one before. Empty only where an older hub wrote.
    Column("previous", LargeBinary),
    Column("digest", LargeBinary),
    Index(None, "action", "id"),
    Index(None, "subject", "id"),
    Index(None, "actor", "id"),
    Index(None, "person", "id"),
    Index(None, "address", "id"),
    Index(None, "at"),
    sqlite_autoincrement=True,
)

# One life of a container, from the wish to have it to its end. What was needed when outlives people, their names do
# not: there is the id of the user and nothing else of theirs.
container_lives = Table(
    "container_lives",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("workspace_id", PlainText, nullable=False),
    Column("user_id", PlainText, nullable=False),
    Column("profile", PlainText, nullable=False),
    Column("image", PlainText, nullable=False),
    # Days since 1970 of `asked_at` in UTC: what is counted by day is counted by an index.
    Column("day", Integer, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("start_ms", Integer),
    Column("phases", Json, nullable=False),
    Column("outcome", PlainText, nullable=False),
    Column("reason", PlainText),
    Column("code", PlainText),
    Column("ended_by", PlainText),
    Column("seconds", Float),
    Column("kernels_started", Integer, nullable=False),
    Column("cpu_seconds", Float),
    Column("peak_memory_bytes", BigInteger),
    Index(None, "workspace_id", "asked_at"),
    Index(None, "user_id", "asked_at"),
    # What has not ended is little beside all that has.
    Index(
        "ix_container_lives_open",
        "asked_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(None, "day", "user_id", "outcome", "start_ms", "seconds"),
    # What went wrong is little, too.
    Index(
        "ix_container_lives_failed",
        *("day", "user_id"),
        sqlite_where=text(FAILED),
        postgresql_where=text(FAILED),
    ),
)

# What administrators have set while the hub runs, by name (hub.running_settings says which there are).
hub_settings = Table(
    "hub_settings",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("value", Json, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("changed_by", PlainText, nullable=False),
)
