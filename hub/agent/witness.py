"""What a kernel publishes, as it comes: written into its journal, and what is concluded from it.

Outputs may come by the ten thousand: of most messages only the header's bytes are looked at, never parsed.
"""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

from hub.agent import bounds, journal, messages
from hub.agent.activity import Activity
from hub.agent.executions import Executions
from hub.agent.journal import Journal
from hub.agent.messages import Parts


class Death(NamedTuple):
    """The end of a kernel's process. `asked` says that somebody wanted it, `again` that it is started anew.

    `told`: somebody else than its user wanted it, and gave the reason, which cells that run are told.
    """

    generation: int
    reason: str
    exit_status: int
    asked: bool
    again: bool
    told: bool = False


class Witness:
    """Hears one kernel over all its processes. `own_session` is the agent's: what it asked itself is not recorded.

    Between `begin` and `end` a process of the kernel is recorded; a spare that is being adopted is not yet.
    """

    def __init__(self, own_session: str, kernels_journal: Journal, now: float) -> None:
        self._own_session = own_session
        self._own_mark = own_session.encode()
        self._running: dict[str, bytes] = {}
        self._recording = False
        self._parting: str | None = None
        self._to_tell: set[str] = set()
        """Cells that ran when the end began, or began after it, and have not been told the reason."""
        self.journal = kernels_journal
        self.activity = Activity(own_session, now)
        self.executions = Executions()

    def begin(self, generation: int) -> None:
        """A process of the kernel begins."""
        self._recording = True
        self.journal.add(journal.PROCESS, {"generation": generation})
        self.journal.flush()

    def note(self, note: dict[str, str]) -> None:
        """A front end is about to send the request that `note` describes."""
        self.journal.add(journal.NOTE, dict(note))
        self.journal.flush()

    def hear(self, batch: list[Parts], now: float) -> None:
        """Take messages of IOPub, in order."""
        add, own, parting = self.journal.add_message, self._own_mark, self._parting
        output = False
        for parts in batch:
            parent = parts[1]
            if own in parent and self._is_own(parts):
                continue
            if parting is not None and self._is_of_force(parts, parting):
                continue
            if self._recording:
                add(parts)
            if messages.is_output(parts[0]):
                output = output or len(parent) > 2  # what has no parent was not caused by anybody
            elif (message := messages.read(parts)) is not None:
                self._conclude(message, parent, now)
        if output:
            self.activity.heard(now)
        self.journal.flush()

    def part(self, reason: str) -> None:
        """The process is about to be ended by force: cells are told `reason` and not what that does to them."""
        self._parting = reason
        self._to_tell = set(self._running)

    @property
    def is_parting(self) -> bool:
        """Whether cells are told a reason instead of how they end."""
        return self._parting is not None

    def _is_of_force(self, parts: Parts, reason: str) -> bool:
        """Whether a message only tells that a cell was interrupted. A cell that ends is told the reason before."""
        message = messages.read(parts)
        if message is None or message.parent_type != "execute_request":
            return False
        if message.type == "execute_input" and len(self._to_tell) < bounds.MAX_RUNNING_CELLS:
            self._to_tell.add(message.parent_id)
        elif message.execution_state == "idle" and message.parent_id in self._to_tell:
            self._to_tell.discard(message.parent_id)
            if self._recording:
                self._publish("error", self._running.get(message.parent_id, parts[1]), _farewell(reason))
        return message.type == "error"

    def _is_own(self, parts: Parts) -> bool:
        message = messages.read(parts)
        return message is None or message.parent_session == self._own_session

    def _conclude(self, message: messages.Received, parent: bytes, now: float) -> None:
        self.activity.observe(message, now)
        if message.code is not None:
            self.executions.add(message.execution_count, message.code, time.time())
        elif message.execution_state == "idle":
            self._running.pop(message.parent_id, None)
        elif message.execution_state == "busy" and message.parent_type == "execute_request":
            self._running[message.parent_id] = parent if len(parent) <= bounds.MAX_PARENT_BYTES else _shortened(message)
            if len(self._running) > bounds.MAX_RUNNING_CELLS:
                del self._running[next(iter(self._running))]

    def end(self, death: Death, now: float) -> None:
        """The process has ended: close what it left open, for whoever waits for it, and forget what it knew."""
        if self._recording:
            for parent in self._running.values():
                self._close_cell(parent, death)
            content = death._asdict()
            del content["again"], content["told"]
            self.journal.add(journal.DEATH, content)
            self.journal.flush()
        self._recording = False
        self._parting = None
        self._to_tell.clear()
        self._running.clear()
        self.executions.reset()
        self.activity.reset(now)

    def _close_cell(self, parent: bytes, death: Death) -> None:
        if not death.asked or death.told:
            self._publish("error", parent, _last_words(death))
        self._publish("status", parent, {"execution_state": "idle"})

    def _publish(self, kind: str, parent: bytes, content: dict[str, Any]) -> None:
        header = json.dumps(messages.new_header(self._own_session, kind)).encode()
        self.journal.add_message([header, parent, b"{}", json.dumps(content).encode()])


def _last_words(death: Death) -> dict[str, Any]:
    """The content of the ``error`` that ends a cell whose kernel died."""
    if death.told:
        return _farewell(death.reason)
    after = "It was started again: its variables are gone." if death.again else "It was not started again."
    return {
        "ename": "KernelDied",
        "evalue": death.reason,
        "traceback": [f"The kernel died while this cell ran: {death.reason}", after],
    }


def _farewell(reason: str) -> dict[str, Any]:
    """The content of the ``error`` of a cell whose kernel somebody else ended."""
    ended = f"The kernel was ended while this cell ran: {reason}"
    return {"ename": "KernelStopped", "evalue": reason, "traceback": [ended]}


def _shortened(message: messages.Received) -> bytes:
    parent = {"msg_id": message.parent_id, "msg_type": message.parent_type, "session": message.parent_session}
    return json.dumps(parent).encode()
