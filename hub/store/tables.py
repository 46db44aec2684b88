"""The tables. docs/reference/database.md says what each is for; migrations/versions makes them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
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
    # When and by what token of the pages this browser last proved that a person with permissions sits there.
    Column("presence_digest", LargeBinary),
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
    Index(None, "action", "id"),
    Index(None, "subject", "id"),
    Index(None, "actor", "id"),
    sqlite_autoincrement=True,
)
