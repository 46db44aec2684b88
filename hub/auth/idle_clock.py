"""A wall clock for what ends by idleness: a jump of the machine's clock is not idleness, and ends nobody's sign-in.

A clock jumps when somebody sets it, or when a machine that began with a wrong time hears the right one. `IdleClock`
goes on in the time before the jump until what was stamped in that time has been carried over (`SignIns.carry_over`);
then it believes the new time. Time in which the machine was suspended has passed, and is no jump.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from proxy.kit.clock import Clock, SystemClock

LEAST_JUMP = timedelta(seconds=60)
"""What is less is a correction, and believed at once."""
NO_JUMP = timedelta()
LATE_SECONDS = 10.0
"""So long after a jump may the database still be told of something that was stamped before it."""


class IdleClock:
    """Satisfies `Clock`. `clock` is the machine's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._elapsed: Callable[[], float] = _since_boot if isinstance(clock, SystemClock) else clock.monotonic
        self._late, self._late_until = NO_JUMP, 0.0
        self._believed, self._believed_at = clock.now(), self._elapsed()

    def now(self) -> datetime:
        """See `Clock.now`. It does not jump before `believe` is called."""
        return self._clock.now() - self.jump()

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._clock.monotonic()

    def jump(self) -> timedelta:
        """By how much more, or less, the wall clock moved since it was believed than time has passed; 0: no jump."""
        passed = timedelta(seconds=self._elapsed() - self._believed_at)
        apart = self._clock.now() - self._believed - passed
        return apart if abs(apart) >= LEAST_JUMP else NO_JUMP

    def late(self) -> timedelta:
        """By how much older than it is something may look that was stamped right before the clock jumped forwards."""
        return self._late if self._elapsed() < self._late_until else NO_JUMP

    def believe(self) -> None:
        """From now on the wall clock is right."""
        if (jump := self.jump()) > NO_JUMP:
            self._late, self._late_until = jump, self._elapsed() + LATE_SECONDS
        self._believed, self._believed_at = self._clock.now(), self._elapsed()


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
