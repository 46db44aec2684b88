"""Rate limits: token buckets in memory, and what is said of them in headers.

A bucket holds a minute's requests and fills up evenly, so that a program may ask often for a moment but not for long.
The headers are those of the IETF's draft "RateLimit header fields for HTTP" (httpapi-ratelimit-headers-10).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from hub.domain.addresses import address_key
from hub.errors import TooManyRequests
from proxy.kit.clock import Clock

__all__ = ["RateLimit", "Standing", "address_key"]

WINDOW_SECONDS = 60.0
MAX_BUCKETS = 20_000
"""So many askers are remembered; the one who has been silent for longest is forgotten and begins anew."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one asker stands with one limit: `left` of `quota` requests, and seconds until the bucket is full."""

    name: str
    quota: int
    left: int
    full_in_seconds: int

    def headers(self) -> dict[str, str]:
        """The two header fields that say so."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.quota};w={WINDOW_SECONDS:.0f}',
            "RateLimit": f'"{self.name}";r={self.left};t={self.full_in_seconds}',
        }


class RateLimit:
    """One limit for many askers: `quota` requests in a minute for each; 0: no limit."""

    def __init__(self, name: str, quota: int, clock: Clock) -> None:
        self.name = name
        self._quota = quota
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Of each asker the tokens that were left, and when; the latest asker last."""

    def take(self, key: str) -> Standing | None:
        """Take one request out of the asker's bucket; None where there is no limit.

        Raises TooManyRequests, which says how long to wait, when the bucket is empty.
        """
        if not self._quota:
            return None
        now, rate = self._clock.monotonic(), self._quota / WINDOW_SECONDS
        left, at = self._buckets.pop(key, (float(self._quota), now))
        left = min(float(self._quota), left + (now - at) * rate)
        refused = left < 1.0
        self._buckets[key] = (left if refused else left - 1.0, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if refused:
            wait = max(1, math.ceil((1.0 - left) / rate))
            raise TooManyRequests(f"Too many requests; wait {wait} s, then go on more slowly.", wait)
        left -= 1.0
        return Standing(self.name, self._quota, int(left), math.ceil((self._quota - left) / rate))

    def standing_when_refused(self) -> Standing | None:
        """How somebody stands who was just refused."""
        return Standing(self.name, self._quota, 0, int(WINDOW_SECONDS)) if self._quota else None
