"""Tells the hub every two seconds what is open here, and closes what it says is revoked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from proxy.contract.activity import ActivityAnswer, ActivityReport
from proxy.errors import HubAway
from proxy.io.connections import Connections
from proxy.io.hub_client import HubClient
from proxy.io.pauses import Pauses
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

REPORT_SECONDS = 2.0
DEADLINE_SECONDS = 5.0


class Activity:
    """The reports of one proxy, called `proxy_id`. While the hub is away, connections stay.

    `told` is called with the principals of each report that was answered, and those of them that are revoked.
    """

    def __init__(
        self,
        hub: HubClient,
        connections: Connections,
        pauses: Pauses,
        proxy_id: str,
        clock: Clock,
        every_seconds: float = REPORT_SECONDS,
        told: Callable[[Iterable[str], Iterable[str]], None] | None = None,
    ) -> None:
        self._hub = hub
        self._connections = connections
        self._pauses = pauses
        self._proxy_id = proxy_id
        self._clock = clock
        self._every_seconds = every_seconds
        self._told = told
        self._is_heard = False

    async def report_for_ever(self) -> None:
        """Report until cancelled."""
        while True:
            await self.report()
            await asyncio.sleep(self._every_seconds)

    async def report(self) -> None:
        """Report once and do as the hub answers. Never raises: the next report makes good."""
        connections, now = self._connections, self._clock.monotonic()
        asked_at = asyncio.get_running_loop().time()
        report = ActivityReport(
            self._proxy_id,
            connections.report(),
            connections.sessions(),
            connections.ended_sessions(),
            self._pauses.workspaces,
        )
        try:
            answer: ActivityAnswer = await self._hub.ask("/internal/activity", report, ActivityAnswer, DEADLINE_SECONDS)
        except HubAway as away:
            if self._is_heard:
                log.warning("connections cannot be reported: %s", away)
            self._is_heard = False
            return
        self._is_heard = True
        connections.forget_ended(now)
        self._pauses.learn(asked_at, answer.paused)
        if self._told is not None:
            self._told({connection.principal for connection in report.connections}, answer.revoked)
        if answer.revoked and (ended := self._connections.end_principals(answer.revoked)):
            log.info("closed %d connections of signed-out principals", ended)
