"""Upkeep: what has long ended is forgotten, and what has long been in a trash is deleted, once a day."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from hub.auth.throttle import FORGET_SECONDS, MAX_ROWS
from hub.config import Settings
from hub.contents.service import ContentsOfUsers
from hub.contents.trash_info import TrashRules
from hub.domain.users import User
from hub.errors import HubError
from hub.people.departures import Departures
from hub.store.engine import Store
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

EVERY = timedelta(days=1)
KEPT = timedelta(days=30)
"""How long ended sign-ins and used or expired invitations are kept, for those who ask what happened."""
_PAGE = 500


def trash_rules(settings: Settings) -> TrashRules:
    """How deleting works: the default profile's home is the path that files in the trash are noted with."""
    profiles = settings.profiles
    homes = [profiles[settings.default_profile].home, *(profile.home for profile in profiles.values())]
    return TrashRules(tuple(dict.fromkeys(homes)), settings.trash_days)


class Upkeep:
    """Prunes the database and the users' trashes, and ends the grace of people who were deleted.

    `contents` None: there are no files to look after; `departures` None: nobody ever goes.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        contents: ContentsOfUsers | None = None,
        departures: Departures | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._contents = contents
        self._departures = departures

    async def run(self) -> None:
        """Prune now and then every day, until cancelled."""
        while True:
            try:
                await self.run_once()
                await self.empty_trashes()
                if self._departures is not None:
                    await self._departures.finish_due()
            except HubError as error:
                log.warning("upkeep was not done: %s", error.message)
            await asyncio.sleep(EVERY.total_seconds())

    async def run_once(self) -> int:
        """Prune once; gives how many rows went."""
        before = self._clock.now() - KEPT
        async with self._store.unit() as unit:
            gone = await unit.sign_ins.prune(before) + await unit.invitations.prune(before)
            now = self._clock.now()
            await unit.messages.prune(before)
            await unit.used_once.prune(now)
            await unit.sign_in_attempts.prune(now)
            await unit.sign_in_failures.prune(now - timedelta(seconds=FORGET_SECONDS), MAX_ROWS)
        if gone:
            log.info("%d ended sign-ins and invitations were forgotten", gone)
        return gone

    async def empty_trashes(self) -> int:
        """Delete what has been in users' trashes for too long, one user after the other; gives how many things."""
        gone, offset = 0, 0
        while users := await self._users(offset):
            offset += len(users)
            for user in users:
                try:
                    gone += await self._contents.of(user).trash.expire() if self._contents else 0
                except HubError as error:
                    log.warning("the trash of %s was not looked after: %s", user.name, error.message)
        if gone:
            log.info("%d things that had long been in users' trashes were deleted", gone)
        return gone

    async def _users(self, offset: int) -> list[User]:
        async with self._store.reading() as unit:
            return await unit.users.list(offset=offset, limit=_PAGE)
