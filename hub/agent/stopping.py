"""Ending a kernel's process in order: interrupt it, ask it, terminate it, kill it, each with its time."""

from __future__ import annotations

import signal
from collections.abc import Callable

from hub.agent import bounds
from hub.agent.incarnation import Incarnation
from hub.agent.loop import Loop, Timer

ASKED_SECONDS = 2.0
TERMINATED_SECONDS = 1.0


class Stopping:
    """The orderly end of one incarnation. `finished` must be called when its process has ended.

    `busy` says whether a cell runs: it is interrupted first, as a kernel answers only between cells. A kernel
    that has not answered yet is not asked. `then` are called, in order, when the process has ended.

    `notice`: somebody else than its user ends it. Whoever listens to it has a moment to learn of that, then `notice`
    is called, then it is ended.
    """

    def __init__(
        self,
        loop: Loop,
        incarnation: Incarnation,
        *,
        restart: bool,
        busy: bool,
        notice: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self._incarnation = incarnation
        self._timer: Timer | None = None
        self.then: list[Callable[[], None]] = []
        incarnation.child.resume()
        if not incarnation.ready:
            self._kill()
            return
        if notice is None:
            self._ask(restart, busy)
        else:
            self._timer = loop.later(bounds.NOTICE_SECONDS, lambda: self._ask_after(notice, restart, busy))

    def finished(self, rest_seconds: float = 0.0) -> None:
        """The process has ended. `then` are called when `rest_seconds` have passed."""
        if self._timer is not None:
            self._timer.cancel()
        if rest_seconds:
            self._timer = self._loop.later(rest_seconds, self._call)
        else:
            self._call()

    def _call(self) -> None:
        for callback in self.then:
            callback()

    def _ask_after(self, notice: Callable[[], None], restart: bool, busy: bool) -> None:
        notice()
        self._ask(restart, busy)

    def _ask(self, restart: bool, busy: bool) -> None:
        if busy:
            self._incarnation.interrupt()
        self._incarnation.request_shutdown(restart)
        self._timer = self._loop.later(ASKED_SECONDS, self._terminate)

    def _terminate(self) -> None:
        self._incarnation.child.signal(signal.SIGTERM)
        self._timer = self._loop.later(TERMINATED_SECONDS, self._kill)

    def _kill(self) -> None:
        self._incarnation.child.signal(signal.SIGKILL)
