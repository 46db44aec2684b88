"""The files of a journal that an earlier agent left in the run folder, so that it can be continued."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import struct
from typing import NamedTuple

from hub.agent import bounds

MAGIC = b"KHJRNL1\n"
LAST_NUMBER = 0xFFFFFFFF
_NUMBER = re.compile(r"[0-9a-f]{8}\Z")
_HEAD = struct.Struct(">IBQd")
_GAP = 3
_MAX_GAP_BYTES = 256


class Segment(NamedTuple):
    """A file of a journal: its number, its first record's, its size, and the messages in it with their sizes' sum."""

    number: int
    first: int
    size: int
    messages: int
    message_bytes: int


class Found(NamedTuple):
    """A journal as it was left. `lost` is messages and bytes. What was left counts its records as messages."""

    segments: tuple[Segment, ...]
    next_number: int
    last: int
    lost: tuple[int, int]


NOTHING_FOUND = Found((), 1, 0, (0, 0))


def find_journal(folder: str, kernel_id: str) -> Found:
    """What there is of the kernel's journal in `folder`. What is no segment only costs its number."""
    prefix = f"journal-{kernel_id}-"
    try:
        names = [name for name in os.listdir(folder) if name.startswith(prefix)]
    except OSError:
        return NOTHING_FOUND
    numbers = sorted(int(name[len(prefix) :], 16) for name in names if _NUMBER.match(name[len(prefix) :]))
    if not numbers:
        return NOTHING_FOUND
    segments = []
    last, lost = 0, (0, 0)
    for number in numbers[-bounds.MAX_JOURNAL_SEGMENTS :]:
        read = _read_segment(f"{folder}/{prefix}{number:08x}", last)
        if read is not None:
            segment, last, lost = read
            segments.append(segment._replace(number=number))
    return Found(tuple(segments), numbers[-1] + 1, last, lost)


def _read_segment(path: str, after: int) -> tuple[Segment, int, tuple[int, int]] | None:
    """A segment, the number of its last record, and what had been lost at its beginning."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(fd, "rb", buffering=0) as file:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode) and file.read(len(MAGIC)) == MAGIC:
                return _walk(fd, status.st_size, after)
    return None


def _walk(fd: int, size: int, after: int) -> tuple[Segment, int, tuple[int, int]] | None:
    offset, first, last, lost = len(MAGIC), 0, after, (0, 0)
    while len(head := os.pread(fd, _HEAD.size, offset)) == _HEAD.size:
        length, kind, seq, _ = _HEAD.unpack(head)
        if (seq != last + 1 and (first or seq <= after)) or length < _HEAD.size - 4 or offset + 4 + length > size:
            break
        if kind == _GAP and not first:
            lost = _parse_gap(os.pread(fd, min(length, _MAX_GAP_BYTES) - _HEAD.size + 4, offset + _HEAD.size))
        first, last = first or seq, seq
        offset += 4 + length
    if not first:
        return None
    return Segment(0, first, size, last + 1 - first, offset), last, lost


def _parse_gap(payload: bytes) -> tuple[int, int]:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        gap = json.loads(payload)
        return int(gap["messages"]), int(gap["bytes"])
    return 0, 0
