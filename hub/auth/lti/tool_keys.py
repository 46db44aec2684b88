"""The hub's own keys towards platforms: made when first needed, sealed in the database, replaced on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hub.auth.secrets import Secrets
from hub.domain.audit import AuditEvent
from hub.domain.ids import new_id
from hub.domain.lti import ToolKey
from hub.store.engine import Store
from proxy.kit.clock import Clock
from proxy.kit.lazy import lazily

if TYPE_CHECKING:
    from joserfc import jwk, jwt
else:
    jwk, jwt = lazily("joserfc.jwk"), lazily("joserfc.jwt")

ALGORITHM = "RS256"
PURPOSE = "lti.key"
SHOWN_AFTER = timedelta(days=30)
"""So long is a retired key still shown, for platforms that keep key sets."""
_BITS = 2048


class ToolKeys:
    """The hub's keys. Hubs that share a database share them."""

    def __init__(self, store: Store, clock: Clock, secrets: Secrets) -> None:
        self._store = store
        self._clock = clock
        self._secrets = secrets
        self._signing: tuple[str, jwk.RSAKey] | None = None

    async def key_set(self) -> dict[str, Any]:
        """The public keys, as platforms fetch them."""
        await self._current()
        async with self._store.reading() as unit:
            return {"keys": [dict(key.public) for key in await unit.lti_platforms.keys()]}

    async def sign(self, claims: Mapping[str, Any], seconds: int = 300) -> str:
        """A JWT of these claims with ``iat``, ``exp`` and ``jti``."""
        key = await self._current()
        now = int(self._clock.now().timestamp())
        times = {"iat": now, "exp": now + seconds, "jti": new_id()}
        header = {"alg": ALGORITHM, "kid": key.id, "typ": "JWT"}
        return jwt.encode(header, {**claims, **times}, self._opened(key), algorithms=[ALGORITHM])

    async def rotate(self, actor: str, address: str = "") -> str:
        """Make a new key, which signs from now on; the old ones are shown for a while. The new key's id."""
        key, now = await self._make(), self._clock.now()
        async with self._store.unit() as unit:
            await unit.lti_platforms.add_key(key)
            await unit.lti_platforms.retire_keys(key.id, now)
            await unit.lti_platforms.prune_keys(now - SHOWN_AFTER)
            await unit.audit.add(AuditEvent(now, "lti.key_made", actor, key.id, address))
        return key.id

    async def _current(self) -> ToolKey:
        async with self._store.reading() as unit:
            keys = await unit.lti_platforms.keys()
        for key in keys:
            if key.retired_at is None:
                return key
        await self.rotate("hub")
        return await self._current()

    async def _make(self) -> ToolKey:
        key_id = new_id()
        parameters: Any = {"kid": key_id, "use": "sig", "alg": ALGORITHM}
        key = await asyncio.to_thread(jwk.RSAKey.generate_key, _BITS, parameters, private=True)
        sealed = self._secrets.seal(PURPOSE, key.as_pem(private=True).decode())
        return ToolKey(key_id, key.as_dict(private=False), sealed, self._clock.now())

    def _opened(self, key: ToolKey) -> jwk.RSAKey:
        """The private key; only the one in use is kept in memory."""
        if self._signing is None or self._signing[0] != key.id:
            self._signing = (key.id, jwk.RSAKey.import_key(self._secrets.open(PURPOSE, key.private)))
        return self._signing[1]
