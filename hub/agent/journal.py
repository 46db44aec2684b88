"""The journal of one kernel: all that it published, numbered, in a bounded row of files in the run folder.

docs/reference/agent-protocol.md, "The journal", specifies the bytes; `proxy/kit/journal.py` reads them. What is added
in one turn of the loop is written with one ``write`` and never synced to the disk: no death of a process loses what
the machine's kernel has taken. A full disk or a folder that cannot be written to never stops the agent: what
could not be written is counted, and told by a GAP record as soon as something can be.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import struct
import time
from typing import Any, NamedTuple

from hub.agent import bounds, journal_files
from hub.agent.journal_files import MAGIC, Segment

MESSAGE, NOTE, GAP, PROCESS, DEATH = 1, 2, 3, 4, 5

MOST_TAKEN_NAMES = 16
_AFTER_LENGTH = 17
_HEAD = struct.Struct(">IBQd")
_MESSAGE_HEAD = struct.Struct(">IBQdHI")
_LENGTH = struct.Struct(">I")


class _Record(NamedTuple):
    """A record that waits: `length` is what its first field will say, `size` that of a message's parts."""

    kind: int
    at: float
    parts: list[bytes]
    length: int
    size: int


class Journal:
    """Writes the journal of one kernel into `folder`. With a `bound` of 0 bytes there is none.

    What is added waits for `flush`. A journal that is there already is continued. Nothing here raises OSError.
    """

    def __init__(self, folder: str, kernel_id: str, bound: int) -> None:
        self._prefix = f"{folder}/journal-{kernel_id}-"
        self._bound = bound
        self._segment_bytes = bound // 4
        self._largest = min(bound - bounds.JOURNAL_ROOM_BYTES, bounds.MAX_JOURNAL_RECORD_BYTES)
        self._pending: list[_Record] = []
        self._pending_bytes = 0
        self._told = (0, 0)
        self._fd = -1
        self.failing = False
        """Whether the last that was to be written could not be."""
        found = journal_files.find_journal(folder, kernel_id) if bound > 0 else journal_files.NOTHING_FOUND
        self._full = list(found.segments)
        self._next_number = found.next_number
        self._seq = found.last
        self._lost = found.lost
        self._segment = Segment(0, 0, 0, 0, 0)

    @property
    def last(self) -> int:
        """The number of the last record that was written."""
        return self._seq

    def extent(self) -> dict[str, int]:
        """What the journal holds, in the protocol's form."""
        segments = [*self._full, self._segment]
        return {
            "first": next((segment.first for segment in segments if segment.first), 0),
            "last": self._seq,
            "bytes": sum(segment.size for segment in segments),
            "lost_messages": self._lost[0],
            "lost_bytes": self._lost[1],
        }

    # ---- adding

    def add_message(self, parts: list[bytes]) -> None:
        """Add a message: header, parent header, metadata, content, buffers. One that is too large is lost."""
        size = sum(map(len, parts))
        length = _AFTER_LENGTH + 2 + 4 * len(parts) + size
        if self._bound <= 0:
            return
        if length > self._largest or len(parts) > bounds.MAX_JOURNAL_PARTS:
            self.flush()
            self._lose(1, size)
            return
        self._add(_Record(MESSAGE, time.time(), parts, length, size))

    def add(self, kind: int, content: dict[str, Any]) -> None:
        """Add a NOTE, PROCESS or DEATH."""
        if self._bound > 0:
            self._add(_note(kind, content))

    def _add(self, record: _Record) -> None:
        self._pending.append(record)
        self._pending_bytes += record.length
        if self._pending_bytes > bounds.JOURNAL_BATCH_BYTES:
            self.flush()

    def _lose(self, messages: int, size: int) -> None:
        self._lost = (self._lost[0] + messages, self._lost[1] + size)

    # ---- writing

    def flush(self) -> None:
        """Write what was added. What cannot be written is lost, and counted."""
        batch, self._pending = self._pending, []
        self._pending_bytes = 0
        done = 0
        try:
            while done < len(batch) or self._told != self._lost:
                done += self._write_some(batch, done)
                self.failing = False
        except OSError:
            self.failing = True
            left = [record for record in batch[done:] if record.kind == MESSAGE]
            self._lose(len(left), sum(record.size for record in left))

    def _write_some(self, batch: list[_Record], begin: int) -> int:
        """Write records of `batch` from `begin` on, as many as the segment takes; how many. Raises OSError."""
        first_length = batch[begin].length if begin < len(batch) else 0
        if self._fd >= 0 and self._segment.first and not self._fits(self._segment.size, first_length):
            self._close_segment()
        if self._fd < 0:
            self._open_segment(first_length)
        segment, seq = self._segment, self._seq
        size = segment.size or len(MAGIC)
        out = [] if segment.size else [MAGIC]
        if self._told != self._lost or (not segment.size and self._lost != (0, 0)):
            gap = _note(GAP, {"messages": self._lost[0], "bytes": self._lost[1]})
            seq += 1
            size += 4 + gap.length
            _encode(gap, seq, out)
        messages = message_bytes = 0
        index = begin
        while index < len(batch):
            record = batch[index]
            if index > begin and not self._fits(size, record.length):
                break
            seq += 1
            size += 4 + record.length
            _encode(record, seq, out)
            if record.kind == MESSAGE:
                messages += 1
                message_bytes += record.size
            index += 1
        self._put(b"".join(out))
        self._segment = Segment(
            segment.number,
            segment.first or self._seq + 1,
            size,
            segment.messages + messages,
            segment.message_bytes + message_bytes,
        )
        self._seq, self._told = seq, self._lost
        return index - begin

    def _fits(self, size: int, length: int) -> bool:
        return size + 4 + length <= self._segment_bytes

    def _put(self, data: bytes) -> None:
        """Write all of `data` or nothing. Raises OSError."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            try:
                os.ftruncate(self._fd, self._segment.size)
            except OSError:
                self._close_segment()  # what was written of it ends the segment for every reader
            raise

    # ---- segments

    def _open_segment(self, first_length: int) -> None:
        """Begin the next segment, and make room for it. Raises OSError."""
        self._make_room(max(self._segment_bytes, first_length + bounds.JOURNAL_ROOM_BYTES))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        for _ in range(MOST_TAKEN_NAMES):
            number = self._next_number
            if number > journal_files.LAST_NUMBER:
                break
            self._next_number += 1
            try:
                self._fd = os.open(f"{self._prefix}{number:08x}", flags, 0o600)
            except FileExistsError:
                continue
            except OSError:
                self._next_number = number
                raise
            self._segment = Segment(number, 0, 0, 0, 0)
            return
        raise OSError(errno.EEXIST, "the names of the journal's next segments are taken")

    def _make_room(self, size: int) -> None:
        """Delete the oldest segments until `size` more bytes are within the bound."""
        total = sum(segment.size for segment in self._full)
        while self._full and (total + size > self._bound or len(self._full) >= bounds.MAX_JOURNAL_SEGMENTS - 1):
            oldest = self._full.pop(0)
            total -= oldest.size
            with contextlib.suppress(OSError):
                os.unlink(f"{self._prefix}{oldest.number:08x}")
            self._lose(oldest.messages, oldest.message_bytes)

    def _close_segment(self) -> None:
        os.close(self._fd)
        self._fd = -1
        self._full.append(self._segment)
        self._segment = Segment(0, 0, 0, 0, 0)

    def check(self) -> None:
        """Begin a new segment if somebody has removed or changed the present one: from now on nothing is lost."""
        if self._fd < 0:
            return
        try:
            found = os.lstat(f"{self._prefix}{self._segment.number:08x}")
            own = os.fstat(self._fd)
            same = (found.st_dev, found.st_ino, found.st_size) == (own.st_dev, own.st_ino, self._segment.size)
        except OSError:
            same = False
        if not same:
            changed = self._segment
            self._close_segment()
            self._full.pop()
            self._lose(changed.messages, changed.message_bytes)

    def close(self) -> None:
        """Write what was added, and let go of the file. The journal stays."""
        self.flush()
        if self._fd >= 0:
            self._close_segment()


def _note(kind: int, content: dict[str, Any]) -> _Record:
    payload = json.dumps(content, separators=(",", ":")).encode()
    return _Record(kind, time.time(), [payload], _AFTER_LENGTH + len(payload), 0)


def _encode(record: _Record, seq: int, out: list[bytes]) -> None:
    kind, at, parts, length, _ = record
    if kind != MESSAGE:
        out += (_HEAD.pack(length, kind, seq, at), parts[0])
        return
    header = parts[0]
    out += (_MESSAGE_HEAD.pack(length, kind, seq, at, len(parts), len(header)), header)
    for part in parts[1:]:
        out += (_LENGTH.pack(len(part)), part)
