"""Platforms' public keys: fetched when needed, kept in the database for when a platform does not answer."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hub.auth.lti.fetching import Fetcher, hosts_of
from hub.auth.oidc.errors import NotBelieved, ProviderSilent
from hub.domain.lti import Platform, PlatformId
from hub.errors import HubError, PlatformSilent
from hub.store.engine import Store
from proxy.kit.clock import Clock
from proxy.kit.lazy import lazily

if TYPE_CHECKING:
    from hub.auth.oidc import keys as key_sets
    from hub.auth.oidc import signed
    from hub.auth.oidc.signed import PublicKey, Unverified
else:
    key_sets, signed = lazily("hub.auth.oidc.keys"), lazily("hub.auth.oidc.signed")

log = logging.getLogger(__name__)

FRESH = timedelta(hours=1)
"""After this time keys are fetched again before they are used."""
STALE = timedelta(days=2)
"""So long do keys count while the platform does not answer, also over a restart of the hub."""
PAUSE = timedelta(seconds=30)
"""At most this often are keys fetched for a token that names one that is not known: strangers make up such tokens."""


@dataclass(slots=True)
class _Known:
    address: str
    keys: list[PublicKey]
    fetched_at: datetime | None
    tried_at: datetime | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeySets:
    """The key sets of all platforms."""

    def __init__(self, fetcher: Fetcher, store: Store, clock: Clock) -> None:
        self._fetcher = fetcher
        self._store = store
        self._clock = clock
        self._known: dict[PlatformId, _Known] = {}

    async def key_for(self, platform: Platform, token: Unverified) -> PublicKey:
        """The key that signed this token, if it is the platform's.

        Raises NotBelieved if the platform has no such key, and PlatformSilent if none of its keys are known.
        """
        known = self._of(platform)
        if self._age(known) > FRESH:
            await self._fetch(platform, known)
        if self._age(known) > STALE:
            raise PlatformSilent("The learning platform's keys cannot be fetched at the moment. Please try again.")
        key = signed.choose_key(token, known.keys)
        if key is None:
            await self._fetch(platform, known)
            key = signed.choose_key(token, known.keys)
        if key is None:
            raise NotBelieved("signed with a key that the platform does not have")
        return key

    async def test(self, platform: Platform) -> int:
        """Fetch a platform's keys now; how many can be used. Raises PlatformSilent."""
        return len(key_sets.read_keys(await self._ask(platform)))

    def _of(self, platform: Platform) -> _Known:
        known = self._known.get(platform.id)
        if known is None or known.address != platform.jwks_url:
            keys = key_sets.read_keys(platform.keys) if platform.keys else []
            known = _Known(platform.jwks_url, keys, platform.keys_at if platform.keys else None)
            self._known[platform.id] = known
        return known

    def _age(self, known: _Known) -> timedelta:
        return timedelta.max if known.fetched_at is None else abs(self._clock.now() - known.fetched_at)

    async def _fetch(self, platform: Platform, known: _Known) -> None:
        """Fetch, unless that was tried moments ago; what is known stays when the platform does not answer."""
        async with known.lock:
            now = self._clock.now()
            if known.tried_at is not None and abs(now - known.tried_at) < PAUSE:
                return
            known.tried_at = now
            try:
                document = await self._ask(platform)
                known.keys, known.fetched_at = key_sets.read_keys(document), now
            except (PlatformSilent, ProviderSilent) as error:
                log.warning("the keys of the platform %s could not be fetched: %s", platform.name, error)
                return
        try:
            async with self._store.unit() as unit:
                await unit.lti_platforms.keep_keys(platform.id, document, now)
        except HubError as error:
            log.warning("the keys of the platform %s were not kept: %s", platform.name, error.message)

    async def _ask(self, platform: Platform) -> dict[str, Any]:
        answer = await self._fetcher.get(platform.jwks_url, hosts_of(platform), {"Accept": "application/json"})
        if answer.status != 200:
            raise PlatformSilent(f"The learning platform answered {answer.status} when it was asked for its keys.")
        return answer.json_object()
