"""The trash: ``~/.local/share/Trash``, laid out as freedesktop.org has it. Blocking; for worker threads.

Deleting is a rename on the user's own disk, so it takes no time and no room, and counts in the user's quota
until the trash is emptied. A file's checkpoint goes along, into the checkpoints folder beside the deleted file.
Everything there is the user's to write, so nothing found is believed: names are single names in an open folder,
links are not followed, and a place to go back to is a path beneath the home or none.
"""

from __future__ import annotations

import errno
import io
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from hub.contents import checkpoints, trees
from hub.contents.beneath import Folder, Home, Owner, Place
from hub.contents.drafts import rename_without_loss, write_all
from hub.contents.naming import restored_names, trash_names
from hub.contents.paths import ApiPath, parse_path
from hub.contents.stats import time_of
from hub.contents.trash_info import MAX_INFO_BYTES, NOT_KNOWN, SUFFIX, TrashInfo, TrashRules, info_text, read_info
from hub.crash_points import Point, reached
from hub.errors import Conflict, HubError, NotFound

TRASH = ApiPath((".local", "share", "Trash"))
_MOST_TRIES = 10_000
_MOST_SHOWN = 2_000
_MOST_COUNTED = 20_000  # entries of deleted folders that are looked at to say how large these are
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class Trashed(msgspec.Struct, frozen=True):
    """One thing in the trash.

    `id` is its name there, `name` the one it had, `folder` the folder it was in (None: not in the home, or not
    known). `size_bytes` is None for folders too large to be counted.
    """

    id: str
    name: str
    folder: str | None
    deleted_at: datetime
    is_folder: bool
    size_bytes: int | None


class TrashList(msgspec.Struct, frozen=True):
    """What is in the trash, the newest first; `more` things are not listed because there are too many."""

    items: list[Trashed]
    more: int


@dataclass(frozen=True, slots=True)
class _Bin:
    """The open folders of a trash."""

    files: Folder
    info: Folder


def put(home: Home, place: Place, path: ApiPath, rules: TrashRules, now: datetime) -> bool:
    """Move what is at `place`, called `path`, into the trash. False: it stays, as no trash can take it.

    That is so when it lies on another disk, is in the trash already or has the trash in it, or when the disk is
    so full that it has no room for one more name. Raises Conflict when the trash is not a usable folder.
    """
    if _touches_trash(path):
        return False
    try:
        with _opened(home, make=True) as trash:
            return _put(trash, place, path, rules, now)
    except OSError as error:
        if error.errno in _NO_ROOM or error.errno == errno.EXDEV:
            return False
        raise


def list_all(owner: Owner, rules: TrashRules) -> TrashList:
    """What is in the trash."""
    with owner.at_home("the trash") as home, _existing(home) as trash:
        names = _names(trash) if trash else []
        budget = trees.Budget(bytes_left=0, entries_left=_MOST_COUNTED)
        items = [_item(trash, name, rules, budget) for name in names[:_MOST_SHOWN]] if trash else []
    shown = [item for item in items if item is not None]
    shown.sort(key=lambda item: item.deleted_at, reverse=True)
    return TrashList(shown, max(0, len(names) - _MOST_SHOWN))


def restore(owner: Owner, item_id: str, rules: TrashRules) -> str:
    """Bring it back to where it was, under another name where that is taken; gives the path.

    Folders that are gone are made again. What has no place in the home comes to its top. Raises NotFound.
    """
    with owner.at_home(item_id) as home, _found(home, item_id) as (trash, found):
        origin = _info(trash, item_id, rules).origin or ApiPath((item_id,))
        with _folder_of(home, origin) as (folder, path):
            name = _bring_back(trash, item_id, folder, origin.name)
            if not stat.S_ISDIR(found.st_mode):
                checkpoints.follow(Place(trash.files, item_id), Place(folder, name))
            folder.sync()
            trash.files.sync()
        _forget_info(trash, item_id)
        return str(path.child(name))


def delete(owner: Owner, item_id: str) -> None:
    """Delete it for good. Raises NotFound."""
    with owner.at_home(item_id) as home, _found(home, item_id) as (trash, found):
        _remove(trash, item_id, found)


