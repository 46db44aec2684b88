"""Whether what a provider signed is about this sign-in (OpenID Connect Core 3.1.3.7, Back-Channel Logout 2.6).

Authlib checks what the specifications ask; what they leave open, or Authlib leaves out, is refused here as well.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard

from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError
from joserfc.jwt import JWTClaimsRegistry

from hub.auth.oidc.errors import NotBelieved
from hub.auth.oidc.kinds import TENANT
from hub.auth.oidc.signed import Signed

LEEWAY_SECONDS = 60
"""How far the provider's clock may be from ours."""
MAX_AGE_SECONDS = 600
"""Older tokens do not count: one is made for a sign-in that is under way."""
MAX_SUBJECT_CHARS = 255
MAX_LIFETIME_SECONDS = 3600
LOGOUT_TYPES = ("", "jwt", "logout+jwt")
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_TENANT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must be about. `issuer` as announced, `now` the hub's time."""

    issuer: str
    client_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class LogoutNotice:
    """A provider says that a session of its own, or all of somebody's, has ended."""

    issuer: str
    subject: str | None
    sid: str | None
    token_id: str


def issuer_of(announced: str, claims: Mapping[str, Any]) -> str:
    """The issuer that a token must name: as announced, with its own tenant where that is left open."""
    if TENANT not in announced:
        return announced
    tenant = claims.get("tid")
    if not isinstance(tenant, str) or not _TENANT_ID.match(tenant):
        raise NotBelieved("a token without the id of a tenant")
    return announced.replace(TENANT, tenant)


def check_id_token(
    signed: Signed, expected: Expected, nonce: str, access_token: str, fresh_since: datetime | None = None
) -> str:
    """Judge an id token that belongs to `access_token`; gives its issuer. Raises NotBelieved.

    With `fresh_since`, the person must have proved who they are at the provider after that time (``auth_time``).
    """
    claims = signed.claims
    issuer = issuer_of(expected.issuer, claims)
    options = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": expected.client_id}}
    parameters = {"nonce": nonce, "client_id": expected.client_id, "access_token": access_token}
    now = int(expected.now.timestamp())
    try:
        CodeIDToken(claims, signed.header, options, parameters).validate(now, LEEWAY_SECONDS)
    except (JoseError, TypeError, ValueError) as error:
        raise NotBelieved(f"an id token whose claims are not as they must be: {error}") from error
    if claims.get("iss") != issuer:
        raise NotBelieved("an id token of another issuer")
    _check_times(claims, now)
    _check_subject(claims.get("sub"))
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise NotBelieved("an id token for another sign-in")
    if "azp" in claims and claims["azp"] != expected.client_id:
        raise NotBelieved("an id token for another client")
    if "at_hash" in claims:
        _check_hash(claims["at_hash"], access_token, str(signed.header.get("alg")))
    if fresh_since is not None:
        _check_fresh(claims.get("auth_time"), int(fresh_since.timestamp()), now)
    return issuer


def check_logout_token(signed: Signed, expected: Expected) -> LogoutNotice:
    """Judge a logout token. Raises NotBelieved. That it counts once only is the caller's to see to."""
    claims = signed.claims
    issuer = issuer_of(expected.issuer, claims)
    now = int(expected.now.timestamp())
    essential = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": expected.client_id}}
    try:
        JWTClaimsRegistry(now, LEEWAY_SECONDS, **essential).validate(claims)  # type: ignore[arg-type]
    except (JoseError, TypeError, ValueError) as error:
        raise NotBelieved(f"a logout token whose claims are not as they must be: {error}") from error
    if claims.get("iss") != issuer or "nonce" in claims:
        raise NotBelieved("a logout token of another issuer, or one that is none")
    _check_times(claims, now, may_last=True)
    events, token_id = claims.get("events"), claims.get("jti")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise NotBelieved("a logout token without the event of a logout")
    if not isinstance(token_id, str) or not 0 < len(token_id) <= MAX_SUBJECT_CHARS:
        raise NotBelieved("a logout token without an id")
    subject, sid = claims.get("sub"), claims.get("sid")
    if subject is None and sid is None:
        raise NotBelieved("a logout token about nobody")
    for value in (subject, sid):
        if value is not None:
            _check_subject(value)
    return LogoutNotice(issuer, subject, sid, token_id)


def _check_times(claims: Mapping[str, Any], now: int, *, may_last: bool = False) -> None:
    issued, expires = claims.get("iat"), claims.get("exp", now + 1 if may_last else None)
    if not _is_time(issued) or not _is_time(expires):
        raise NotBelieved("a token without the times of its making and its end")
    if not now - MAX_AGE_SECONDS <= issued <= now + LEEWAY_SECONDS:
        raise NotBelieved("a token that was made too long ago, or in the future")
    if expires <= now - LEEWAY_SECONDS:
        raise NotBelieved("a token that has expired")


def _check_subject(subject: object) -> None:
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARS or not subject.isprintable():
        raise NotBelieved("a token whose subject is no short text")


def _check_hash(given: object, text: str, algorithm: str) -> None:
    """Compare with the left half of the hash that belongs to the algorithm; an unknown one fails (CVE-2026-28498)."""
    size = "512" if algorithm in {"EdDSA", "Ed25519"} else algorithm[2:]
    if size not in {"256", "384", "512"} or not isinstance(given, str):
        raise NotBelieved("a token whose hash cannot be checked")
    digest = hashlib.new(f"sha{size}", text.encode()).digest()
    half = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    if not hmac.compare_digest(half.encode(), given.encode("utf-8", "surrogatepass")):
        raise NotBelieved("a token that came with another access token")


def _check_fresh(at: object, since: int, now: int) -> None:
    if not _is_time(at) or not since - LEEWAY_SECONDS <= at <= now + LEEWAY_SECONDS:
        raise NotBelieved("the provider did not ask again who sits there")


def _is_time(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 2**40
