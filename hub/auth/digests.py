"""Secrets that are given out once and kept only as digests: cookies, API tokens, one-time links."""

from __future__ import annotations

import hashlib
import secrets
import zlib

TOKEN_PREFIX = "hub_"  # noqa: S105 - lets secret scanners recognise a leaked token; no secret itself
MAX_SECRET_CHARS = 128
_CHECKSUM_CHARS = 8


def new_secret() -> str:
    """256 random bits as 43 characters that may stand in addresses and headers."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> bytes:
    """What is stored of a secret. One SHA-256 is enough: nobody can guess 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def new_token_value() -> str:
    """A fresh API token: ``hub_``, 256 random bits, and a checksum of both."""
    value = TOKEN_PREFIX + new_secret()
    return value + _checksum(value)


def is_token_value(value: str) -> bool:
    """Whether `value` has the form of our tokens, so that mistyped ones need no question to the database."""
    body, checksum = value[:-_CHECKSUM_CHARS], value[-_CHECKSUM_CHARS:]
    return len(value) <= MAX_SECRET_CHARS and value.startswith(TOKEN_PREFIX) and _checksum(body) == checksum


def _checksum(value: str) -> str:
    return f"{zlib.crc32(value.encode('utf-8', 'surrogatepass')):08x}"
