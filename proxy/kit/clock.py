"""Time as an argument: a `Clock` is handed to whatever needs to know it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC. It may jump."""

    def monotonic(self) -> float:
        """Seconds that only ever grow, from an arbitrary start."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()


class ManualClock:
    """A clock for tests: it stands still until `advance` is called."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """See `Clock.now`."""
        return self._now

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._monotonic

    def advance(self, span: timedelta) -> None:
        """Let `span` pass on both clocks."""
        self._now += span
        self._monotonic += span.total_seconds()

    def jump(self, span: timedelta) -> None:
        """Set the wall clock forth or back; no time passes."""
        self._now += span
