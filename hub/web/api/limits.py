"""The API's memory between requests: who asked how often, and what was answered to requests that may come again."""

from __future__ import annotations

from hub.config.rate_limits import RateLimits
from hub.http.rate_limit import RateLimit
from hub.web.api.idempotency import Answers
from proxy.kit.clock import Clock


class ApiLimits:
    """Three limits and the kept answers of one hub."""

    def __init__(self, settings: RateLimits, clock: Clock) -> None:
        self.requests = RateLimit("requests", settings.requests, clock)
        self.by_address = RateLimit("address", settings.requests_from_address, clock)
        self.tokens = RateLimit("tokens", settings.tokens, clock)
        self.answers = Answers(clock)
