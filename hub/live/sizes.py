"""How large people's homes are: counted in the background, bounded, and remembered for a while.

A count is asked for when somebody looks; whoever looks first sees that it is being counted. Homes are not counted on
their own, so that 50,000 of them cost nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.domain.ids import UserId
from hub.domain.users import User
from hub.errors import HubError
from proxy.kit.clock import Clock
from proxy.kit.tasks import TaskOwner

log = logging.getLogger(__name__)

REMEMBER = timedelta(minutes=2)
JUST_NOW = timedelta(seconds=2)
LOOK_SECONDS = 0.3
"""How long a page waits for a new count, which is enough for most homes."""
FRESH = timedelta(seconds=10)
MAX_REMEMBERED = 10_000
AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class HomeSize:
    """What files take on the disk. `is_whole` False: the count was given up, and it is more than this."""

    stored_bytes: int
    files: int
    is_whole: bool
    counted_at: datetime


Count = Callable[[User], Awaitable[tuple[int, int, bool]]]
"""Counts a home: bytes on the disk, files, and whether that is all."""


class HomeSizes:
    """Sizes of homes, by user."""

    def __init__(self, count: Count, clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._known: OrderedDict[UserId, HomeSize] = OrderedDict()
        self._counting: dict[UserId, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks = TaskOwner("home sizes")

    def find(self, user: User) -> HomeSize | None:
        """The last count, None before the first; one that is missing or old is counted anew meanwhile."""
        known = self._known.get(user.id)
        if known is None or self._clock.now() - known.counted_at > REMEMBER:
            self.count_again(user)
        return known

    async def look(self, user: User) -> HomeSize | None:
        """The size for a page that is opened: counted now if that takes `LOOK_SECONDS` at most, else the last count."""
        known = self._known.get(user.id)
        if known is None or self._clock.now() - known.counted_at > JUST_NOW:
            self._start(user)
        if (counting := self._counting.get(user.id)) is not None:
            await asyncio.wait([counting], timeout=LOOK_SECONDS)
        return self._known.get(user.id)

    def bytes_of(self, user: User) -> int | None:
        """How many bytes they take on the disk by the last count, None before the first."""
        found = self.find(user)
        return None if found is None else found.stored_bytes

    def count_again(self, user: User) -> None:
        """Count in the background, unless it is being counted or was just now."""
        known = self._known.get(user.id)
        is_fresh = known is not None and self._clock.now() - known.counted_at < FRESH
        if not is_fresh:
            self._start(user)

    async def close(self) -> None:
        """Give up what is being counted."""
        await self._tasks.close()

    def _start(self, user: User) -> None:
        if user.id not in self._counting:
            self._counting[user.id] = self._tasks.start(self._run(user), f"size {user.id}")

    async def _run(self, user: User) -> None:
        try:
            async with self._turns:
                stored, files, is_whole = await self._count(user)
            self._known[user.id] = HomeSize(stored, files, is_whole, self._clock.now())
            self._known.move_to_end(user.id)
            while len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        except HubError as error:
            log.info("the home of %s could not be counted: %s", user.id, error.message)
        finally:
            self._counting.pop(user.id, None)
