"""How far starts have come: told by those who start containers, read by pages and by the REST API.

In memory and for people: what is true of a workspace is in the database. A start is known by its user and profile,
so that it can be followed from the moment somebody asked for it, before there is a workspace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from hub import metrics
from hub.domain.ids import UserId

KEPT_ENDED = 500
"""So many starts that have ended are remembered, for those who ask too late."""


@dataclass(frozen=True, slots=True)
class StartKey:
    """Whose container, and of which profile."""

    user_id: UserId
    profile: str


class Phase(StrEnum):
    """How far a start is, in order; the last two end it."""

    REQUESTED = "requested"
    QUEUED = "queued"
    CREATING = "creating"
    GREETING = "greeting"
    ANSWERED = "answered"
    READY = "ready"
    FAILED = "failed"


PERCENT = {
    Phase.REQUESTED: 0,
    Phase.QUEUED: 5,
    Phase.CREATING: 20,
    Phase.GREETING: 60,
    Phase.ANSWERED: 90,
    Phase.READY: 100,
    Phase.FAILED: 100,
}
_WORDS = {
    Phase.REQUESTED: "Your container was asked for.",
    Phase.CREATING: "Your container is being created.",
    Phase.GREETING: "Your container runs; its first answer is awaited.",
    Phase.ANSWERED: "Your container answers.",
    Phase.READY: "Your container is ready.",
}


@dataclass(frozen=True, slots=True)
class Step:
    """Where a start is. `position`: how many starts have to be done before this one begins; 0 unless it is queued."""

    phase: Phase
    message: str
    position: int = 0

    @property
    def percent(self) -> int:
        """How far it is, from 0 to 100."""
        return PERCENT[self.phase]

    @property
    def has_ended(self) -> bool:
        """Whether nothing follows."""
        return self.phase in {Phase.READY, Phase.FAILED}


class Progress:
    """The starts under way, in the order of the queue, and the last ones that ended."""

    def __init__(self) -> None:
        self._steps: dict[StartKey, Step] = {}
        self._queue: list[StartKey] = []
        self._changes: dict[StartKey, asyncio.Event] = {}

    # -- what those who start containers tell --------------------------------------------------------------

    def request(self, key: StartKey) -> None:
        """Somebody asked for it; a start that is under way goes on as it is."""
        known = self._steps.get(key)
        if known is None or known.has_ended:
            self.note(key, Phase.REQUESTED)

    @asynccontextmanager
    async def turn(self, key: StartKey, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        """Wait for one of `turns`, and tell how many are ahead meanwhile."""
        self._queue.append(key)
        self._tell_queue()
        try:
            await turns.acquire()
        finally:
            self._queue.remove(key)
            self._tell_queue()
        try:
            yield
        finally:
            turns.release()

    def note(self, key: StartKey, phase: Phase, message: str = "") -> None:
        """It has come to this phase; `message` in place of the phase's own words."""
        self._set(key, Step(phase, message or _WORDS.get(phase, "")))

    def ready(self, key: StartKey) -> None:
        """It runs and answers."""
        self.note(key, Phase.READY)

    def fail(self, key: StartKey, message: str) -> None:
        """It did not start; `message` says why, for its user."""
        self.note(key, Phase.FAILED, message)

    def forget(self, key: StartKey) -> None:
        """It is not being started any more, and what came of it is history."""
        if self._steps.pop(key, None) is not None:
            self._wake(key)

    # -- what others read ------------------------------------------------------------------------------------

    def find(self, key: StartKey) -> Step | None:
        """Where this start is, or how the last one ended; None if neither is known."""
        return self._steps.get(key)

    def queue(self) -> list[StartKey]:
        """The starts that wait for their turn, the next one first."""
        return list(self._queue)

    def under_way(self) -> list[tuple[StartKey, Step]]:
        """The starts that have not ended: those that wait in the order of the queue, after those that have begun."""
        going = [(key, step) for key, step in self._steps.items() if not step.has_ended]
        return sorted(going, key=lambda each: each[1].phase is Phase.QUEUED and each[1].position + 1)

    async def follow(self, key: StartKey) -> AsyncGenerator[Step, None]:
        """Each step from now on until the last one; nothing if no start is known. Steps in a hurry are left out."""
        seen: Step | None = None
        while (step := self._steps.get(key)) is not None:
            changed = self._changes.setdefault(key, asyncio.Event())
            if step != seen:
                seen = step
                yield step
                if step.has_ended:
                    return
            else:
                await changed.wait()

    def _tell_queue(self) -> None:
        metrics.QUEUED_STARTS.set(len(self._queue))
        for position, key in enumerate(self._queue):
            ahead = (
                "You are next" if position == 0 else f"{position} {'start is' if position == 1 else 'starts are'} ahead"
            )
            self._set(key, Step(Phase.QUEUED, f"Your container waits for its turn. {ahead}.", position))

    def _set(self, key: StartKey, step: Step) -> None:
        self._steps.pop(key, None)  # the latest one is last, so that the oldest are forgotten
        self._steps[key] = step
        self._wake(key)
        if step.has_ended:
            ended = [known for known, last in self._steps.items() if last.has_ended]
            for old in ended[: max(0, len(ended) - KEPT_ENDED)]:
                self.forget(old)

    def _wake(self, key: StartKey) -> None:
        """Whoever waits looks again; each waits for one change only, so nobody misses one."""
        changed = self._changes.pop(key, None)
        if changed is not None:
            changed.set()
