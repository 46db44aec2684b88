"""From a code to tokens: the one call that carries the hub's own secret (RFC 6749, 4.1.3; RFC 7636, 4.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from authlib.oauth2 import ClientAuth, OAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from hub.auth.oidc.errors import Declined, NotBelieved, ProviderSilent
from hub.auth.oidc.fetching import Fetcher
from hub.auth.oidc.way import Attempt
from hub.config.providers import Provider, read_private_file

MAX_TOKEN_CHARS = 64 * 1024
_ALGORITHMS = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


class Client:
    """The hub as the provider knows it: its id, and how it proves itself. Raises ValueError for an unreadable key."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._secret = provider.read_secret()
        self._key = None if provider.private_key_file is None else _read_key(provider.private_key_file)

    def address(self, endpoint: str, scopes: tuple[str, ...], attempt: Attempt, **more: str) -> str:
        """Where the browser is sent to: code flow, always with PKCE."""
        client = OAuth2Client(
            None,
            client_id=self._provider.client_id,
            scope=" ".join(scopes),
            redirect_uri=attempt.redirect,
            code_challenge_method="S256",
        )
        address, _ = client.create_authorization_url(
            endpoint, state=attempt.state, code_verifier=attempt.verifier, **more
        )
        return str(address)

    async def exchange(
        self, fetcher: Fetcher, endpoint: str, attempt: Attempt, code: str, *, takes_basic: bool
    ) -> dict[str, Any]:
        """The tokens for a code. Raises Declined with the provider's word, or ProviderSilent."""
        body = prepare_token_request(
            "authorization_code", redirect_uri=attempt.redirect, code=code, code_verifier=attempt.verifier
        )
        _, headers, body = self._auth(takes_basic).prepare("POST", endpoint, {}, body)
        answer = await fetcher.post_form(endpoint, body, headers)
        tokens = answer.json_object()
        if "error" in tokens:
            raise Declined(str(tokens["error"])[:64])
        access = tokens.get("access_token")
        if answer.status != 200 or not isinstance(access, str) or not 0 < len(access) <= MAX_TOKEN_CHARS:
            raise ProviderSilent(f"status {answer.status} without an access token")
        if not access.isascii() or not access.isprintable() or str(tokens.get("token_type", "")).lower() != "bearer":
            raise NotBelieved("an access token of an unknown kind")
        return tokens

    def _auth(self, takes_basic: bool) -> ClientAuth:
        client_id = self._provider.client_id
        if self._key is not None:
            return ClientAuth(client_id, self._key, PrivateKeyJWT(alg=_ALGORITHMS[self._key.key_type]))
        if self._secret is None:
            return ClientAuth(client_id, None, "none")
        chosen = self._provider.client_auth or ("basic" if takes_basic else "post")
        if chosen == "post":
            return ClientAuth(client_id, self._secret, "client_secret_post")
        # RFC 6749, 2.3.1 wants both encoded as in forms; Authlib does not.
        return ClientAuth(quote_plus(client_id), quote_plus(self._secret), "client_secret_basic")


def _read_key(file: Path) -> RSAKey | ECKey | OKPKey:
    text = read_private_file(file)
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            key = kind.import_key(text)
        except (JoseError, ValueError, TypeError):
            continue
        if isinstance(key, (RSAKey, ECKey, OKPKey)) and key.is_private:
            return key
    raise ValueError(f"{file} is no private key in PEM")
