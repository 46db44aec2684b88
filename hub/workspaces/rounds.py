"""What rounds of reconciliation found and did, for the page of health and the log. Plain values."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from hub.workspaces.differences import Kind

RECENT = timedelta(hours=1)
LATE_SECONDS = 60.0
"""A hub that has not looked for so long has a reason that somebody should know."""
_KEPT = 50

WORDS = {
    Kind.FOUND_RUNNING: "found running",
    Kind.FOUND_GONE: "found gone",
    Kind.UNFINISHED_STOP: "stopped to the end",
    Kind.LEFTOVER: "leftovers removed",
    Kind.UNOWNED_CONTAINER: "without an owner ended",
    Kind.UNOWNED_FOLDER: "folders without an owner removed",
    Kind.PROBE: "leftovers of probes removed",
    Kind.KERNEL_GONE: "kernels found gone",
    Kind.KERNEL_ADOPTED: "kernels without a record adopted",
    Kind.KERNEL_UNUSED: "unused kernels without a record ended",
}


class Outcome(StrEnum):
    """How a round went. `held`: it would have ended nearly everything, which is no leftover but a mistake."""

    DONE = "done"
    SILENT = "engine_silent"
    WATCHING = "another_hub"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Round:
    """One round: when it ended, how long it took, what was settled, and how much is still watched."""

    at: datetime
    seconds: float
    outcome: Outcome
    settled: Mapping[Kind, int]
    waiting: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The last rounds in words. `level` is ``good``, ``warn`` or ``bad``; `recent` are lines, the newest first."""

    level: str
    words: str
    recent: list[str]


@dataclass(slots=True)
class Rounds:
    """The last round, and those of the last hour in which something was settled."""

    last: Round | None = None
    _eventful: deque[Round] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def add(self, done: Round) -> None:
        """A round is over."""
        self.last = done
        if done.settled:
            self._eventful.append(done)

    def eventful(self, now: datetime) -> list[Round]:
        """The rounds of the last hour in which something was settled, the newest first."""
        return [each for each in reversed(self._eventful) if now - each.at <= RECENT]

    def summary(self, now: datetime) -> Summary:
        """What is to be said of it now."""
        lines = [f"{each.at:%H:%M:%S} {words_of(each.settled)}" for each in self.eventful(now)[:5]]
        last = self.last
        if last is None:
            return Summary("warn", "database, engine and folders have not been compared yet", lines)
        age = max(0.0, (now - last.at).total_seconds())
        if last.outcome in (Outcome.SILENT, Outcome.HELD):
            return Summary("bad", f"nothing is done: {last.why}", lines)
        if last.outcome is Outcome.WATCHING:
            return Summary("good", last.why, lines)
        if age > LATE_SECONDS:
            return Summary("bad", f"last compared {age / 60:.0f} min ago", lines)
        if last.waiting:
            one = "is" if last.waiting == 1 else "are"
            return Summary("good", f"{last.waiting} without an owner {one} watched before anything is ended", lines)
        return Summary("good", "database, engine and folders agree", lines)


def words_of(settled: Mapping[Kind, int]) -> str:
    """What was settled, in words."""
    return ", ".join(f"{count} {WORDS[kind]}" for kind, count in settled.items())
