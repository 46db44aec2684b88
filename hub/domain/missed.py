"""Results of cells that found no place in a notebook: kept for their user, until they are deleted or too old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.domain.ids import KernelId, UserId

KEPT_FOR = timedelta(days=30)
MOST = 200
"""Of one user; of more the oldest go."""
MOST_BYTES = 256 * 1024**2
"""Of one user's together."""
MAX_CODE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Missed:
    """One cell's results. `request_id` is the front end's id of its request; `code` is the beginning of its code."""

    id: str
    user_id: UserId
    kernel_id: KernelId
    request_id: str
    path: str
    code: str
    reason: str
    ran_at: datetime
    kept_at: datetime
    size_bytes: int


def too_many(newest_first: list[Missed], now: datetime) -> list[Missed]:
    """Those that go, so that the bounds hold."""
    gone, size = [], 0
    for number, each in enumerate(newest_first):
        size += each.size_bytes
        if number >= MOST or size > MOST_BYTES or now - each.kept_at > KEPT_FOR:
            gone.append(each)
    return gone
