"""An OpenID provider that says whatever a test wants it to say, true or not, on a port of this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact

CLIENT_ID = "the-hub"
CLIENT_SECRET = "s3cret+with/odd:chars"
Claims = dict[str, Any]


def b64(data: bytes | str) -> str:
    """As tokens write bytes."""
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def half_hash(text: str, size: int = 256) -> str:
    """What ``at_hash`` holds."""
    digest = hashlib.new(f"sha{size}", text.encode()).digest()
    return b64(digest[: len(digest) // 2])


def sign(claims: Claims | bytes, key: Any, **header: Any) -> str:
    """A token signed by `key`, with exactly this header."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims)
    names = list(JWSRegistry.algorithms)
    registry = JWSRegistry(algorithms=names, strict_check_header=False)
    registry.max_header_length = registry.max_payload_length = 10**7
    registry.check_header = lambda header: None  # type: ignore[method-assign]
    return serialize_compact(header, payload, key, registry=registry)


@dataclass
class FakeOpenId:
    """The provider. `person` are the claims of who signs in; `tweak` changes a token's claims before it is signed."""

    issuer: str = ""
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    person: Claims = field(default_factory=lambda: {"sub": "248289761001", "preferred_username": "Ann"})
    announced: Claims = field(default_factory=dict)
    tweak: Callable[[Claims], Claims] = lambda claims: claims
    header: Claims = field(default_factory=lambda: {"alg": "RS256", "kid": "one"})
    access_token: str = "an-access-token"
    now: Callable[[], float] = time.time
    down: bool = False
    asked: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    bodies: dict[str, web.Response | Callable[[], web.StreamResponse]] = field(default_factory=dict)
    token: str | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def agree(self, address: str, **more: str) -> dict[str, str]:
        """What somebody who signs in at `address` brings back: the fields of the callback."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        return {"code": code, "state": query["state"], **more}

    def id_token(self, nonce: str, /, **changes: Any) -> str:
        """A good id token, but for `changes` (None: without the claim)."""
        now = int(self.now())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "at_hash": half_hash(self.access_token),
            "auth_time": now,
            "sid": "session-1",
            **self.person,
            **changes,
        }
        return sign(self.tweak({k: v for k, v in claims.items() if v is not None}), self.key, **self.header)

    def logout_token(self, **changes: Any) -> str:
        """A good logout token, but for `changes`."""
        now = int(self.now())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_hex(8),
            "sub": self.person["sub"],
            "sid": "session-1",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            **changes,
        }
        kept = {k: v for k, v in claims.items() if v is not None}
        return sign(kept, self.key, **{"typ": "logout+jwt", **self.header})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Everything that is asked of it."""
        self.asked.append(request.path)
        if self.down:
            return web.Response(status=503)
        given = self.bodies.get(request.path)
        if given is not None:
            return given() if callable(given) else given
        match request.path.rsplit("/", 1)[-1]:
            case "openid-configuration":
                return web.json_response(self._announcement())
            case "keys":
                return web.json_response({"keys": [self.key.as_dict(private=False)]})
            case "token":
                return await self._token(request)
            case "me":
                bearer = request.headers.get("Authorization")
                return web.json_response(self.person, status=200 if bearer == f"Bearer {self.access_token}" else 401)
        return web.Response(status=404)

    def _announcement(self) -> Claims:
        base = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/me",
            "end_session_endpoint": f"{self.issuer}/end",
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
            **self.announced,
        }
        return {name: value for name, value in base.items() if value is not None}

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        self.authorizations.append(request.headers.get("Authorization", ""))
        query = self.codes.pop(form.get("code", ""), None)
        challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if query is None or challenge != query["code_challenge"] or form["redirect_uri"] != query["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        token = self.token if self.token is not None else self.id_token(query.get("nonce", ""))
        return web.json_response({"access_token": self.access_token, "token_type": "Bearer", "id_token": token})


@asynccontextmanager
async def fake_openid(**settings: Any) -> AsyncIterator[FakeOpenId]:
    """One that listens for a block."""
    fake = FakeOpenId(**settings)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    fake.issuer = fake.issuer or f"http://127.0.0.1:{port}"
    try:
        yield fake
    finally:
        await runner.cleanup()


def other_key(kid: str = "one") -> Any:
    """A key that the provider does not have, under its key's name."""
    return RSAKey.generate_key(2048, {"kid": kid})


def elliptic_key(kid: str = "two") -> Any:
    """A key of another kind."""
    return ECKey.generate_key("P-256", {"kid": kid})


def shared_key(secret: bytes) -> Any:
    """A symmetric key."""
    return OctKey.import_key(secret)
