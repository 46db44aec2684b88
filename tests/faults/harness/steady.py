"""Somebody who does the same small thing again and again while a fault is on, and remembers how it went."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

LAST_SECONDS = 30.0


@dataclass
class Steady:
    """What was seen: how long each took, and what came of it (a status, or an error's name)."""

    seconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def slowest(self) -> float:
        """The longest of all."""
        return max(self.seconds, default=0.0)

    def percentile(self, part: float) -> float:
        """The time within which `part` (0.99, say) of them were done."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else 0.0

    def __str__(self) -> str:
        return ", ".join(f"{count} × {outcome}" for outcome, count in sorted(self.outcomes.items()))


@asynccontextmanager
async def steadily(act: Callable[[], Awaitable[object]], pause_seconds: float) -> AsyncIterator[Steady]:
    """Do `act` for the time of a block, with a pause between; each is counted by what it gives or raises."""
    seen = Steady()

    ended = asyncio.Event()

    async def go_on() -> None:
        while not ended.is_set():
            began = time.monotonic()
            try:
                outcome = str(await act())
            except Exception as error:
                outcome = type(error).__name__
            seen.seconds.append(time.monotonic() - began)
            seen.outcomes[outcome] += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), pause_seconds)

    task = asyncio.create_task(go_on())
    try:
        yield seen
    finally:
        ended.set()
        await asyncio.wait([task], timeout=LAST_SECONDS)  # the one that is under way counts, too
        task.cancel()
