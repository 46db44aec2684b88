"""Renaming and deleting. Blocking; for worker threads."""

from __future__ import annotations

import errno
import stat
from datetime import datetime

from hub.contents import checkpoints, trash, trees
from hub.contents.beneath import Folder, Owner, Place
from hub.contents.drafts import rename_without_loss
from hub.contents.listing import model_of
from hub.contents.models import Limits, Model
from hub.contents.paths import ApiPath, refuse_hidden_change
from hub.contents.refusals import refusing
from hub.contents.trash_info import TrashRules
from hub.crash_points import Point, reached
from hub.errors import BadRequest, Conflict, NotFound


def rename(owner: Owner, old: ApiPath, new: ApiPath, limits: Limits) -> Model:
    """Move what is at `old` to `new`; see `hub.contents.service.Contents.rename`."""
    refuse_hidden_change(old, limits.allow_hidden)
    refuse_hidden_change(new, limits.allow_hidden)
    with owner.at_home(old) as home:
        if old != new:
            with home.place(old) as source, refusing(new), home.place(new) as target:
                _move(source, target, old, new)
        return model_of(home, new, home.stat(new))


def delete(owner: Owner, path: ApiPath, limits: Limits, rules: TrashRules | None, now: datetime) -> None:
    """Delete what is at `path`; see `hub.contents.service.Contents.delete`."""
    refuse_hidden_change(path, limits.allow_hidden)
    with owner.at_home(path) as home, home.place(path) as place:
        found = place.folder.find(place.name)
        if found is None:
            raise NotFound(f"No such file or folder: {path}")
        if stat.S_ISDIR(found.st_mode):
            _check_may_go(place, path, limits)
        if rules is not None and trash.put(home, place, path, rules, now):
            return
        if stat.S_ISDIR(found.st_mode):
            trees.remove(place.folder, place.name)
        else:
            place.folder.remove_file(place.name)
            checkpoints.forget(place.folder, place.name)
        place.folder.sync()


def _move(source: Place, target: Place, old: ApiPath, new: ApiPath) -> None:
    found = source.folder.find(source.name)
    if found is None:
        raise NotFound(f"No such file or folder: {old}")
    if old.parts == new.parts[: len(old.parts)]:
        raise BadRequest(f"{old} cannot be moved into itself.")
    try:
        rename_without_loss(source.folder, source.name, target.folder, target.name)
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise Conflict(f"File already exists: {new}") from error
        if error.errno == errno.EXDEV:
            raise BadRequest(f"{old} cannot be moved to {new}: they are on different disks.") from error
        raise
    reached(Point.MOVED)
    if not stat.S_ISDIR(found.st_mode):
        checkpoints.follow(source, target)
    target.folder.sync()
    source.folder.sync()


def _check_may_go(place: Place, path: ApiPath, limits: Limits) -> None:
    """Raise BadRequest for a full folder where only empty ones may be deleted."""
    if limits.delete_full_folders:
        return
    with place.folder.open_folder(place.name) as folder:
        if not _is_empty(folder):
            raise BadRequest(f"Directory {path} not empty")


def _is_empty(folder: Folder) -> bool:
    """Whether there is nothing in it but leftover checkpoints."""
    return all(name == checkpoints.FOLDER for name in folder.names())
