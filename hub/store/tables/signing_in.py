"""Who somebody is, and how they prove it: passwords, factors, sign-ins, tokens, invitations."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, Table

from hub.store.tables.base import metadata, user_column
from hub.store.types import Json, PlainText, UtcDateTime

passwords = Table(
    "passwords",
    metadata,
    user_column(primary_key=True),
    Column("hash", PlainText, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("id", PlainText, primary_key=True),
    user_column(),
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
    user_column(),
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
    user_column(),
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
    user_column(),
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
    user_column(nullable=True),
    Column("purpose", PlainText, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime),
    Index(None, "user_id"),
    Index(None, "expires_at"),
)
