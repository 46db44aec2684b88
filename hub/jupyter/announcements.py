"""What happens to a user's files, told to all of that user's open tabs.

A hint and no journal: events are kept for nobody, a tab that reads too slowly misses some, and with several
hubs a tab hears of what its own hub did. Reading is not announced, or every tab would hear of every poll.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

import msgspec

from hub.domain.ids import PrincipalId, UserId
from hub.errors import HubError, TooManyRequests

log = logging.getLogger(__name__)

CONTENTS_SCHEMA = "https://events.jupyter.org/jupyter_server/contents_service/v1"
MAX_SOCKETS_OF_USER = 64
LIVENESS_SECONDS = 2.0

Liveness = Callable[[set[PrincipalId]], Awaitable[set[str]]]
"""Those of some sign-ins and tokens that have not ended."""


class Listener(Protocol):
    """An open socket, as `Events` knows it."""

    principal: PrincipalId

    def tell(self, event: bytes) -> None:
        """Send an event, or drop it when too many wait already."""

    def end(self) -> None:
        """Close: its sign-in or token has ended."""


class Events:
    """Who listens. One per process."""

    def __init__(self) -> None:
        self._listeners: dict[UserId, set[Listener]] = {}

    def join(self, user_id: UserId, listener: Listener) -> None:
        """Listen from now on. Raises TooManyRequests when the user has too many sockets."""
        listeners = self._listeners.setdefault(user_id, set())
        if len(listeners) >= MAX_SOCKETS_OF_USER:
            raise TooManyRequests("Too many tabs are open; close some.", 60)
        listeners.add(listener)

    def leave(self, user_id: UserId, listener: Listener) -> None:
        """Listen no more; again is harmless."""
        listeners = self._listeners.get(user_id, set())
        listeners.discard(listener)
        if not listeners:
            self._listeners.pop(user_id, None)

    def publish(self, user_id: UserId, schema_id: str, data: dict[str, Any]) -> None:
        """Tell all of a user's tabs."""
        listeners = self._listeners.get(user_id)
        if listeners:
            event = msgspec.json.encode({"schema_id": schema_id, **data})
            for listener in list(listeners):
                listener.tell(event)

    def listening(self) -> list[UserId]:
        """The users who have tabs open."""
        return list(self._listeners)

    def contents(self, user_id: UserId, action: str, path: str, source_path: str | None = None) -> None:
        """Something was saved, renamed, copied or deleted."""
        source = {} if source_path is None else {"source_path": source_path}
        self.publish(user_id, CONTENTS_SCHEMA, {"action": action, "path": path, **source})

    async def watch(self, live: Liveness) -> None:
        """For ever: close the sockets whose sign-in or token has ended. A database that is away ends none."""
        while True:
            await asyncio.sleep(LIVENESS_SECONDS)
            try:
                await self.end_dead(live)
            except HubError as error:
                log.warning("sign-ins of open tabs could not be checked: %s", error.message)

    async def end_dead(self, live: Liveness) -> None:
        """Close the sockets whose principal is not among the live ones."""
        held = {listener.principal for listener in self._all()}
        if not held:
            return
        alive = await live(held)
        for listener in self._all():
            if listener.principal in held and listener.principal not in alive:
                listener.end()

    def _all(self) -> Iterable[Listener]:
        return [listener for listeners in self._listeners.values() for listener in listeners]
