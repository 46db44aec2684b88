"""Turns at something costly: so many at once for everybody, and fewer for one user, so that nobody is kept out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hub.errors import TooManyRequests


class Turns:
    """At most `total` at once, of which one user has at most `per_user`; others wait, at most `wait_seconds`."""

    def __init__(self, total: int, per_user: int, wait_seconds: float, refusal: str) -> None:
        self._total = asyncio.Semaphore(total)
        self._per_user = per_user
        self._wait_seconds = wait_seconds
        self._refusal = refusal
        self._users: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def one(self, user: str) -> AsyncIterator[None]:
        """A turn, for the time of the block. Raises TooManyRequests when none is free in time.

        A user's own turn comes first: while it is waited for, no other user's is taken.
        """
        own, users = self._users.get(user, (asyncio.Semaphore(self._per_user), 0))
        self._users[user] = (own, users + 1)
        try:
            async with (
                _within(own, self._wait_seconds, self._refusal),
                _within(self._total, self._wait_seconds, self._refusal),
            ):
                yield
        finally:
            own, users = self._users.pop(user)
            if users > 1:
                self._users[user] = (own, users - 1)


@asynccontextmanager
async def _within(semaphore: asyncio.Semaphore, seconds: float, refusal: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            await semaphore.acquire()
    except TimeoutError as error:
        raise TooManyRequests(refusal, 10) from error
    try:
        yield
    finally:
        semaphore.release()
