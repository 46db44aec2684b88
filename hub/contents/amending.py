"""A notebook changed by the hub itself, while nobody has it open: only if it is what was read. Blocking; for threads.

The way is that of any save (`drafts`): all or nothing, on the disk before the name is given. What the user chose for
their saves holds here too: a notebook that is kept without outputs gets none.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import ExitStack

from hub.contents import checkpoints, choosing
from hub.contents.beneath import Home, Owner, Place
from hub.contents.desk import Desk
from hub.contents.documents import take
from hub.contents.drafts import draft_in, writable_mode
from hub.contents.large import Data, closing, digest_of, pieces_of
from hub.contents.models import Limits
from hub.contents.pair_files import digest_of as digest_at
from hub.contents.pair_records import PairRecord
from hub.contents.paths import ApiPath, parse_path, refuse_hidden_change
from hub.contents.refusals import refusing
from hub.contents.stats import time_of
from hub.errors import BadRequest, Conflict
from hub.notebook_files import pairs

Change = Callable[[Data], Data | None]
"""Gives a notebook's new bytes, None for no change."""


def amend(owner: Owner, path: ApiPath, change: Change, desk: Desk, limits: Limits) -> bool:
    """Change the notebook at `path`; see `hub.contents.service.Contents.amend`."""
    refuse_hidden_change(path, limits.allow_hidden)
    if pairs.is_text(path.name):
        raise BadRequest(f"{path} is kept as text, which has no place for outputs.")
    if choosing.for_notebook(owner, path, desk.choices.get()).strip == "save":
        raise BadRequest(f"{path} is kept without outputs, as you chose.")
    with ExitStack() as stack:
        with owner.at_home(path) as home:
            file = stack.enter_context(io.FileIO(home.open_file(path)))
            found = os.fstat(file.fileno())
        with refusing(path):
            data = take(file, path, limits.document_bytes, desk.scratch)
    with closing(data):
        digest = digest_of(data)
        record = desk.pairs.find(str(path))
        if record is not None:
            _refuse_changed_pair(owner, path, record, digest)
        changed = change(data)
    if changed is None:
        return False
    with closing(changed):
        written = desk.accept(changed, str(path))
    with closing(written.data):
        desk.note_amended(written, digest)
        with owner.at_home(path) as home:
            _write(home, path, written.data, found)
            checkpoints.ensure(home, path)
        if record is not None:
            now = digest_of(written.data)
            digests = {**record.digests, str(path): now}
            seen = {**record.seen, str(path): now}
            desk.pairs.put(PairRecord(digests, seen, record.formats, record.language_extension))
    return True


def _write(home: Home, path: ApiPath, data: Data, read: os.stat_result) -> None:
    with home.target(path) as place:
        mode = writable_mode(place)
        if mode is None:
            raise Conflict(f"{path} is not there any more.")
        with draft_in(place.folder, mode) as draft:
            for piece in pieces_of(data):
                draft.write(piece)
            os.fsync(draft.fd)
            _refuse_another(place, path, read)  # the last moment before the rename, which takes microseconds
            draft.publish(place.name, replace=True)


def _refuse_another(place: Place, path: ApiPath, read: os.stat_result) -> None:
    now = place.folder.find(place.name)
    if now is None or _identity(now) != _identity(read):
        when = "" if now is None else f" at {time_of(now.st_mtime):%H:%M:%S} UTC"
        raise Conflict(f"{path} was changed by somebody else{when}.")


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _refuse_changed_pair(owner: Owner, path: ApiPath, record: PairRecord, digest: str) -> None:
    """Raise Conflict when the files of a pair are not what they were when they were last the same.

    Opening the notebook brings them together; outputs come with that, or after it.
    """
    with owner.at_home(path) as home:
        for name, known in record.digests.items():
            other = parse_path(name)
            is_same = digest == known if other == path else digest_at(home, other) == known
            if not is_same:
                raise Conflict(f"{name} was changed; open the notebook, so that its files are brought together.")
