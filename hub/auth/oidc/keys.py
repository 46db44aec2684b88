"""A provider's public keys: fetched when needed, kept for when it is down, asked for anew when it has new ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from hub.auth.oidc.errors import NotBelieved, ProviderSilent
from hub.auth.oidc.fetching import Fetcher
from hub.auth.oidc.signed import PublicKey, Unverified, choose_key
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

FRESH_SECONDS = 3600.0
"""After this time keys are fetched again before they are used: one that the provider withdrew stops counting."""
STALE_SECONDS = 24 * 3600.0
"""So long do keys count while the provider does not answer."""
PAUSE_SECONDS = 30.0
"""At most this often are keys fetched because a token names one that is not known: strangers make up such tokens."""
NEEDED_PAUSE_SECONDS = 5.0
"""The same while there are none that count."""
MAX_KEYS = 100
RSA_BITS = range(2048, 8193)
_KINDS: Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class KeySet:
    """The keys at one address, which is fixed."""

    def __init__(self, fetcher: Fetcher, address: str, clock: Clock) -> None:
        self._fetcher = fetcher
        self._address = address
        self._clock = clock
        self._keys: list[PublicKey] = []
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    async def key_for(self, token: Unverified) -> PublicKey:
        """The key that this token names. Raises NotBelieved if the provider has none, ProviderSilent if unknown."""
        if self._age() > FRESH_SECONDS:
            await self._fetch(needed=self._age() > STALE_SECONDS)  # then older keys do not count, down or not
        key = choose_key(token, self._keys)
        if key is None:
            await self._fetch(needed=False)
            key = choose_key(token, self._keys)
        if key is None:
            raise NotBelieved("a token signed with a key that the provider does not have")
        return key

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock.monotonic() - self._fetched_at

    async def _fetch(self, *, needed: bool) -> None:
        """Fetch, unless that was tried moments ago. Raises ProviderSilent only if `needed`."""
        asked_at = self._clock.monotonic()
        async with self._lock:
            if self._fetched_at is not None and self._fetched_at >= asked_at:
                return  # somebody else did meanwhile
            pause = NEEDED_PAUSE_SECONDS if needed else PAUSE_SECONDS
            try:
                if self._tried_at is not None and self._clock.monotonic() - self._tried_at < pause:
                    raise ProviderSilent("asked a moment ago")
                answer = await self._fetcher.get(self._address)
                if answer.status != 200:
                    raise ProviderSilent(f"status {answer.status} for its keys")
                self._keys, self._fetched_at = read_keys(answer.json_object()), self._clock.monotonic()
                self._tried_at = self._fetched_at
            except ProviderSilent as error:
                log.warning("the keys at %s could not be fetched: %s", self._address, error)
                self._tried_at = self._clock.monotonic()
                if needed:
                    raise


def read_keys(document: Mapping[str, Any]) -> list[PublicKey]:
    """The public keys of a key set (RFC 7517) that can sign; keys of other kinds, or too weak, are left out.

    Raises ProviderSilent when it is no key set. A symmetric key in it never counts: everybody can read it.
    """
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ProviderSilent("a key set without a list of keys, or with too many")
    return [key for key in map(_public_key, listed) if key is not None]


def _public_key(listed: object) -> PublicKey | None:
    if not isinstance(listed, dict) or listed.get("use", "sig") != "sig" or _PRIVATE & listed.keys():
        return None
    kind = _KINDS.get(str(listed.get("kty")))
    operations = listed.get("key_ops", ["verify"])
    if kind is None or not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = kind.import_key(listed)
        if isinstance(key, RSAKey) and key.raw_value.key_size not in RSA_BITS:
            return None
        _ = key.public_key  # reads the numbers, which may be none
    except (JoseError, ValueError, TypeError, OverflowError) as error:
        log.debug("a key of a provider is left out: %s", type(error).__name__)
        return None
    return key
