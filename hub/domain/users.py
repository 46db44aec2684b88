"""Users and how their names are made unique.

A name is a label; what identifies a user everywhere is its opaque id. Names are normalised exactly once,
at the edge, by `normalise_username`: two spellings that people would take for the same name are the same
name, and a name that could be mistaken for a path, an option or another script's letter is refused.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from hub.domain.ids import GroupId, SignInId, TokenId, UserId

MAX_USERNAME_CHARS = 64
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}\Z")
_RESERVED = frozenset({"hub", "user", "static", "internal", "health", "metrics", "api", "me", "self"})


class InvalidUsername(ValueError):
    """The name cannot be a user name; the message says what is allowed."""


def normalise_username(raw: str) -> str:
    """The canonical form of a user name: NFKC, case-folded, then only ``[a-z0-9._@+-]``.

    Raises InvalidUsername when the canonical form is empty, longer than 64 characters, begins with
    anything but a letter or digit, holds any other character (so no look-alike letters of another
    script, no invisible characters, no ``/`` or ``%``), or is a name the hub uses in its own addresses.
    """
    if len(raw) > MAX_USERNAME_CHARS * 4:
        raise InvalidUsername(f"A user name has at most {MAX_USERNAME_CHARS} characters.")
    name = unicodedata.normalize("NFKC", raw).casefold()
    if not _USERNAME.match(name):
        raise InvalidUsername(
            "A user name is 1 to 64 characters: letters a to z, digits, and . _ @ + - after the first."
        )
    if name in _RESERVED:
        raise InvalidUsername(f"The name {name!r} is used by the hub itself; choose another.")
    return name


class Role(StrEnum):
    """The roles that are built in (see hub.domain.roles); the configuration may name others."""

    ADMIN = "admin"
    USER = "user"
    GUEST = "guest"


@dataclass(frozen=True, slots=True)
class User:
    """One person. `number` is a small unique integer, given once, from which the container's uid derives.

    `role` is a `Role` or the name of one in the configuration. `display_name` and `email` are only shown. `removed_at`:
    marked for deletion since then, and barred like somebody who is disabled.
    """

    id: UserId
    number: int
    name: str
    role: str
    created_at: datetime
    disabled_at: datetime | None = None
    last_activity_at: datetime | None = None
    display_name: str | None = None
    email: str | None = None
    removed_at: datetime | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the user may do everything in the hub."""
        return self.role == Role.ADMIN


@dataclass(frozen=True, slots=True)
class Group:
    """A named set of users. `source`: who keeps it, ``hub`` or the provider whose claims make its members."""

    id: GroupId
    name: str
    created_at: datetime
    display_name: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    source: str = "hub"


class MemberRole(StrEnum):
    """What somebody is in a group."""

    MEMBER = "member"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Membership:
    """One user in one group. `source`: who put them there; what a provider says changes only its own."""

    group: Group
    user: User
    role: MemberRole
    source: str = "hub"


@dataclass(frozen=True, slots=True)
class SignIn:
    """A browser's login. The cookie's value is never stored, only its SHA-256.

    `provider` and what follows: who signed this person in and what was said, None for a password of the hub.
    `form_token`: what the forms of this sign-in's pages carry. `rotated_at`: when the cookie was last given a fresh
    secret. `presence_seed`, `presence_at`: of what the presence's token is made, and when it was proven or used last.
    """

    id: SignInId
    user_id: UserId
    created_at: datetime
    last_seen_at: datetime
    address: str
    user_agent: str
    revoked_at: datetime | None = None
    provider: str | None = None
    provider_issuer: str | None = None
    provider_subject: str | None = None
    provider_sid: str | None = None
    provider_data: dict[str, Any] | None = field(default=None, repr=False)
    form_token: str | None = field(default=None, repr=False)
    rotated_at: datetime | None = None
    presence_seed: bytes | None = field(default=None, repr=False)
    presence_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token for programs. Its value is never stored, only its SHA-256. No `scopes`: all of the owner's."""

    id: TokenId
    user_id: UserId
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that works once, to become the first administrator or to set a password.

    Its secret is never stored, only its SHA-256. `user_id` is None for somebody who is no user yet.
    """

    user_id: UserId | None
    purpose: str
    expires_at: datetime
    used_at: datetime | None = None
