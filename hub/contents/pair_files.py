"""The files of a pair on the disk: read, guarded against lost changes, written all or none. Blocking; for threads."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from hub.contents.beneath import Home, Owner
from hub.contents.drafts import NEW_FILE_MODE, Draft, Whole, draft_in, pieces_of, writable_mode
from hub.contents.large import LARGE_BYTES, Data, Scratch
from hub.contents.large import digest_of as digest_of_data
from hub.contents.large import pieces_of as pieces_of_data
from hub.contents.models import Limits
from hub.contents.pair_records import PairRecord
from hub.contents.paths import ApiPath, parse_path
from hub.contents.refusals import refusing
from hub.contents.stats import time_of
from hub.crash_points import Point, reached
from hub.errors import Conflict, TooLarge
from hub.notebook_files.pairs import Pair


@dataclass(frozen=True, slots=True)
class Side:
    """A file of a pair as it is now."""

    data: Data
    changed_at: float

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal."""
        return digest_of_data(self.data)


def names_of(pair: Pair) -> tuple[str, ...]:
    """The paths of all files, the notebook's first."""
    return (pair.notebook, *(text.path for text in pair.texts))


def read_sides(owner: Owner, pair: Pair, limits: Limits, scratch: Scratch) -> dict[str, Side]:
    """Those files of the pair that there are."""
    sides: dict[str, Side] = {}
    for name in names_of(pair):
        path = parse_path(name)
        with ExitStack() as stack:
            with owner.at_home(path) as home:
                if home.find(path) is None:
                    continue
                file = stack.enter_context(io.FileIO(home.open_file(path)))
                found = os.fstat(file.fileno())
            with refusing(path):
                data = _read(file.fileno(), found.st_size, limits.document_bytes, scratch)
        if data is None:
            raise TooLarge(f"{name} is too large to be kept in step; download it.")
        sides[name] = Side(data, found.st_mtime)
    return sides


def _read(fd: int, size: int, most: int, scratch: Scratch) -> Data | None:
    """The bytes of an open file; None when there are more than `most`."""
    return b"".join(pieces_of(fd)) if size < LARGE_BYTES else scratch.copy(fd, most)


def refuse_lost_changes(home: Home, path: ApiPath, files: Mapping[str, Data], known: PairRecord | None) -> None:
    """Raise Conflict if a file of the pair, other than the one at `path`, is not what the client's tab knows."""
    for name, data in files.items():
        other = parse_path(name)
        if other == path or home.find(other) is None:
            continue
        digest = digest_of(home, other)
        if digest == digest_of_data(data):
            continue
        if known is None or name not in known.seen:
            raise Conflict(
                f"{path} was not saved: it is to be paired with {name}, which is there already and says something "
                "else. Rename or delete that file, or open the notebook anew."
            )
        if digest != known.seen[name]:
            raise Conflict(
                f"{path} was not saved: {name}, which is paired with it, was changed by somebody else. Open the "
                f"notebook anew to have that change, or rename {name} to save yours."
            )


def write_together(home: Home, files: Mapping[str, Data]) -> dict[str, Whole]:
    """Write all files or none: the drafts are complete on the disk before the first takes its name."""
    with ExitStack() as stack:
        drafts: list[tuple[str, str, Draft, bool]] = []
        for name, data in files.items():
            path = parse_path(name)
            if home.find(path.parent) is None:
                with home.place(path.parent) as place:
                    place.folder.make_folder(place.name)
            place = stack.enter_context(home.target(path))
            mode = writable_mode(place)
            draft = stack.enter_context(draft_in(place.folder, NEW_FILE_MODE if mode is None else mode))
            for piece in pieces_of_data(data):
                draft.write(piece)
            os.fsync(draft.fd)
            drafts.append((name, place.name, draft, mode is None))
        written: dict[str, Whole] = {}
        for name, as_name, draft, is_new in drafts:
            written[name] = Whole(draft.publish(as_name, replace=True), is_new)
            if len(written) < len(drafts):
                reached(Point.PAIR_HALF)
        return written


def digest_of(home: Home, path: ApiPath) -> str:
    """The file's SHA-256 in hexadecimal, read a mebibyte at a time."""
    digest = hashlib.sha256()
    with io.FileIO(home.open_file(path)) as file:
        for piece in pieces_of(file.fileno()):
            digest.update(piece)
    return digest.hexdigest()


def latest(wholes: Mapping[str, Whole]) -> datetime:
    """When the last of the files was written."""
    return max(time_of(whole.stat.st_mtime) for whole in wholes.values())
