"""The API's memory between requests: who asked how often, and what was answered to requests that may come again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hub.config.rate_limits import RateLimits
from hub.errors import TooManyRequests
from hub.http.rate_limit import RateLimit
from hub.web.api.idempotency import Answers
from proxy.kit.clock import Clock

MAX_STREAMS_OF_USER = 100
"""Of starts' progress, at the same time: a program that starts a course's servers follows some dozens."""


class ApiLimits:
    """Three limits and the kept answers of one hub."""

    def __init__(self, settings: RateLimits, clock: Clock) -> None:
        self.requests = RateLimit("requests", settings.requests, clock)
        self.by_address = RateLimit("address", settings.requests_from_address, clock)
        self.tokens = RateLimit("tokens", settings.tokens, clock)
        self.answers = Answers(clock)
        self._streams: Counter[str] = Counter()

    @contextmanager
    def stream(self, user_id: str) -> Iterator[None]:
        """While a stream of a user's lasts. Raises TooManyRequests when they hold too many."""
        if self._streams[user_id] >= MAX_STREAMS_OF_USER:
            raise TooManyRequests("You follow too many starts at once.", 15)
        self._streams[user_id] += 1
        try:
            yield
        finally:
            self._streams[user_id] -= 1
            if not self._streams[user_id]:
                del self._streams[user_id]
