"""Upkeep: what has long ended is forgotten, once a day."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from hub.errors import HubError
from hub.store.engine import Store
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

EVERY = timedelta(days=1)
KEPT = timedelta(days=30)
"""How long ended sign-ins and used or expired invitations are kept, for those who ask what happened."""


class Upkeep:
    """Prunes the database."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Prune now and then every day, until cancelled."""
        while True:
            try:
                await self.run_once()
            except HubError as error:
                log.warning("upkeep was not done: %s", error.message)
            await asyncio.sleep(EVERY.total_seconds())

    async def run_once(self) -> int:
        """Prune once; gives how many rows went."""
        before = self._clock.now() - KEPT
        async with self._store.unit() as unit:
            gone = await unit.sign_ins.prune(before) + await unit.invitations.prune(before)
        if gone:
            log.info("%d ended sign-ins and invitations were forgotten", gone)
        return gone
