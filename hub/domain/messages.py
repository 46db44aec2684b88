"""What somebody in charge tells a user: a few words that are shown until they are dismissed or too old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.domain.ids import UserId

MAX_TEXT_CHARS = 1000
LIFETIMES = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}
"""How long a message may stay, by what a form sends."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. The sender's name is kept as it was: what was said stays said when the sender is gone."""

    id: str
    user_id: UserId
    sender_id: str
    sender_name: str
    text: str
    created_at: datetime
    expires_at: datetime
    dismissed_at: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether it is still to be shown."""
        return self.dismissed_at is None and self.expires_at > now


def clean_text(text: str) -> str:
    """The text as it is kept: trimmed, line ends as one character, nothing that cannot be printed."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")
    return "\n".join("".join(c for c in line if c.isprintable() or c == "\t") for line in lines)
