"""What waits for one client: bounded by bytes, lossless while it can be, and honest where it cannot.

The kernel is always read (it would drop its own messages otherwise), so a client that reads slowly is given, in
this order: adjacent stream messages of one request joined into one; outputs dropped, with a note on stderr in
their place that says how much; a refusal (`push` returns False), upon which it is closed with 1013. What one client
may have waiting depends on what waits for others of its workspace (`QueueBudget`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from proxy.core.frames import header_facts
from proxy.core.limits import DEFAULT_LIMITS, ENTRY_OVERHEAD_BYTES, Limits
from proxy.core.messages import Minter
from proxy.core.queue_budget import QueueBudget
from proxy.core.tagged import Tagged
from proxy.core.wire import JSON_PARTS, Part, Parts
from proxy.errors import BadMessage

DROPPABLE = frozenset({"stream", "display_data", "update_display_data", "execute_result", "comm_msg"})
"""Outputs. Everything else keeps the front end's idea of the kernel right, and is never dropped."""


class _StreamContent(msgspec.Struct):
    name: str
    text: str


_stream_content = msgspec.json.Decoder(_StreamContent)


@dataclass(slots=True)
class _Message:
    channel: str
    parts: Parts
    size: int


@dataclass(slots=True)
class _Stream:
    """Stream messages joined: the first one's header, parent and metadata, everybody's text.

    `last` is the last one's header, None while none of them moves a cursor.
    """

    parts: Parts
    name: str
    size: int
    last: Part | None
    texts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Gap:
    """Outputs of one request that were dropped here; `last` is the header of the last one."""

    parent: Part
    size: int
    last: Part = b""
    messages: int = 0
    dropped_bytes: int = 0


@dataclass(slots=True)
class Dropped:
    """How much was dropped so far, for the metrics."""

    messages: int = 0
    dropped_bytes: int = 0


