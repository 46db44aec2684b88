"""What a provider announces about itself (OpenID Connect Discovery 1.0): fetched once in a while, and judged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hub.auth.oidc.errors import ProviderSilent
from hub.auth.oidc.fetching import Fetcher
from hub.auth.oidc.keys import KeySet
from hub.config.providers import ALGORITHMS, is_loopback, is_safe_address
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

FRESH_SECONDS = 3600.0
STALE_SECONDS = 24 * 3600.0
PAUSE_SECONDS = 5.0
"""A provider that did not answer is left alone for so long; sign-ins fail at once meanwhile."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the hub needs of it. `issuer` may hold Microsoft's ``{tenantid}``."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    algorithms: tuple[str, ...]
    sends_issuer: bool
    """Whether every answer to the browser names the issuer (RFC 9207)."""
    takes_basic: bool
    """Whether the client's secret may come as HTTP Basic; else as a field of the form."""


class Discovery:
    """One provider's announcement and keys. `issuer` is what it must call itself, exactly."""

    def __init__(self, fetcher: Fetcher, address: str, issuer: str, clock: Clock) -> None:
        self._fetcher = fetcher
        self._address = address
        self._issuer = issuer
        self._clock = clock
        self._known: tuple[Metadata, KeySet] | None = None
        self._fetched_at = 0.0
        self._failed_at: float | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> tuple[Metadata, KeySet]:
        """The announcement and the keys, of now or, while the provider is down, of less than a day ago.

        Raises ProviderSilent.
        """
        async with self._lock:
            age = self._clock.monotonic() - self._fetched_at
            if self._known is not None and age < FRESH_SECONDS:
                return self._known
            try:
                return await self._fetch()
            except ProviderSilent as error:
                if self._known is None or age > STALE_SECONDS:
                    raise
                log.warning("%s: %s; what it announced before still counts", self._address, error)
                return self._known

    async def _fetch(self) -> tuple[Metadata, KeySet]:
        if self._failed_at is not None and self._clock.monotonic() - self._failed_at < PAUSE_SECONDS:
            raise ProviderSilent("no answer a moment ago")
        try:
            answer = await self._fetcher.get(self._address)
            if answer.status != 200:
                raise ProviderSilent(f"status {answer.status} for {self._address}")
            found = read_metadata(answer.json_object(), self._issuer)
        except ProviderSilent:
            self._failed_at = self._clock.monotonic()
            raise
        before = self._known
        keep = before is not None and before[0].jwks_uri == found.jwks_uri
        keys = before[1] if before and keep else KeySet(self._fetcher, found.jwks_uri, self._clock)
        self._known, self._fetched_at, self._failed_at = (found, keys), self._clock.monotonic(), None
        return self._known


def read_metadata(document: Mapping[str, Any], issuer: str) -> Metadata:
    """Judge an announcement. Raises ProviderSilent if its issuer is not exactly `issuer`, or anything is unusable."""
    if document.get("issuer") != issuer:
        raise ProviderSilent(f"it does not call itself {issuer!r}, but {str(document.get('issuer'))[:200]!r}")
    local = is_loopback(urlsplit(issuer).hostname)
    announced = document.get("id_token_signing_alg_values_supported", ["RS256"])
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(
        issuer=issuer,
        authorization_endpoint=_address(document, "authorization_endpoint", local),
        token_endpoint=_address(document, "token_endpoint", local),
        jwks_uri=_address(document, "jwks_uri", local),
        userinfo_endpoint=_optional_address(document, "userinfo_endpoint", local),
        end_session_endpoint=_optional_address(document, "end_session_endpoint", local),
        algorithms=tuple(name for name in ALGORITHMS if isinstance(announced, list) and name in announced),
        sends_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        takes_basic=not isinstance(methods, list) or "client_secret_basic" in methods,
    )


def _optional_address(document: Mapping[str, Any], name: str, local: bool) -> str | None:
    return _address(document, name, local) if document.get(name) is not None else None


def _address(document: Mapping[str, Any], name: str, local: bool) -> str:
    """An endpoint. One on this machine counts only if the issuer is here, too: others could reach our own ports."""
    address = document.get(name)
    if not isinstance(address, str) or len(address) > 2000 or not is_safe_address(address):
        raise ProviderSilent(f"its {name} is no https address")
    if is_loopback(urlsplit(address).hostname) and not local:
        raise ProviderSilent(f"its {name} leads to this machine")
    return address
