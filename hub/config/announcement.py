"""What administrators tell everybody, or a group, at the top of every page."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from hub.config.values import Section

MAX_ANNOUNCEMENT_CHARS = 500


class Announcement(Section):
    """A sentence or two, between two moments, for everybody or for the members of a group."""

    text: str = Field("", max_length=MAX_ANNOUNCEMENT_CHARS, description="What is said; empty: nothing.")
    kind: Literal["info", "warning", "alert"] = Field("info", description="How it looks.")
    since: AwareDatetime | None = Field(None, description="From when on it is shown; none: at once.")
    until: AwareDatetime | None = Field(None, description="Until when it is shown; none: until it is taken away.")
    group: str = Field("", max_length=255, description="Only members of this group see it; empty: everybody.")

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Announcement:
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError("it ends before it begins")
        return self

    def is_shown(self, now: datetime) -> bool:
        """Whether it is time for it."""
        begun = self.since is None or self.since <= now
        return bool(self.text) and begun and (self.until is None or now < self.until)
