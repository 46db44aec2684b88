"""Checkpoints: one copy per file, in the folder ``.ipynb_checkpoints`` beside it, as Jupyter keeps them.

A checkpoints folder that is a link is not used: it could mix up two folders' copies.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hub.contents.beneath import Folder, Home, Owner, Place
from hub.contents.drafts import draft_in, pieces_of, rename_without_loss, write_whole
from hub.contents.models import Checkpoint, Limits
from hub.contents.naming import checkpoint_name
from hub.contents.paths import ApiPath, refuse_hidden, refuse_hidden_change
from hub.contents.stats import time_of
from hub.errors import Forbidden, HubError, NotFound

FOLDER = ".ipynb_checkpoints"
ONLY_ID = "checkpoint"


def find_all(owner: Owner, path: ApiPath, limits: Limits) -> list[Checkpoint]:
    """The file's checkpoint, if there is one."""
    refuse_hidden(path, limits.allow_hidden)
    with owner.at_home(path) as home:
        found = _find(home, path)
    return [] if found is None else [_checkpoint(found)]


def create(owner: Owner, path: ApiPath, limits: Limits) -> Checkpoint:
    """Copy the file to its checkpoint. Raises NotFound when there is no such file."""
    refuse_hidden_change(path, limits.allow_hidden)
    with owner.at_home(path) as home:
        return _checkpoint(_create(home, path))


def ensure(home: Home, path: ApiPath) -> None:
    """Make a checkpoint of a file that has none; a folder that does not allow it is no reason not to save."""
    with suppress(OSError, HubError):
        if _find(home, path) is None:
            _create(home, path)


def restore(owner: Owner, path: ApiPath, checkpoint_id: str, limits: Limits) -> None:
    """Copy the checkpoint over the file, atomically."""
    refuse_hidden_change(path, limits.allow_hidden)
    with owner.at_home(path) as home, existing(home, path, checkpoint_id) as kept:
        fd = kept.folder.open_file(kept.name)
        try:
            with home.target(path) as place:
                write_whole(place, pieces_of(fd))
        finally:
            os.close(fd)


def delete(owner: Owner, path: ApiPath, checkpoint_id: str, limits: Limits) -> None:
    """Remove the checkpoint."""
    refuse_hidden_change(path, limits.allow_hidden)
    with owner.at_home(path) as home, existing(home, path, checkpoint_id) as kept:
        kept.folder.remove_file(kept.name)


def forget(folder: Folder, name: str) -> None:
    """Remove the checkpoint of a file that was deleted, if there is one."""
    with suppress(OSError, HubError), _open(folder) as kept:
        kept.remove_file(checkpoint_name(name))


def follow(old: Place, new: Place) -> None:
    """Move the checkpoint of a file that was renamed. Another's old checkpoint in its way is replaced."""
    old_name, new_name = checkpoint_name(old.name), checkpoint_name(new.name)
    with suppress(OSError, HubError), _open(old.folder) as source:
        if source.find(old_name) is None:
            return
        with _open(new.folder, make=True) as target:
            with suppress(FileNotFoundError):
                target.remove_file(new_name)
            rename_without_loss(source, old_name, target, new_name)
            target.sync()
            source.sync()


@contextmanager
def _open(folder: Folder, make: bool = False) -> Iterator[Folder]:
    """The checkpoints folder in `folder`. Raises FileNotFoundError, or Forbidden when it is not a real folder."""
    found = folder.find(FOLDER)
    if found is not None and not stat.S_ISDIR(found.st_mode):
        raise Forbidden(f"{FOLDER} is not a folder of its own (a link perhaps); remove it to have checkpoints.")
    if found is None and make:
        with suppress(FileExistsError):
            folder.make_folder(FOLDER)
    with folder.open_folder(FOLDER) as opened:
        yield opened


def _find(home: Home, path: ApiPath) -> os.stat_result | None:
    with suppress(OSError, HubError), home.place(path) as place:
        with _open(place.folder) as kept:
            found = kept.find(checkpoint_name(place.name))
        return found if found is not None and stat.S_ISREG(found.st_mode) else None
    return None


@contextmanager
def existing(home: Home, path: ApiPath, checkpoint_id: str) -> Iterator[Place]:
    """The checkpoint, in its open folder. Raises NotFound when there is none."""
    missing = f"Checkpoint does not exist: {path}@{checkpoint_id}"
    if checkpoint_id != ONLY_ID:
        raise NotFound(missing)
    with home.place(path) as place:
        if place.folder.find(FOLDER) is None:
            raise NotFound(missing)
        with _open(place.folder) as kept:
            found = kept.find(checkpoint_name(place.name))
            if found is None or not stat.S_ISREG(found.st_mode):
                raise NotFound(missing)
            yield Place(kept, checkpoint_name(place.name))


def _create(home: Home, path: ApiPath) -> os.stat_result:
    """Copy the file. The checkpoint carries the time of the state that it keeps, not of the copying."""
    fd = home.open_file(path)
    try:
        source = os.fstat(fd)
        mode = stat.S_IMODE(source.st_mode) | stat.S_IWUSR
        with (
            home.place(path) as place,
            _open(place.folder, make=True) as kept,
            draft_in(kept, mode) as draft,
        ):
            for piece in pieces_of(fd):
                draft.write(piece)
            os.utime(draft.fd, ns=(source.st_atime_ns, source.st_mtime_ns))
            return draft.publish(checkpoint_name(place.name), replace=True)
    finally:
        os.close(fd)


def _checkpoint(found: os.stat_result) -> Checkpoint:
    return Checkpoint(ONLY_ID, time_of(found.st_mtime))
