"""Results of cells that found no place in a notebook: kept for their user, until they are deleted or too old."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.domain.ids import KernelId, UserId

KEPT_FOR = timedelta(days=30)
MOST = 200
"""Of one user; of more the oldest go."""
MOST_BYTES = 256 * 1024**2
"""Of one user's together."""
MAX_CODE_CHARS = 200
_MADE_UP = re.compile(r"-jvsc-[0-9a-f-]{36,80}(?=\.ipynb\Z)")


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


def is_elsewhere(path: str) -> bool:
    """Whether this is a path that VS Code has made up, for a session of a notebook that it has on a computer."""
    return _MADE_UP.search(path) is not None


def known_as(path: str) -> str:
    """The name by which the user knows the notebook at `path`: without what VS Code has added, if it did."""
    return _MADE_UP.sub("", path)
