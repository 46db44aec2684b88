"""Signs of life besides the heartbeat: answers on the control channel, and recent processor time. Pure."""

from __future__ import annotations

from collections import deque

CPU_SAMPLES = 3
"""Taken every 5 s: the first and the last of them are about 10 s apart."""


class Control:
    """Requests on a kernel's control channel, one at a time.

    `answers_while_busy`: as ipykernel does, on a thread of its own. A kernel that is not known to do so may have good
    reason for its silence, until it was once heard while busy.
    """

    def __init__(self, answers_while_busy: bool) -> None:
        self._answers_while_busy = answers_while_busy
        self._asked = False
        self._asked_at: float | None = None
        self._asked_busy = False

    @property
    def waiting(self) -> bool:
        """Whether a request is unanswered."""
        return self._asked_at is not None

    def ask(self, busy: bool, now: float) -> None:
        """A request is sent."""
        self._asked, self._asked_at, self._asked_busy = True, now, busy

    def answer(self, busy: bool) -> None:
        """It was answered. `busy` says whether the kernel is at this moment."""
        if self._asked_at is not None and self._asked_busy and busy:
            self._answers_while_busy = True
        self._asked_at = None

    def seconds(self, now: float) -> float | None:
        """How long the oldest request has been unanswered: 0 for none; None when silence would mean nothing."""
        if not self._asked or not self._answers_while_busy:
            return None
        return 0.0 if self._asked_at is None else max(0.0, now - self._asked_at)

    def reset(self) -> None:
        """The process is a new one."""
        self._asked, self._asked_at = False, None


class RecentCpu:
    """How many processors were used lately, from samples of the processor time used so far."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=CPU_SAMPLES)

    def add(self, cpu_seconds: float, now: float) -> None:
        """A sample; a smaller time than before is a new process's."""
        if self._samples and cpu_seconds < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now, cpu_seconds))

    def processors(self) -> float | None:
        """Processors used between the first and the last sample; None with fewer than two."""
        if len(self._samples) < 2:
            return None
        (begun, before), (ended, after) = self._samples[0], self._samples[-1]
        return (after - before) / (ended - begun) if ended > begun else None

    def reset(self) -> None:
        """The process is a new one."""
        self._samples.clear()
