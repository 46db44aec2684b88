"""The agent's event loop: one zmq.Poller, timers, and nothing else.

asyncio would be twice the code of the whole agent in memory; everything here is short callbacks.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

import zmq


class Timer:
    """One call that will be made. `cancel` takes it back."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call. Harmless when it was called already."""
        self.callback = None


class Loop:
    """Calls back when sockets and descriptors are ready and when time has passed.

    A callback that raises is reported on stderr, and the loop goes on: the agent must outlive its mistakes.
    """

    def __init__(self) -> None:
        self._poller = zmq.Poller()
        self._readers: dict[Any, Callable[[], object]] = {}
        self._writers: dict[Any, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._soon: list[Callable[[], None]] = []
        self._running = False

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def watch(self, source: Any, callback: Callable[[], object]) -> None:
        """Call `callback` whenever `source` (a ZeroMQ socket or a descriptor) has something to read."""
        self._readers[source] = callback
        self._register(source)

    def watch_writable(self, source: Any, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `source` takes more."""
        self._writers[source] = callback
        self._register(source)

    def unwatch(self, source: Any) -> None:
        """No more calls because `source` can be read. Harmless when it is not watched."""
        self._readers.pop(source, None)
        self._register(source)

    def unwatch_writable(self, source: Any) -> None:
        """No more calls because `source` can be written."""
        self._writers.pop(source, None)
        self._register(source)

    def _register(self, source: Any) -> None:
        flags = (zmq.POLLIN if source in self._readers else 0) | (zmq.POLLOUT if source in self._writers else 0)
        if flags:
            self._poller.register(source, flags)
        elif source in self._poller:
            self._poller.unregister(source)

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` once, `seconds` from now."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now() + seconds, next(self._order), timer))
        return timer

    def every(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call `callback` every `seconds`, for as long as the loop runs."""

        def again() -> None:
            self.later(seconds, again)
            callback()

        self.later(seconds, again)

    def soon(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, after what is ready now has been dealt with."""
        self._soon.append(callback)

    def run(self) -> None:
        """Run until `stop`."""
        self._running = True
        while self._running:
            self.turn()

    def stop(self) -> None:
        """Let `run` return after the present turn."""
        self._running = False

    def turn(self, longest_seconds: float = 3600.0) -> None:
        """One turn: wait until something is ready or due, at most `longest_seconds`, and deal with it."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        wait = longest_seconds
        if self._soon:
            wait = 0.0
        elif self._timers:
            wait = min(wait, max(0.0, self._timers[0][0] - self.now()))
        ready = self._poller.poll(int(wait * 1000 + 0.999))
        for source, flags in ready:
            # An earlier callback of this turn may have ended the watching: look the handler up now.
            if flags & (zmq.POLLIN | zmq.POLLERR) and (reader := self._readers.get(source)) is not None:
                self._call(reader)
            if flags & zmq.POLLOUT and (writer := self._writers.get(source)) is not None:
                self._call(writer)
        self._run_due()
        soon, self._soon = self._soon, []
        for callback in soon:
            self._call(callback)

    def _run_due(self) -> None:
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.callback is not None:
                self._call(timer.callback)

    @staticmethod
    def _call(callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception:
            sys.excepthook(*sys.exc_info())
