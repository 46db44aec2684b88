"""The guard: the one place that turns a request's credentials into an identity."""

from __future__ import annotations

import logging

from hub.auth.authority import Authority
from hub.auth.cookies import form_token, read_cookie, sign_in_cookie_name
from hub.auth.digests import MAX_SECRET_CHARS, digest_of, is_token_value
from hub.auth.identity import Credential, Identity
from hub.auth.presence import Presence
from hub.auth.recent import RecentIdentities
from hub.auth.sign_ins import SignIns
from hub.auth.tokens import Tokens
from hub.domain.ids import PrincipalId
from hub.domain.scopes import INHERIT
from hub.errors import NotSignedIn, StoreUnavailable

log = logging.getLogger(__name__)

_TOKEN_SCHEMES = frozenset({"token", "bearer"})


class Guard:
    """Identifies requests. `secure`: browsers reach the hub by https, which decides the cookie's name."""

    def __init__(
        self,
        sign_ins: SignIns,
        tokens: Tokens,
        authority: Authority,
        presence: Presence,
        recent: RecentIdentities,
        *,
        secure: bool,
    ) -> None:
        self._sign_ins = sign_ins
        self._presence = presence
        self._tokens = tokens
        self._authority = authority
        self._recent = recent
        self._cookie_name = sign_in_cookie_name(secure)

    async def identify(
        self,
        cookie_header: str,
        authorization: str,
        query_token: str | None,
        address: str,
        user_agent: str,
    ) -> Identity:
        """Who sends these credentials.

        A token, in the Authorization header or `query_token` (which only upgrades of WebSockets may pass on),
        beats the cookie; a wrong token is refused even beside a good cookie. `user_agent` is not looked at:
        browsers update themselves. Raises NotSignedIn, or StoreUnavailable when it cannot be known.
        """
        token = _token_in(authorization) or query_token
        if token is not None:
            return await self._by_token(token)
        secret = read_cookie(cookie_header, self._cookie_name)
        if secret is None or len(secret) > MAX_SECRET_CHARS:
            raise NotSignedIn("Sign in first.")
        return await self._by_cookie(secret, address)

    async def _by_token(self, value: str) -> Identity:
        if not is_token_value(value):
            raise NotSignedIn("This is not a token of this hub.")
        digest = digest_of(value)
        if (known := self._recent.find(digest)) is not None:
            return known
        generation = self._recent.generation
        found = await self._tokens.find(digest)
        if found is None:
            raise NotSignedIn("This token has expired or was revoked.")
        token, user = found
        grants = await self._authority.grants_of_token(token, user)
        scopes = () if INHERIT in token.scopes else token.scopes
        identity = Identity(user, PrincipalId(token.id), Credential.TOKEN, scopes=scopes, grants=grants)
        self._recent.put(digest, identity, generation)
        try:
            await self._tokens.touch(token)
        except StoreUnavailable as error:
            log.warning("the use of token %s could not be recorded: %s", token.id, error)
        return identity

    async def _by_cookie(self, secret: str, address: str) -> Identity:
        digest = digest_of(secret)
        if (known := self._recent.find(digest)) is not None:
            return known
        generation = self._recent.generation
        found = await self._sign_ins.find(digest)
        if found is None:
            raise NotSignedIn("This sign-in has ended.")
        sign_in, user = found
        identity = Identity(
            user,
            PrincipalId(sign_in.id),
            Credential.COOKIE,
            xsrf=sign_in.form_token or form_token(secret),
            grants=await self._authority.grants_of(user),
            present=False,  # until the handler finds proof in the request
            presence=self._presence.token_of(sign_in),
            presence_at=sign_in.presence_at,
            rotates=self._sign_ins.is_rotation_due(sign_in),
            provided_by=(sign_in.provider_issuer, sign_in.provider_subject or "") if sign_in.provider_issuer else None,
        )
        self._recent.put(digest, identity, generation)
        try:
            await self._sign_ins.touch(sign_in, address)
        except StoreUnavailable as error:
            log.warning("the use of sign-in %s could not be recorded: %s", sign_in.id, error)
        return identity


def _token_in(authorization: str) -> str | None:
    """The token in the header; None when there is none, as with a gateway's own Basic credentials."""
    scheme, _, value = authorization.strip().partition(" ")
    return value.strip() if scheme.lower() in _TOKEN_SCHEMES else None
