"""JSON Web Tokens that others signed: the one function by which the hub believes one (RFC 7515, 7519, 8725).

The caller says which algorithms count and brings the keys; nothing in a token can choose either. joserfc does the
arithmetic, one key and one algorithm at a time; everything before that, which libraries have got wrong (SECURITY 1.5),
is refused here: other forms than three parts, headers that bring keys or ask for more than we do, doubled names.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, deserialize_compact

from hub.auth.oidc.errors import NotBelieved
from hub.auth.oidc.strict_json import InvalidJson, loads_object
from hub.config.providers import ALGORITHMS

MAX_TOKEN_CHARS = 64 * 1024
MAX_HEADER_CHARS = 8 * 1024
MAX_KID_CHARS = 256
_PART = re.compile(r"[A-Za-z0-9_-]+\Z")
_REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "epk", "apu", "apv", "cty"})
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

PublicKey = RSAKey | ECKey | OKPKey


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token whose form is right and whose signature nobody has looked at."""

    text: str
    algorithm: str
    kid: str | None
    type: str
    """Its ``typ`` in lower case, empty without one."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A token whose signature is good; its claims are still to be judged."""

    header: dict[str, Any]
    claims: dict[str, Any]


def read_header(token: object, algorithms: Collection[str]) -> Unverified:
    """Take a token apart as far as is needed to choose a key. Raises NotBelieved.

    `algorithms` are those that count, and of them only the asymmetric ones of `ALGORITHMS`: ``none`` and HMAC cannot be
    asked for, not even by mistake.
    """
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARS or not token.isascii():
        raise NotBelieved("a token that is no text, or too long")
    parts = token.split(".")
    if len(parts) != 3 or not all(_PART.match(part) for part in parts):
        raise NotBelieved("a token that is not three parts of base64url")
    header = _json_of(parts[0], MAX_HEADER_CHARS)
    if unwanted := _REFUSED_HEADERS & header.keys():
        raise NotBelieved(f"a token whose header has {sorted(unwanted)[0]!r}")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "")
    if not isinstance(algorithm, str) or algorithm not in algorithms or algorithm not in ALGORITHMS:
        raise NotBelieved("a token whose algorithm is not among those that count")
    if kid is not None and (not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARS):
        raise NotBelieved("a token whose kid is no short text")
    if not isinstance(kind, str):
        raise NotBelieved("a token whose typ is no text")
    return Unverified(token, algorithm, kid, kind.lower().removeprefix("application/"))


def choose_key(token: Unverified, keys: Iterable[PublicKey]) -> PublicKey | None:
    """The one key that the token can be signed with; None if none, or more than one, comes into question."""
    kind = _KEY_TYPES[token.algorithm[:2]]
    fitting = [
        key
        for key in keys
        if key.key_type == kind
        and key.get("alg") in (None, token.algorithm)
        and (token.kid is None or key.get("kid") == token.kid)
    ]
    return fitting[0] if len(fitting) == 1 else None


def verify(token: Unverified, key: PublicKey, types: Collection[str] = ("", "jwt")) -> Signed:
    """The token's claims, if `key` signed them. Raises NotBelieved, also if its ``typ`` is none of `types`."""
    if token.type not in types:
        raise NotBelieved("a token of another type")
    registry = JWSRegistry(algorithms=[token.algorithm], strict_check_header=False)
    registry.max_header_length = MAX_HEADER_CHARS
    try:
        signed = deserialize_compact(token.text, key, registry=registry)
        payload = signed.payload
    except (JoseError, ValueError, TypeError) as error:
        raise NotBelieved(f"a signature that is not good: {type(error).__name__}") from error
    try:
        return Signed(dict(signed.headers()), loads_object(payload or b""))
    except InvalidJson as error:
        raise NotBelieved(f"claims that are {error}") from error


def _json_of(part: str, limit: int) -> dict[str, Any]:
    if len(part) > limit:
        raise NotBelieved("a token whose header is too long")
    try:
        return loads_object(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (InvalidJson, ValueError) as error:
        raise NotBelieved("a token whose header is not JSON as it should be") from error
