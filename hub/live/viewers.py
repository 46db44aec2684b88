"""Who watches: streams of live figures, bounded in number, and ended when their sign-in ends."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from hub.domain.ids import PrincipalId
from hub.errors import HubError, TooManyRequests

log = logging.getLogger(__name__)

MAX_STREAMS = 1000
MAX_OF_PRINCIPAL = 6
"""A browser holds at most six HTTP/1.1 connections to one place anyway."""
MAX_OF_USER = 30
"""Of all sign-ins and tokens of one user, who can make many."""
LIVENESS_SECONDS = 2.0

Liveness = Callable[[set[PrincipalId]], Awaitable[set[str]]]
"""Those of some sign-ins and tokens that have not ended."""


class Viewer:
    """One stream. `ended` is set when it must end; `reason` says why, for the page that reads it."""

    def __init__(self, principal: PrincipalId, user: str = "") -> None:
        self.principal = principal
        self.user = user
        self.ended = asyncio.Event()
        self.reason = ""

    def end(self, reason: str) -> None:
        """Make the stream end; the first reason counts."""
        self.reason = self.reason or reason
        self.ended.set()

    async def wait(self, seconds: float) -> bool:
        """Wait until the stream must end, at most so long. Whether it must."""
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            return False
        return True


class Viewers:
    """All streams of this hub."""

    def __init__(self) -> None:
        self._viewers: set[Viewer] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._viewers)

    def join(self, principal: PrincipalId, user: str = "") -> Viewer:
        """A new stream of a user's. Raises TooManyRequests when there are too many, or the hub is stopping."""
        of_principal = Counter(viewer.principal for viewer in self._viewers)[principal]
        of_user = sum(bool(user) and viewer.user == user for viewer in self._viewers)
        too_many = of_principal >= MAX_OF_PRINCIPAL or of_user >= MAX_OF_USER
        if self._closed or len(self._viewers) >= MAX_STREAMS or too_many:
            raise TooManyRequests("Too many live pages are open; this one is refreshed less often.", 15)
        viewer = Viewer(principal, user)
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """The stream has ended; again is harmless."""
        self._viewers.discard(viewer)

    async def watch(self, live: Liveness) -> None:
        """For ever: end the streams whose sign-in or token has ended. A database that is away ends none."""
        while True:
            await asyncio.sleep(LIVENESS_SECONDS)
            try:
                await self.end_dead(live)
            except HubError as error:
                log.warning("sign-ins of live pages could not be checked: %s", error.message)
            except Exception:
                log.exception("sign-ins of live pages could not be checked")

    async def end_dead(self, live: Liveness) -> None:
        """End the streams whose principal is not among the live ones."""
        held = {viewer.principal for viewer in self._viewers}
        if not held:
            return
        alive = await live(held)
        for viewer in list(self._viewers):
            if viewer.principal in held and viewer.principal not in alive:
                viewer.end("signed-out")

    def close(self) -> None:
        """End them all: the hub stops."""
        self._closed = True
        for viewer in list(self._viewers):
            viewer.end("stopping")
