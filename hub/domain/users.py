"""Users and how their names are made unique.

A name is a label; what identifies a user everywhere is its opaque id. Names are normalised exactly once,
at the edge, by `normalise_username`: two spellings that people would take for the same name are the same
name, and a name that could be mistaken for a path, an option or another script's letter is refused.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

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
    """What a user may do in the hub as a whole."""

    ADMIN = "admin"
    USER = "user"


@dataclass(frozen=True, slots=True)
class User:
    """One person. `number` is a small unique integer, given once, from which the container's uid derives."""

    id: UserId
    number: int
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None = None
    last_activity_at: datetime | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the user may do everything in the hub."""
        return self.role is Role.ADMIN


@dataclass(frozen=True, slots=True)
class Group:
    """A named set of users."""

    id: GroupId
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SignIn:
    """A browser's login. The cookie's value is never stored, only its SHA-256."""

    id: SignInId
    user_id: UserId
    created_at: datetime
    last_seen_at: datetime
    address: str
    user_agent: str
    revoked_at: datetime | None = None


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
