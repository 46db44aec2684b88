"""Quotas looked up and held: before a container or a kernel starts, before files grow, and while containers run.

What is allowed is decided by `hub.domain.quota`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from hub.config.limits import DefaultLimits
from hub.domain.audit import AuditEvent
from hub.domain.ids import UserId, new_id
from hub.domain.messages import Message
from hub.domain.quota import (
    WEEK,
    Disk,
    Quota,
    Use,
    disk_state,
    limits_of,
    quota_of,
    refuse_container,
    refuse_kernel,
)
from hub.domain.sizes import size as in_words
from hub.domain.users import User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import HubError, NoSpace, QuotaExceeded
from hub.store.engine import Store
from hub.store.unit import Unit
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
QUIET_SECONDS = 60.0
"""The same refusal of the same person is not audited again for this long."""
MAX_REMEMBERED = 4096
WARNED_FOR = timedelta(minutes=15)
"""Between the word that somebody's hours are used up and the end of their containers."""
_USED_UP = "Your hours of containers in seven days are used up. What runs is stopped in 15 minutes: save your work."


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody may have and has."""

    quota: Quota
    use: Use

    @property
    def disk(self) -> Disk:
        """How full the home is."""
        return disk_state(self.quota, self.use.disk_bytes)


class Quotas:
    """The quotas of all users. `defaults` are the hub's own; `size_of` is the last count of somebody's files.

    `recount` makes a size be counted anew, in the background.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        defaults: Callable[[], DefaultLimits],
        size_of: Callable[[User], int | None],
        recount: Callable[[User], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._defaults = defaults
        self._size_of = size_of
        self._recount = recount
        self._turns: WeakValueDictionary[UserId, asyncio.Lock] = WeakValueDictionary()
        self._audited: OrderedDict[tuple[UserId, str], float] = OrderedDict()

    def turn(self, user: User) -> asyncio.Lock:
        """Held from the question whether one more may start until it counts: of many asked at once one is first."""
        return self._turns.setdefault(user.id, asyncio.Lock())

    async def standing(self, user: User) -> Standing:
        """What the user may have and has now."""
        async with self._store.reading() as unit:
            quota = await self._quota(unit, user.id)
            return Standing(quota, await self._use(unit, user, quota))

    async def limits(self, user: User, profile: Limits) -> Limits:
        """The limits with which a container of the user starts."""
        async with self._store.reading() as unit:
            groups = await unit.groups.list_for(user.id)
        return limits_of(profile, [group.properties for group in groups])

    async def check_container(self, user: User) -> None:
        """Raise QuotaExceeded if the user may start no more containers."""
        standing = await self.standing(user)
        if (reason := refuse_container(standing.quota, standing.use)) is not None:
            await self._refused(user, reason)

    async def check_kernel(self, user: User) -> None:
        """Raise QuotaExceeded if the user may start no more kernels."""
        standing = await self.standing(user)
        if (reason := refuse_kernel(standing.quota, standing.use)) is not None:
            await self._refused(user, reason)

    async def check_growth(self, user: User, slack: float = 1.0) -> None:
        """Raise NoSpace if the user's home has reached its quota, or `slack` of it.

        Deleting and moving are never refused.
        """
        async with self._store.reading() as unit:
            quota = await self._quota(unit, user.id)
        if quota.disk_bytes is None:
            return
        size = self._size_of(user)
        state = disk_state(quota, size, slack)
        if state is not Disk.FINE:
            self._recount(user)
        if state is Disk.FULL and size is not None:
            raise NoSpace(
                f"Your files take {in_words(size)}, and you may have {in_words(quota.disk_bytes)}. Delete some, empty "
                "the trash (File, Hub Control Panel, Trash), and try again."
            )

    async def _quota(self, unit: Unit, user: UserId) -> Quota:
        defaults = self._defaults()
        default = Quota(defaults.containers, defaults.kernels, defaults.hours_per_week, defaults.disk_bytes)
        groups = await unit.groups.list_for(user)
        return quota_of(default, [group.properties for group in groups])

    async def _use(self, unit: Unit, user: User, quota: Quota) -> Use:
        workspaces = await unit.workspaces.list_for(user.id)
        hours = 0.0
        if quota.hours_per_week is not None:
            hours = await hours_since(unit, user.id, self._clock.now() - WEEK, self._clock.now())
        return Use(
            containers=sum(workspace.state is not WorkspaceState.STOPPED for workspace in workspaces),
            kernels=len(await unit.kernels.list_for(user.id)),
            hours=hours,
            disk_bytes=self._size_of(user),
        )

    async def _refused(self, user: User, reason: str) -> None:
        if self._is_worth_a_line(user.id, reason):
            async with self._store.unit() as unit:
                event = AuditEvent(self._clock.now(), "quota.refused", user.id, user.id, details={"reason": reason})
                await unit.audit.add(event)
        raise QuotaExceeded(reason)

    def _is_worth_a_line(self, user: UserId, reason: str) -> bool:
        """Whoever asks again and again does not fill the audit log."""
        now = self._clock.monotonic()
        if now - self._audited.get((user, reason), float("-inf")) < QUIET_SECONDS:
            return False
        self._audited[(user, reason)] = now
        while len(self._audited) > MAX_REMEMBERED:
            self._audited.popitem(last=False)
        return True


async def hours_since(unit: Unit, user: UserId, since: datetime, now: datetime) -> float:
    """Hours that the user's containers ran between two moments, those that run still included."""
    seconds = 0.0
    for life in await unit.lives.list_between(user, since, now):
        if life.started_at is not None:
            seconds += (min(life.ended_at or now, now) - max(life.started_at, since)).total_seconds()
    return max(0.0, seconds) / 3600


class HoursWatch:
    """Ends the containers of those whose hours are used up, a quarter of an hour after they were told.

    `stop` ends one container with a reason; `tell` lets open pages show a message at once.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        quotas: Quotas,
        running: Callable[[], Awaitable[list[Workspace]]],
        stop: Callable[[Workspace, str], Awaitable[object]],
        tell: Callable[[UserId], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._quotas = quotas
        self._running = running
        self._stop = stop
        self._tell = tell
        self._told: dict[UserId, datetime] = {}

    async def run(self) -> None:
        """Look every minute, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except HubError as error:
                log.warning("hours were not looked at: %s", error.message)

    async def look(self) -> None:
        """Tell those whose hours are used up, and end what runs of those who were told long ago."""
        now, running = self._clock.now(), await self._running()
        owners = {workspace.user_id for workspace in running}
        over = {user for user in owners if await self._is_over(user)}
        for user in self._told.keys() - over:
            del self._told[user]
        for user in over - self._told.keys():
            await self._warn(user, now)
        for workspace in running:
            told_at = self._told.get(workspace.user_id)
            if told_at is not None and now - told_at >= WARNED_FOR:
                await self._stop(workspace, "the hours of containers in seven days are used up")

    async def _is_over(self, user_id: UserId) -> bool:
        async with self._store.reading() as unit:
            user = await unit.users.find(user_id)
        if user is None:
            return False
        standing = await self._quotas.standing(user)
        limit = standing.quota.hours_per_week
        return limit is not None and standing.use.hours >= limit

    async def _warn(self, user: UserId, now: datetime) -> None:
        async with self._store.unit() as unit:
            message = Message(new_id(), user, "hub", "kernelhub", _USED_UP, now, now + 2 * WARNED_FOR)
            await unit.messages.add([message])
            await unit.audit.add(AuditEvent(now, "quota.warned", "hub", user, details={"reason": "hours"}))
        self._told[user] = now
        self._tell(user)