def empty(owner: Owner) -> None:
    """Delete everything for good. What cannot be deleted does not keep the rest; the first such error is raised."""
    refused: Exception | None = None
    with owner.at_home("the trash") as home, _existing(home) as trash:
        for name in trash.files.names() if trash else []:
            try:
                if trash and (found := trash.files.find(name)) is not None:
                    _remove(trash, name, found)
            except (OSError, HubError) as error:
                refused = refused or error
        for name in trash.info.names() if trash else []:
            if trash and name.endswith(SUFFIX) and trash.files.find(name.removesuffix(SUFFIX)) is None:
                with suppress(OSError):
                    trash.info.remove_file(name)
        if refused is not None:
            raise refused


def expire(owner: Owner, rules: TrashRules, now: datetime) -> int:
    """Delete what has been in the trash for longer than the rules say; gives how many things went."""
    gone = 0
    with owner.at_home("the trash") as home, _existing(home) as trash:
        for name in _names(trash) if trash else []:
            with suppress(OSError, HubError):
                found = trash.files.find(name) if trash else None
                if trash and found and now - _deleted_at(trash, name, found, rules) > timedelta(days=rules.days):
                    _remove(trash, name, found)
                    gone += 1
    return gone


def without_making_homes(owner: Owner) -> Owner:
    """The same owner, for looking after a home that may not exist: then NotFound is raised."""
    return replace(owner, make_home=None)


def _put(trash: _Bin, place: Place, path: ApiPath, rules: TrashRules, now: datetime) -> bool:
    is_folder = stat.S_ISDIR(os.stat(place.name.encode(), dir_fd=place.folder.fd, follow_symlinks=False).st_mode)
    for name in itertools.islice(trash_names(place.name), _MOST_TRIES):
        if trash.files.find(name) is not None or not _write_info(trash, name, info_text(path, now, rules)):
            continue
        reached(Point.TRASH_NOTED)
        try:
            rename_without_loss(place.folder, place.name, trash.files, name)
        except FileExistsError:
            continue
        except OSError:
            _forget_info(trash, name)
            raise
        reached(Point.TRASH_MOVED)
        if not is_folder:
            checkpoints.follow(place, Place(trash.files, name))
            checkpoints.forget(place.folder, place.name)
        for folder in (trash.info, trash.files, place.folder):  # where it is now before where it was
            folder.sync()
        return True
    raise Conflict(f"There are too many things called {path.name} in your trash; empty it first.")


