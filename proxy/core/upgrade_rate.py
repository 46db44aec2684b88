"""How often somebody may open WebSockets: each costs a question to the hub and one to a container.

Told apart by the credentials that they show, for nothing else is known before the hub was asked. Names in the path are
not looked at: else everybody could use up what somebody else may do.
"""

from __future__ import annotations

from collections import OrderedDict

BURST = 512
"""Twice what one container may have open: all tabs of a person may come back at once, and once more."""
PER_SECOND = 32.0
REMEMBERED = 10_000
"""Credentials that are remembered; the longest unused are forgotten, that is, may do everything again."""


class UpgradeRate:
    """One bucket of tokens for each of the last `REMEMBERED` credentials. Not thread-safe, no I/O."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def admit(self, who: bytes, now: float) -> bool:
        """Whether one more may be opened by `who` at the monotonic time `now`, in seconds."""
        left, at = self._buckets.pop(who, (float(BURST), now))
        left = min(float(BURST), left + (now - at) * PER_SECOND)
        is_admitted = left >= 1
        self._buckets[who] = (left - is_admitted, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return is_admitted
