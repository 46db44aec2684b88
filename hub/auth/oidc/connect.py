"""Providers that speak OpenID Connect: code flow with PKCE, and an id token that is checked in full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from hub.auth.oidc.claims import LOGOUT_TYPES, Expected, LogoutNotice, check_id_token, check_logout_token
from hub.auth.oidc.discovery import Discovery, Metadata
from hub.auth.oidc.errors import NotBelieved, ProviderSilent
from hub.auth.oidc.fetching import Fetcher
from hub.auth.oidc.keys import KeySet
from hub.auth.oidc.kinds import Kind
from hub.auth.oidc.signed import Signed, read_header, verify
from hub.auth.oidc.tokens import Client
from hub.auth.oidc.way import Attempt, Told
from hub.config.providers import Provider
from proxy.kit.clock import Clock

_ABOUT_THE_TOKEN = frozenset(
    {"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp", "at_hash", "sid", "tid", "auth_time"}
)
"""Claims that only the signed token can say."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What both kinds of ways are made of."""

    provider: Provider
    kind: Kind
    client: Client
    fetcher: Fetcher
    clock: Clock


class Connect:
    """One provider of OpenID Connect."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._provider = parts.provider
        self._scopes = tuple(parts.provider.scopes or parts.kind.scopes)
        self._discovery = Discovery(parts.fetcher, parts.kind.discovery, parts.kind.issuer, parts.clock)

    async def address(self, attempt: Attempt, *, other_account: bool = False) -> str:
        """See Way."""
        metadata, _ = await self._discovery.get()
        more = {**self._parts.kind.parameters, "nonce": attempt.nonce}
        if other_account:
            more["prompt"] = self._parts.kind.choose_prompt
        if attempt.fresh:
            more |= {"prompt": "login", "max_age": "0"}
        return self._parts.client.address(metadata.authorization_endpoint, self._scopes, attempt, **more)

    async def told(self, attempt: Attempt, code: str, issuer: str | None) -> Told:
        """See Way."""
        metadata, keys = await self._discovery.get()
        if (metadata.sends_issuer and issuer is None) or not _is_issuer(issuer, metadata.issuer):
            raise NotBelieved("an answer of another provider (RFC 9207)")
        tokens = await self._parts.client.exchange(
            self._parts.fetcher, metadata.token_endpoint, attempt, code, takes_basic=metadata.takes_basic
        )
        text, access = tokens.get("id_token"), str(tokens["access_token"])
        signed = await self._signed(text, metadata, keys, ("", "jwt"))
        fresh_since = attempt.started_at if attempt.fresh else None
        named = check_id_token(signed, self._expected(metadata), attempt.nonce, access, fresh_since)
        more = await self._userinfo(metadata, access, str(signed.claims["sub"]))
        return Told(named, {**more, **signed.claims}, str(text))

    async def logout_notice(self, token: object) -> LogoutNotice:
        """What a logout token says (Back-Channel Logout 2.6). Raises NotBelieved or ProviderSilent."""
        metadata, keys = await self._discovery.get()
        signed = await self._signed(token, metadata, keys, LOGOUT_TYPES)
        return check_logout_token(signed, self._expected(metadata))

    async def logout_address(self, back: str, id_token: str) -> str | None:
        """See Way (RP-Initiated Logout 2)."""
        metadata, _ = await self._discovery.get()
        if metadata.end_session_endpoint is None:
            return None
        fields = {"client_id": self._provider.client_id, "post_logout_redirect_uri": back}
        if id_token:
            fields["id_token_hint"] = id_token
        joint = "&" if "?" in metadata.end_session_endpoint else "?"
        return metadata.end_session_endpoint + joint + urlencode(fields)

    async def _signed(self, token: object, metadata: Metadata, keys: KeySet, types: tuple[str, ...]) -> Signed:
        algorithms = self._provider.algorithms or metadata.algorithms
        unverified = read_header(token, algorithms)
        key = await keys.key_for(unverified)
        signed = verify(unverified, key, types)
        # Microsoft's keys say for which issuer they sign.
        for_issuer = key.get("issuer")
        if isinstance(for_issuer, str) and not _is_issuer(str(signed.claims.get("iss")), for_issuer):
            raise NotBelieved("a token signed with the key of another issuer")
        return signed

    async def _userinfo(self, metadata: Metadata, access: str, subject: str) -> Mapping[str, Any]:
        """What the provider tells beyond the id token; its subject must be the same (Core 5.3.2)."""
        if metadata.userinfo_endpoint is None:
            return {}
        answer = await self._parts.fetcher.get(metadata.userinfo_endpoint, bearer=access)
        if answer.status != 200 or answer.content_type != "application/json":
            raise ProviderSilent(f"status {answer.status}, {answer.content_type[:60]} for userinfo")
        told = answer.json_object()
        if told.get("sub") != subject:
            raise NotBelieved("userinfo about somebody else")
        return {name: value for name, value in told.items() if name not in _ABOUT_THE_TOKEN}

    def _expected(self, metadata: Metadata) -> Expected:
        return Expected(metadata.issuer, self._provider.client_id, self._parts.clock.now())


def _is_issuer(given: str | None, announced: str) -> bool:
    """Whether `given` is the issuer, or one that `announced` leaves open; absent is neither."""
    if given is None:
        return True
    before, open_tenant, after = announced.partition("{tenantid}")
    if not open_tenant:
        return given == announced
    middle = given[len(before) : len(given) - len(after)]
    return given == before + middle + after and "/" not in middle
