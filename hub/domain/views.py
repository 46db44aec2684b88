"""A look into somebody's files by a person in charge: who, at whom, why, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.domain.ids import UserId

VIEW_LASTS = timedelta(minutes=15)
MIN_REASON_CHARS = 5
MAX_REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class View:
    """One look. It is open until `ends_at`; closing it brings that forward."""

    id: str
    user_id: UserId
    viewer_id: str
    viewer_name: str
    reason: str
    opened_at: datetime
    ends_at: datetime

    def is_open(self, now: datetime) -> bool:
        """Whether files can be seen by it now. A clock that was set back does not prolong it."""
        return self.opened_at <= now < self.ends_at
