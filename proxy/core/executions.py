"""The executions of one client session of which it has some messages but not all: a few bytes each.

A cell stays at ``[*]`` until both its ``execute_reply`` and the state idle have come, which travel by different
sockets. Who goes on with a session must know of which executions the client has the one and not the other.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache

from proxy.core.tagged import Effect, Step

MOST = 16
"""A kernel answers one request after the other, so that more than one or two open ones are rare."""
_ENTRY = struct.Struct(">8sQB")
DUMP_BYTES = MOST * _ENTRY.size
_NOTHING = bytes(DUMP_BYTES)


@dataclass(slots=True)
class Execution:
    """What the client has of an execution; `count` is 0 while unknown."""

    count: int = 0
    failed: bool = False
    replied: bool = False
    idle: bool = False


@lru_cache(maxsize=1024)
def key_of(msg_id: str) -> bytes:
    """What stands for a request's id here. Asked for several times for each message about a request."""
    return hashlib.blake2b(msg_id.encode("utf-8", "replace"), digest_size=8).digest()


class Executions:
    """The open executions, oldest first, at most `MOST`: of more, the oldest are forgotten."""

    def __init__(self) -> None:
        self._open: dict[bytes, Execution] = {}

    def note(self, effect: Effect) -> None:
        """Take a step of an execution into account."""
        key = key_of(effect.msg_id)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = Execution()
        match effect.step:
            case Step.INPUT:
                found.count = min(max(effect.number, 0), 2**63)
            case Step.ERROR:
                found.failed = True
            case Step.REPLY:
                found.replied = True
            case Step.IDLE:
                found.idle = True
            case Step.QUESTION:
                pass  # that it is there says enough
        if found.replied and found.idle:
            del self._open[key]
        elif len(self._open) > MOST:
            del self._open[next(iter(self._open))]

    def find(self, msg_id: str) -> Execution | None:
        """What is known of the execution of this request."""
        return self._open.get(key_of(msg_id))

    @property
    def unanswered(self) -> list[bytes]:
        """The keys of those that the client has no reply to, and of questions."""
        return [key for key, execution in self._open.items() if not execution.replied]

    @property
    def lacks_replies(self) -> bool:
        """Whether the client has the end of some execution without its reply."""
        return any(execution.idle for execution in self._open.values())

    def dump(self) -> bytes:
        """All of it in `DUMP_BYTES` bytes."""
        if not self._open:
            return _NOTHING
        entries = (
            _ENTRY.pack(key, found.count, found.failed | found.replied << 1 | found.idle << 2 | 8)
            for key, found in self._open.items()
        )
        return b"".join(entries).ljust(DUMP_BYTES, b"\0")

    @classmethod
    def load(cls, dump: bytes) -> Executions:
        """What `dump` gave."""
        loaded = cls()
        for key, count, flags in _ENTRY.iter_unpack(dump[:DUMP_BYTES]):
            if flags & 8:
                loaded._open[key] = Execution(count, bool(flags & 1), bool(flags & 2), bool(flags & 4))
        return loaded

    def copy(self) -> Executions:
        """Another of the same content."""
        return self.load(self.dump())
