"""Reads the journals that agents keep of kernels, from a folder that somebody hostile can write to. Blocking.

A workspace's run folder belongs to its user, who may put anything in a journal's place and change it while it is
read. Nothing here follows a link, waits for a FIFO, maps a file, believes a length, or reads more than
`MAX_JOURNAL_BYTES`; what is malformed ends its segment and is said (`Page.broken`), never raised. OSError is
raised only where this side's machine fails (no descriptors left, a disk's error).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.kit.journal_format import (
    HEAD,
    MAGIC,
    MAX_HEADER_BYTES,
    Head,
    Kind,
    Malformed,
    Record,
    identity_of,
    parse_head,
    parse_message_header,
    parse_payload,
    parse_segment_name,
    segment_name,
)

__all__ = ["Extent", "Journal", "Kind", "Page", "Record", "identity_of", "list_journals", "remove_journals"]

PAGE_BYTES = 8 * 1024 * 1024
MAX_JOURNAL_BYTES = 256 * 1024 * 1024
"""The newest so many bytes of a journal are read; the setting `journal_bytes` may not be larger."""
MAX_SEGMENTS = 64
MAX_ENTRIES = 20_000
"""So many names of a folder are looked at; who has more there has made them himself."""
CHUNK_BYTES = 256 * 1024
RECORD_OVERHEAD_BYTES = 500
"""What one record costs in Python objects beside its bytes: a page of many tiny ones stays small too."""
_HEADER_BYTES = 6 + MAX_HEADER_BYTES
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class Extent:
    """What a journal holds: records `first` to `last` (0 and 0 when none), and what it lost since its birth."""

    first: int = 0
    last: int = 0
    size_bytes: int = 0
    lost_messages: int = 0
    lost_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Records in order. `last` is the number of the last one, or where the reading was to begin when there is none.

    `complete` says that they reach to the journal's end as it is now; otherwise read on after `last`.
    `broken` says that something on the way was malformed, and the rest of its segment left out.
    """

    records: list[Record]
    last: int
    complete: bool
    broken: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in a journal: the record `seq` ends at `offset` of the segment with this `number` and `inode`."""

    number: int
    inode: int
    offset: int
    seq: int
    gap: tuple[int, int] = (0, 0)


class Journal:
    """The journal of one kernel in `folder`, of files that belong to `owner_uid`. A missing one is an empty one.

    It remembers where it read to, so that reading on is cheap. Not for several threads at once. Nothing stays open
    between calls.
    """

    def __init__(self, folder: Path, kernel_id: str, owner_uid: int) -> None:
        self._folder = folder
        self._kernel_id = kernel_id
        self._owner_uid = owner_uid
        self._resume: tuple[int, _Place] | None = None
        self._end: _Place | None = None

    def extent(self) -> Extent:
        """How far the journal reaches now, and how much it has lost."""
        with self._open_segments() as segments:
            size = sum(segment.end for segment in segments)
            first = next((head.seq for segment in segments if (head := segment.first()) is not None), 0)
            end = next((end for segment in reversed(segments) if (end := self._walk_to_end(segment)).seq), None)
        if end is None:
            return Extent(size_bytes=size)
        self._end = end
        return Extent(first, end.seq, size, *end.gap)

    def read(self, after: int, most_bytes: int = PAGE_BYTES) -> Page:
        """The records after number `after`: about `most_bytes` of them, but always one if there is one."""
        records: list[Record] = []
        last, left, broken = after, most_bytes, False
        with self._open_segments() as segments:
            for segment, place in self._segments_after(segments, after):
                walk = _Walk(segment, place)
                for head in walk:
                    if head.seq <= last:
                        continue
                    if records and head.payload_bytes > left:
                        self._resume = (last, walk.before())
                        return Page(records, last, False, broken)
                    try:
                        records.append(parse_payload(head, walk.payload(head)))
                    except Malformed:
                        broken = True
                        break
                    last = head.seq
                    left -= head.payload_bytes + RECORD_OVERHEAD_BYTES
                else:
                    self._resume = (last, walk.place())
                    broken = broken or walk.broken
        return Page(records, last, True, broken)

    def find(self, identity: bytes) -> int | None:
        """The number of the message with this identity, the newest such; None when it is not there (any more)."""
        with self._open_segments() as segments:
            for segment in reversed(segments):
                found = None
                walk = _Walk(segment, None)
                for head in walk:
                    with contextlib.suppress(Malformed):
                        if head.kind == Kind.MESSAGE and identity_of(walk.message_header(head)) == identity:
                            found = head.seq
                if found is not None:
                    return found
        return None

    def remove(self) -> None:
        """Delete the journal, as far as it can be."""
        with _folder(self._folder) as folder:
            for kernel_id, number in _names(folder):
                if kernel_id == self._kernel_id:
                    with contextlib.suppress(OSError):
                        os.unlink(segment_name(kernel_id, number), dir_fd=folder)

    # ---- how

    def _walk_to_end(self, segment: _Segment) -> _Place:
        known = self._end if self._end is not None and segment.holds(self._end) else None
        walk = _Walk(segment, known)
        gap = known.gap if known is not None else (0, 0)
        for head in walk:
            if head.kind == Kind.GAP:
                with contextlib.suppress(Malformed):
                    note = parse_payload(head, walk.payload(head)).note or {}
                    gap = (note["messages"], note["bytes"])
        place = walk.place()
        return _Place(place.number, place.inode, place.offset, place.seq, gap)

    def _segments_after(self, segments: _Segments, after: int) -> list[tuple[_Segment, _Place | None]]:
        """The segments that may hold records after `after`, each with the place to begin at (None: its beginning)."""
        known = self._resume[1] if self._resume is not None and self._resume[0] == after else None
        begin = 0
        for index, segment in enumerate(segments):
            if known is not None and segment.holds(known):
                return [(segment, known), *((later, None) for later in segments[index + 1 :])]
            head = segment.first()
            if head is not None and head.seq <= after + 1:
                begin = index
        return [(segment, None) for segment in segments[begin:]]

    @contextlib.contextmanager
    def _open_segments(self) -> Iterator[_Segments]:
        """The newest segments, oldest first, open while the context lasts."""
        with _folder(self._folder) as folder, contextlib.ExitStack() as stack:
            numbers = sorted(number for kernel_id, number in _names(folder) if kernel_id == self._kernel_id)
            segments: _Segments = []
            left = MAX_JOURNAL_BYTES
            for number in reversed(numbers[-MAX_SEGMENTS:]):
                name = segment_name(self._kernel_id, number)
                segment = _open_segment(folder, name, number, self._owner_uid, left)
                if segment is not None:
                    stack.callback(os.close, segment.fd)
                    segments.append(segment)
                    left -= segment.size
                if left <= 0:
                    break
            segments.reverse()
            if segments:
                segments[-1].newest = True
            yield segments


def list_journals(folder: Path, owner_uid: int) -> list[str]:
    """The ids of the kernels of which there are journals in `folder`."""
    found: set[str] = set()
    with _folder(folder) as opened:
        for kernel_id, number in _names(opened):
            if kernel_id not in found:
                segment = _open_segment(opened, segment_name(kernel_id, number), number, owner_uid, 1)
                if segment is not None:
                    os.close(segment.fd)
                    found.add(kernel_id)
    return sorted(found)


def remove_journals(folder: Path) -> None:
    """Delete all journals of `folder`."""
    with _folder(folder) as opened:
        for kernel_id, number in _names(opened):
            with contextlib.suppress(OSError):
                os.unlink(segment_name(kernel_id, number), dir_fd=opened)


# ---- the file system


@dataclass(slots=True)
class _Segment:
    """An open segment; of its `size` bytes at most `end` are read."""

    fd: int
    number: int
    inode: int
    size: int
    end: int
    newest: bool = False

    def first(self) -> Head | None:
        """The head of its first record, None when there is none."""
        data = os.pread(self.fd, len(MAGIC) + HEAD.size, 0)
        if len(data) < len(MAGIC) + HEAD.size or not data.startswith(MAGIC):
            return None
        with contextlib.suppress(Malformed):
            return parse_head(data, len(MAGIC))
        return None

    def holds(self, place: _Place) -> bool:
        """Whether `place` is one in this segment."""
        return (place.number, place.inode) == (self.number, self.inode) and place.offset <= self.end


_Segments = list[_Segment]


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    """The folder, opened without following a link; -1 when there is none."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        yield -1
        return
    try:
        yield folder
    finally:
        os.close(folder)


