"""One user's trash, for handlers that know nothing of descriptors and threads (see `hub.contents.trash`)."""

from __future__ import annotations

from functools import partial

from hub.contents import trash
from hub.contents.beneath import Owner
from hub.contents.trash import TrashList
from hub.contents.trash_info import TrashRules
from hub.contents.workers import Workers
from hub.errors import NotFound
from proxy.kit.clock import Clock


class Trash:
    """What the user deleted; `item_id` is the `id` of a `hub.contents.trash.Trashed`."""

    def __init__(self, owner: Owner, workers: Workers, lane: str, clock: Clock, rules: TrashRules) -> None:
        self._owner = owner
        self._workers = workers
        self._lane = lane
        self._clock = clock
        self._rules = rules

    @property
    def days(self) -> int:
        """So long is kept what is deleted."""
        return self._rules.days

    async def list(self) -> TrashList:
        """What is in it, the newest first."""
        return await self._workers.run(self._lane, partial(trash.list_all, self._owner, self._rules))

    async def restore(self, item_id: str) -> str:
        """Bring something back, and say to which path. Raises NotFound."""
        return await self._workers.run(self._lane, partial(trash.restore, self._owner, item_id, self._rules))

    async def delete(self, item_id: str) -> None:
        """Delete something for good. Raises NotFound."""
        await self._workers.run(self._lane, partial(trash.delete, self._owner, item_id))

    async def empty(self) -> None:
        """Delete everything for good."""
        await self._workers.run(self._lane, partial(trash.empty, self._owner))

    async def expire(self) -> int:
        """Delete what has been there for too long; gives how many things went. Makes no home."""
        owner = trash.without_making_homes(self._owner)
        try:
            return await self._workers.run(self._lane, partial(trash.expire, owner, self._rules, self._clock.now()))
        except NotFound:
            return 0
