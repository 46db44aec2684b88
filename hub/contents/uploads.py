"""Uploads in chunks: 1, 2, … and at last -1. The file appears when it is complete, not before.

The state of an upload is the draft in the file's folder, and its name says how many chunks it holds and how many
bytes these have. So several uploads go on side by side, any hub process can take the next chunk, and a chunk that is
repeated or out of order finds no draft and is refused instead of spoiling the file. A hub that dies in the midst of a
chunk leaves bytes that the name does not count: they are cut off before the next chunk; and a draft that has fewer than
its name says (the machine lost power) is refused. What is never finished is removed after a day.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from hub.contents.beneath import Folder, Home, Place
from hub.contents.drafts import NEW_FILE_MODE, PREFIX, Draft, writable_mode
from hub.contents.leftovers import remove_stale
from hub.contents.listing import model_of
from hub.contents.models import Saved
from hub.contents.paths import ApiPath
from hub.contents.stats import time_of
from hub.crash_points import Point, reached
from hub.errors import BadRequest, Conflict

LAST = -1
_COUNT = re.compile(r"-(\d{1,9})-(\d{1,18})\Z", re.ASCII)
BUSY = timedelta(seconds=10)  # two uploads to one path would mix: the protocol names only the path


def add_chunk(home: Home, path: ApiPath, chunk: int, pieces: Iterable[bytes], now: datetime) -> Saved:
    """Take one chunk of the upload to `path`. The model given is of the file, or of what is there so far.

    Chunk 1 begins anew, also when an older upload to the same path was broken off. Raises Conflict for a chunk
    whose predecessor is missing, BadRequest for a number below 1 that is not -1.
    """
    if chunk < 1 and chunk != LAST:
        raise BadRequest(f"{path}: chunks are numbered 1, 2, … and the last one -1, not {chunk}.")
    with home.target(path) as place:
        mode = writable_mode(place)
        if chunk == 1:
            _begin(place, path, now)
        name, size = _before(place, path, chunk)
        fd = place.folder.open_file(name, os.O_WRONLY | os.O_APPEND)
        draft = Draft(place.folder, name, fd)
        try:
            _cut_to(fd, size, path, chunk)
            for piece in pieces:
                draft.write(piece)
            reached(Point.CHUNK_WRITTEN)
            if chunk == LAST:
                os.fchmod(draft.fd, NEW_FILE_MODE if mode is None else mode & 0o777)
                found = draft.publish(place.name, replace=True)
            else:
                os.fdatasync(fd)  # the name that comes next says that these bytes are there
                found = os.fstat(fd)
                _rename(place.folder, name, _name(place, chunk, found.st_size))
                reached(Point.CHUNK_COUNTED)
        except OSError:
            # The disk is full, most likely: what this upload took is given back at once.
            place.folder.remove_file(name)
            raise
        finally:
            os.close(draft.fd)
    return Saved(model_of(home, path, found, "file"), created=mode is None)


def _begin(place: Place, path: ApiPath, now: datetime) -> None:
    """Make the empty draft, without what older uploads to this place left."""
    remove_stale(place.folder, now)
    for name in _drafts(place):
        found = place.folder.find(name)
        if found is not None and now - time_of(found.st_mtime) < BUSY:
            raise Conflict(f"{path} is being uploaded already; try again in {BUSY.seconds} seconds.")
        place.folder.remove_file(name)
    os.close(place.folder.open_file(_name(place, 0, 0), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _before(place: Place, path: ApiPath, chunk: int) -> tuple[str, int]:
    """The draft that `chunk` is the next chunk of, and how many bytes it counts. Raises Conflict."""
    counted = [(name, found) for name in _drafts(place) if (found := _COUNT.search(name))]
    fitting = counted if chunk == LAST else [each for each in counted if int(each[1][1]) == chunk - 1]
    if len(fitting) != 1:
        raise _interrupted(path, chunk)
    name, found = fitting[0]
    return name, int(found[2])


def _cut_to(fd: int, size: int, path: ApiPath, chunk: int) -> None:
    """Leave the draft with the bytes that its name counts. Raises Conflict when it has fewer."""
    there = os.fstat(fd).st_size
    if there < size:
        raise _interrupted(path, chunk)
    if there > size:
        os.ftruncate(fd, size)


def _interrupted(path: ApiPath, chunk: int) -> Conflict:
    return Conflict(f"The upload of {path} was interrupted (chunk {chunk} does not follow); start it again.")


def _drafts(place: Place) -> list[str]:
    return [name for name in place.folder.names() if name.startswith(_prefix(place))]


def _name(place: Place, number: int, size: int) -> str:
    return f"{_prefix(place)}{number}-{size}"


def _prefix(place: Place) -> str:
    return f"{PREFIX}upload-{hashlib.sha256(place.name.encode()).hexdigest()[:24]}-"


def _rename(folder: Folder, old: str, new: str) -> None:
    os.rename(old.encode(), new.encode(), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
