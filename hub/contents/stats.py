"""What a stat result says, in the terms of the Contents API. Pure."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(seconds: float) -> datetime:
    """A file's time. Files can carry any number; what is no date becomes the epoch."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return _EPOCH


def may_write(found: os.stat_result, uid: int, gid: int) -> bool:
    """Whether the mode bits let `uid`, whose only group is `gid`, write. Access control lists are not seen."""
    if found.st_uid == uid:
        return bool(found.st_mode & stat.S_IWUSR)
    if found.st_gid == gid:
        return bool(found.st_mode & stat.S_IWGRP)
    return bool(found.st_mode & stat.S_IWOTH)
