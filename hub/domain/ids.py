"""Opaque identifiers. Names of containers, folders and sockets derive from these, never from user names."""

from __future__ import annotations

import secrets
import uuid
from typing import NewType

UserId = NewType("UserId", str)
GroupId = NewType("GroupId", str)
SignInId = NewType("SignInId", str)
TokenId = NewType("TokenId", str)
WorkspaceId = NewType("WorkspaceId", str)
KernelId = NewType("KernelId", str)
SessionId = NewType("SessionId", str)
PrincipalId = NewType("PrincipalId", str)
"""What a request was authenticated by: the id of a sign-in or of an API token."""


def new_id() -> str:
    """A fresh identifier: 26 lower-case hexadecimal characters, 104 random bits, never reused."""
    return secrets.token_hex(13)


def new_uuid() -> str:
    """A fresh identifier in the form Jupyter clients expect of kernels and sessions (UUID, version 4)."""
    return str(uuid.uuid4())
