"""Access tokens for platforms' services: asked for with a JWT of the hub's own, kept until they expire.

Security Framework 1.1, 4.1: client credentials with a signed assertion (RFC 7523).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from hub.auth.lti.fetching import Fetcher, hosts_of
from hub.auth.lti.tool_keys import ToolKeys
from hub.domain.lti import Platform, PlatformId
from hub.errors import PlatformSilent
from proxy.kit.clock import Clock

EARLY = timedelta(seconds=60)
"""So long before its end a token is not used any more."""
LONGEST = timedelta(hours=1)
MAX_KEPT = 500


@dataclass(frozen=True, slots=True)
class _Kept:
    token: str
    until: datetime

    def __repr__(self) -> str:
        return f"_Kept(until={self.until})"


class AccessTokens:
    """Tokens by platform and scope, in memory only."""

    def __init__(self, fetcher: Fetcher, keys: ToolKeys, clock: Clock) -> None:
        self._fetcher = fetcher
        self._keys = keys
        self._clock = clock
        self._kept: dict[tuple[PlatformId, str], _Kept] = {}
        self._lock = asyncio.Lock()

    async def get(self, platform: Platform, scope: str) -> str:
        """A token that permits `scope`. Raises PlatformSilent."""
        kept = self._kept.get((platform.id, scope))
        if kept is not None and self._clock.now() < kept.until:
            return kept.token
        async with self._lock:
            kept = self._kept.get((platform.id, scope))
            if kept is None or self._clock.now() >= kept.until:
                kept = await self._ask(platform, scope)
                if len(self._kept) >= MAX_KEPT:
                    self._kept.clear()
                self._kept[(platform.id, scope)] = kept
            return kept.token

    def forget(self, platform: Platform) -> None:
        """Ask anew next time: the platform refused a token, or was changed."""
        self._kept = {key: kept for key, kept in self._kept.items() if key[0] != platform.id}

    async def _ask(self, platform: Platform, scope: str) -> _Kept:
        audience = platform.audience or platform.token_url
        assertion = await self._keys.sign({"iss": platform.client_id, "sub": platform.client_id, "aud": audience})
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
            "scope": scope,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        answer = await self._fetcher.post(platform.token_url, hosts_of(platform), urlencode(form).encode(), headers)
        if answer.status != 200:
            raise PlatformSilent(
                f"The learning platform refused an access token (status {answer.status}). Check that it knows this "
                "hub's key set and permits the service."
            )
        found = answer.json_object()
        token, seconds = found.get("access_token"), found.get("expires_in", 3600)
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not 0 < len(token) <= 8192:
            raise PlatformSilent("The learning platform's answer holds no access token.")
        lasting = timedelta(seconds=seconds) if isinstance(seconds, int) and 0 < seconds < 10**6 else EARLY
        return _Kept(token, self._clock.now() + max(min(lasting, LONGEST) - EARLY, timedelta(0)))