def _names(folder: int) -> list[tuple[str, int]]:
    """The kernel ids and numbers of the segments in `folder`, by their names alone."""
    if folder < 0:
        return []
    found = []
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= MAX_ENTRIES:
                break
            if (parsed := parse_segment_name(entry.name)) is not None:
                found.append(parsed)
    return found


def _open_segment(folder: int, name: str, number: int, owner_uid: int, most_bytes: int) -> _Segment | None:
    """Open a segment if it is a regular file of `owner_uid`. The caller closes its descriptor."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != owner_uid:
            os.close(fd)
            return None
    except BaseException:
        os.close(fd)
        raise
    return _Segment(fd, number, found.st_ino, found.st_size, min(found.st_size, most_bytes))


class _Walk:
    """Goes over a segment's records, from its beginning or after a place. Iterate once.

    `broken` is set when a record is malformed, or incomplete in a segment that is not the newest: in the newest,
    it is being written.
    """

    def __init__(self, segment: _Segment, place: _Place | None) -> None:
        self._segment = segment
        self._offset = place.offset if place is not None else len(MAGIC)
        self._seq = place.seq if place is not None else 0
        self._begun = place is not None
        self._payload_at = 0
        self._buffer = b""
        self._buffer_at = 0
        self.broken = False

    def __iter__(self) -> Iterator[Head]:
        """The heads of the records; while one is held, its payload can be had."""
        if not self._begun and self._take(0, len(MAGIC)) != MAGIC:
            self.broken = self._segment.size >= len(MAGIC) or not self._segment.newest
            return
        offset = self._offset
        while True:
            data = self._take(offset, HEAD.size)
            if len(data) < HEAD.size:
                self.broken = bool(data) and not self._segment.newest
                return
            try:
                head = parse_head(data)
            except Malformed:
                self.broken = True
                return
            if self._seq and head.seq != self._seq + 1:
                self.broken = True
                return
            self._payload_at = offset + HEAD.size
            offset = self._payload_at + head.payload_bytes
            if offset > self._segment.end:
                self.broken = not self._segment.newest
                return
            self._offset, self._seq = offset, head.seq
            yield head

    def place(self) -> _Place:
        """The end of the record that was last given."""
        return _Place(self._segment.number, self._segment.inode, self._offset, self._seq)

    def before(self) -> _Place:
        """The beginning of the record that was last given."""
        return _Place(self._segment.number, self._segment.inode, self._payload_at - HEAD.size, self._seq - 1)

    def payload(self, head: Head) -> bytes:
        """The payload of the record that was last given. Raises Malformed when the file has shrunk meanwhile."""
        payload = self._take(self._payload_at, head.payload_bytes)
        if len(payload) < head.payload_bytes:
            raise Malformed("the journal has shrunk")
        return payload

    def message_header(self, head: Head) -> bytes:
        """The header of the message that was last given. Raises Malformed."""
        return parse_message_header(self._take(self._payload_at, min(head.payload_bytes, _HEADER_BYTES)))

    def _take(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on, fewer where the segment ends."""
        begin = offset - self._buffer_at
        if begin < 0 or begin + size > len(self._buffer):
            size = max(0, min(size, self._segment.end - offset))
            wanted = min(max(size, CHUNK_BYTES), self._segment.end - offset)
            self._buffer = _read_all(self._segment.fd, wanted, offset)
            self._buffer_at, begin = offset, 0
        return self._buffer[begin : begin + size]


def _read_all(fd: int, size: int, offset: int) -> bytes:
    """`size` bytes of a file, fewer where it ends."""
    parts = []
    while size > 0 and (part := os.pread(fd, size, offset)):
        parts.append(part)
        size -= len(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