class ClientQueue:
    """First in, first out, of Jupyter messages on their way to one client. Not thread-safe, no I/O.

    `mint` makes the header of the note about dropped outputs.
    """

    def __init__(self, mint: Minter, limits: Limits = DEFAULT_LIMITS, budget: QueueBudget | None = None) -> None:
        self._mint = mint
        self._limits = limits
        self._budget = budget or QueueBudget(limits.workspace_bytes)
        self._entries: deque[_Message | _Stream | _Gap] = deque()
        self._bytes = self._flying = 0
        self._is_closed = False
        self.dropped = Dropped()

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait, with what keeping them costs."""
        return self._bytes

    def push(self, channel: str, parts: Parts) -> bool:
        """Add a message. False when even what must not be dropped finds no room; nothing was added then."""
        if self._is_closed:
            return True
        size = sum(map(len, parts)) + ENTRY_OVERHEAD_BYTES
        after = self._bytes + size
        if channel == "iopub":
            if self._entries and after > self._limits.join_from_bytes and self._join(parts):
                return True
            is_much = self._entries and after > self._limits.droppable_bytes
            if (is_much or not self._may_take(size)) and _kind(parts) in DROPPABLE:
                return self._drop(parts)
        if (self._entries and after > self._limits.queue_bytes) or not self._fits(size):
            return False
        self._append(_Message(channel, parts, size), size)
        return True

    def pop(self) -> tuple[str, Parts]:
        """Take the oldest message. Raises IndexError when there is none."""
        entry = self._entries.popleft()
        self._bytes -= entry.size
        self._flying += entry.size
        match entry:
            case _Message(channel, parts, _):
                return channel, parts
            case _Stream(parts, name, _, last, texts):
                content = msgspec.json.encode({"name": name, "text": "".join(texts)})
                return "iopub", Tagged([*parts[:3], content], last)
            case _Gap(parent, _, last, messages, dropped):
                text = (
                    f"\n[{messages} messages ({dropped} bytes) of this output were dropped here, "
                    "because this browser reads more slowly than the kernel writes.]\n"
                )
                return "iopub", Tagged(self._mint("stream", {"name": "stderr", "text": text}, parent), last)

    @property
    def open_bytes(self) -> int:
        """So many bytes may be written past the queue: none while something waits, else what everybody may have."""
        return 0 if self._entries or self._flying or self._is_closed else self._limits.floor_bytes

    def pass_by(self, size: int) -> None:
        """So many bytes went past the queue and are not written yet."""
        self._flying += size
        self._budget.take(size)

    def landed(self) -> None:
        """Everything popped or passed by so far is written: it no longer counts."""
        self._budget.take(-self._flying)
        self._flying = 0

    def close(self) -> None:
        """Let go of everything; what is pushed from now on is thrown away."""
        self._is_closed = True
        self._entries.clear()
        self._budget.take(-self._bytes - self._flying)
        self._bytes = self._flying = 0

    @property
    def is_tight(self) -> bool:
        """Whether so much waits for clients of this workspace that little should be written ahead."""
        return self._budget.is_tight

    def _fits(self, size: int) -> bool:
        held = self._bytes + self._flying
        return size <= self._budget.free_bytes or held + size <= 2 * self._limits.floor_bytes

    def _may_take(self, size: int) -> bool:
        """Whether an output fits, without taking from others what they may need."""
        held = self._bytes + self._flying
        return max(held, size) <= self._budget.free_bytes or held + size <= self._limits.floor_bytes

    def _append(self, entry: _Message | _Stream | _Gap, size: int) -> None:
        self._entries.append(entry)
        self._grow(size)

    def _grow(self, size: int) -> None:
        self._bytes += size
        self._budget.take(size)

    def _join(self, parts: Parts) -> bool:
        """Add the text of a stream message to the one that waits last, if they belong together."""
        last = self._entries[-1]
        if isinstance(last, _Gap) or len(parts) != JSON_PARTS:
            return False
        if last.parts[1] != parts[1] or last.size > self._limits.joined_bytes:
            return False  # another request's; a kernel writes one request's parent header always alike
        if self._bytes + len(parts[3]) > self._limits.droppable_bytes or not self._may_take(len(parts[3])):
            return False
        content = _stream_of(parts)
        if content is None:
            return False
        if isinstance(last, _Message):
            first = _stream_of(last.parts) if last.channel == "iopub" else None
            if first is None:
                return False
            last = self._entries[-1] = _Stream(last.parts, first.name, last.size, _mark_of(last.parts), [first.text])
        if last.name != content.name:
            return False
        last.texts.append(content.text)
        last.last = parts[0]
        last.size += len(parts[3])
        self._grow(len(parts[3]))
        return True

    def _drop(self, parts: Parts) -> bool:
        last = self._entries[-1] if self._entries else None
        if not (isinstance(last, _Gap) and last.parent == parts[1]):
            size = ENTRY_OVERHEAD_BYTES + len(parts[1])
            if self._bytes + size > self._limits.queue_bytes or not self._fits(size):
                return False
            last = _Gap(parts[1], size)
            self._append(last, size)
        size = sum(map(len, parts))
        last.messages += 1
        last.last = parts[0]
        last.dropped_bytes += size
        self.dropped.messages += 1
        self.dropped.dropped_bytes += size
        return True


def _mark_of(parts: Parts) -> Part | None:
    return parts.mark if type(parts) is Tagged else parts[0]


def _kind(parts: Parts) -> str:
    try:
        return header_facts(parts[0]).msg_type
    except BadMessage:
        return ""


def _stream_of(parts: Parts) -> _StreamContent | None:
    """The content of a stream message without buffers; None for every other message."""
    if len(parts) != JSON_PARTS or b'"stream"' not in bytes(parts[0]) or _kind(parts) != "stream":
        return None
    try:
        return _stream_content.decode(parts[3])
    except (ValueError, RecursionError):
        return None
