"""What a kernel is doing, concluded from its IOPub messages; pure."""

from __future__ import annotations

from hub.agent.messages import UNTRACKED, Received

MOST_RUNNING = 256
"""Requests remembered as running at once; beyond, the oldest is forgotten."""


class Activity:
    """Busy or idle, how many cells were begun, and when something last happened (monotonic seconds).

    A kernel is busy while any tracked request is between its ``busy`` and its ``idle``. The agent's own
    requests, which carry its session, are not activity.
    """

    def __init__(self, own_session: str, now: float) -> None:
        self._own_session = own_session
        self._running: dict[str, None] = {}
        self.executions = 0
        self.last_at = now

    @property
    def busy(self) -> bool:
        """Whether anything tracked is running."""
        return bool(self._running)

    def idle_seconds(self, now: float) -> float:
        """Seconds since the last activity; zero while busy."""
        return 0.0 if self.busy else max(0.0, now - self.last_at)

    def observe(self, message: Received, now: float) -> None:
        """Take note of one IOPub message."""
        if message.parent_session == self._own_session or not message.parent_id:
            return
        if message.type == "execute_input":
            self.executions += 1
            self.last_at = now
        elif message.type == "status" and message.parent_type not in UNTRACKED:
            if message.execution_state == "busy":
                self._running[message.parent_id] = None
                if len(self._running) > MOST_RUNNING:
                    del self._running[next(iter(self._running))]
                self.last_at = now
            elif message.execution_state == "idle" and message.parent_id in self._running:
                del self._running[message.parent_id]
                self.last_at = now

    def heard(self, now: float) -> None:
        """Something was printed or shown: that is activity, also when no cell runs."""
        self.last_at = now

    def reset(self, now: float) -> None:
        """The process is a new one: nothing runs in it. The count of executions goes on."""
        self._running.clear()
        self.last_at = now
