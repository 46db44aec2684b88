"""Ending a kernel's process in order: interrupt it, ask it, terminate it, kill it, each with its time."""

from __future__ import annotations

import signal
from collections.abc import Callable

from hub.agent.incarnation import Incarnation
from hub.agent.loop import Loop, Timer

ASKED_SECONDS = 2.0
TERMINATED_SECONDS = 1.0


class Stopping:
    """The orderly end of one incarnation. `finished` must be called when its process has ended.

    `busy` says whether a cell runs: it is interrupted first, as a kernel answers only between cells. A kernel
    that has not answered yet is not asked. `then` are called, in order, when the process has ended.
    """

    def __init__(self, loop: Loop, incarnation: Incarnation, *, restart: bool, busy: bool) -> None:
        self._loop = loop
        self._incarnation = incarnation
        self._timer: Timer | None = None
        self.then: list[Callable[[], None]] = []
        incarnation.child.resume()
        if not incarnation.ready:
            self._kill()
            return
        if busy:
            incarnation.interrupt()
        incarnation.request_shutdown(restart)
        self._timer = loop.later(ASKED_SECONDS, self._terminate)

    def finished(self) -> None:
        """The process has ended."""
        if self._timer is not None:
            self._timer.cancel()
        for callback in self.then:
            callback()

    def _terminate(self) -> None:
        self._incarnation.child.signal(signal.SIGTERM)
        self._timer = self._loop.later(TERMINATED_SECONDS, self._kill)

    def _kill(self) -> None:
        self._incarnation.child.signal(signal.SIGKILL)