def _write_info(trash: _Bin, name: str, text: bytes) -> bool:
    """Note where `name` comes from; False when there is such a note already.

    A full disk is no reason not to delete: then there is no note, and the way back leads to the home's top.
    """
    try:
        fd = trash.info.open_file(name + SUFFIX, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in _NO_ROOM:
            return True
        raise
    try:
        write_all(fd, text)
        os.fsync(fd)
    except OSError as error:
        _forget_info(trash, name)
        if error.errno not in _NO_ROOM:
            raise
    finally:
        os.close(fd)
    return True


def _touches_trash(path: ApiPath) -> bool:
    shorter = min(len(path.parts), len(TRASH.parts))
    return path.parts[:shorter] == TRASH.parts[:shorter]


@contextmanager
def _opened(home: Home, *, make: bool) -> Iterator[_Bin]:
    """The trash. Raises NotFound when there is none and none is to be made; Conflict when it cannot be used."""
    files, info = TRASH.child("files"), TRASH.child("info")
    with ExitStack() as stack:
        try:
            if make:
                for path in (*(ApiPath(files.parts[:length]) for length in range(1, 5)), info):
                    _make_folder(home, path)
            opened = [stack.enter_context(home.open_folder(path)) for path in (files, info)]
        except (OSError, HubError) as error:
            is_told_better = not make and isinstance(error, NotFound)
            if is_told_better or (isinstance(error, OSError) and error.errno in _NO_ROOM):
                raise
            raise Conflict(
                f"Your trash cannot be used: ~/{TRASH} must be a folder of your own, in your home. Nothing was deleted."
            ) from error
        yield _Bin(*opened)


def _make_folder(home: Home, path: ApiPath) -> None:
    if home.find(path) is None:
        with suppress(FileExistsError, NotFound), home.place(path) as place:
            place.folder.make_folder(place.name, 0o700)


@contextmanager
def _existing(home: Home) -> Iterator[_Bin | None]:
    """The trash, None when there is none."""
    with ExitStack() as stack:
        try:
            trash = stack.enter_context(_opened(home, make=False))
        except NotFound:
            trash = None
        yield trash


@contextmanager
def _found(home: Home, item_id: str) -> Iterator[tuple[_Bin, os.stat_result]]:
    """The trash and what is in it under this name. Raises NotFound, also for what is no name."""
    missing = NotFound("This is not in your trash (any more).")
    if len(parse_path(item_id).parts) != 1 or "/" in item_id or item_id == checkpoints.FOLDER:
        raise missing
    with _existing(home) as trash:
        found = trash.files.find(item_id) if trash else None
        if trash is None or found is None:
            raise missing
        yield trash, found


def _names(trash: _Bin) -> list[str]:
    """What is in it; a name that is not UTF-8 has no spelling in a page, it goes when the trash is emptied."""
    names = trash.files.names()
    return [name for name in names if name != checkpoints.FOLDER and name.encode(errors="replace").decode() == name]


def _item(trash: _Bin, name: str, rules: TrashRules, budget: trees.Budget) -> Trashed | None:
    with suppress(OSError, HubError):
        found = trash.files.find(name)
        if found is None:
            return None
        info = _info(trash, name, rules)
        is_folder = stat.S_ISDIR(found.st_mode)
        return Trashed(
            id=name,
            name=info.origin.name if info.origin else name,
            folder=str(info.origin.parent) if info.origin else None,
            deleted_at=_deleted_at(trash, name, found, rules),
            is_folder=is_folder,
            size_bytes=trees.size_of(trash.files, name, budget) if is_folder else found.st_size,
        )
    return None


def _info(trash: _Bin, name: str, rules: TrashRules) -> TrashInfo:
    with suppress(OSError, HubError), io.FileIO(trash.info.open_file(name + SUFFIX)) as file:
        return read_info(file.read(MAX_INFO_BYTES) or b"", rules)
    return NOT_KNOWN


def _deleted_at(trash: _Bin, name: str, found: os.stat_result, rules: TrashRules) -> datetime:
    """When it was deleted: as noted, or when its inode was last touched, which the rename did."""
    return _info(trash, name, rules).deleted_at or time_of(found.st_ctime)


@contextmanager
def _folder_of(home: Home, origin: ApiPath) -> Iterator[tuple[Folder, ApiPath]]:
    """The folder that `origin` was in, made again where it is gone; the home where that cannot be."""
    with ExitStack() as stack:
        path = origin.parent
        try:
            for length in range(1, len(path.parts) + 1):
                _make_parent(home, ApiPath(path.parts[:length]))
            folder = stack.enter_context(home.open_folder(path))
        except (OSError, HubError):
            path = ApiPath(())
            folder = stack.enter_context(home.open_folder(path))
        yield folder, path


def _make_parent(home: Home, path: ApiPath) -> None:
    if home.find(path) is None:
        with suppress(FileExistsError), home.place(path) as place:
            place.folder.make_folder(place.name)


def _bring_back(trash: _Bin, item_id: str, folder: Folder, name: str) -> str:
    for free in itertools.islice(restored_names(name), _MOST_TRIES):
        with suppress(FileExistsError):
            rename_without_loss(trash.files, item_id, folder, free)
            return free
    raise Conflict(f"There is something called {name} already.")


def _remove(trash: _Bin, name: str, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        trees.remove(trash.files, name)
    else:
        trash.files.remove_file(name)
        checkpoints.forget(trash.files, name)
    _forget_info(trash, name)


def _forget_info(trash: _Bin, name: str) -> None:
    with suppress(OSError):
        trash.info.remove_file(name + SUFFIX)
