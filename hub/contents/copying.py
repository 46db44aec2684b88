"""New things under free names: untitled files and copies. Blocking; for worker threads."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Callable, Iterator
from datetime import datetime

from hub.contents import checkpoints, pairing, trees
from hub.contents.beneath import Folder, Owner, Place
from hub.contents.desk import Desk
from hub.contents.drafts import write_new
from hub.contents.leftovers import remove_stale
from hub.contents.listing import model_of
from hub.contents.models import Limits, Model
from hub.contents.naming import copy_names, numbered, untitled_names
from hub.contents.paths import ApiPath, refuse_hidden, refuse_hidden_change
from hub.errors import BadRequest, Conflict, NotFound

_MOST_TRIES = 10_000


def new_untitled(
    owner: Owner, folder: ApiPath, type: str, ext: str, desk: Desk, limits: Limits, now: datetime
) -> Model:
    """Make an empty file, notebook or folder; see `hub.contents.service.Contents.new_untitled`."""
    refuse_hidden_change(folder, limits.allow_hidden)
    kind = type or ("notebook" if ext == ".ipynb" else "file")
    if kind not in ("notebook", "file", "directory"):
        raise BadRequest(f"There is no type {kind!r}; it must be file, notebook or directory.")
    text = pairing.new_text(owner, ext) if kind == "notebook" else None
    names = untitled_names(kind, ext) if text is None else numbered(f"Untitled{text.extension}", "")
    data = text.data if text is not None else desk.new() if kind == "notebook" else b""

    def make(place: Place) -> None:
        if kind == "directory":
            place.folder.make_folder(place.name)
        else:
            write_new(place, [data])

    with owner.at_home(folder) as home, home.open_folder(folder) as opened:
        remove_stale(opened, now)
        path = folder.child(_first_free(opened, names, make))
        if kind == "notebook":
            checkpoints.ensure(home, path)
        return model_of(home, path, home.stat(path), "notebook" if text is not None else None)


def copy(owner: Owner, source: ApiPath, target: ApiPath, limits: Limits) -> Model:
    """Copy a file or folder; see `hub.contents.service.Contents.copy`."""
    refuse_hidden(source, limits.allow_hidden)
    refuse_hidden_change(target, limits.allow_hidden)
    with owner.at_home(source) as home, home.target(source) as original:
        found = original.folder.find(original.name)
        if found is None:
            raise NotFound(f"No such file or folder: {source}")
        into = home.find(target)
        folder = target if into is not None and stat.S_ISDIR(into.st_mode) else target.parent
        names = copy_names(source.name) if folder == target else iter([target.name])
        is_folder = stat.S_ISDIR(found.st_mode)
        if is_folder and folder.parts[: len(source.parts)] == source.parts:
            raise BadRequest(f"{source} cannot be copied into itself.")

        def make(place: Place) -> None:
            if is_folder:
                trees.copy(original, place, trees.Budget(limits.copy_bytes))
            else:
                trees.copy_file(original, place)

        with home.open_folder(folder) as opened:
            path = folder.child(_first_free(opened, names, make))
        return model_of(home, path, home.stat(path))


def _first_free(folder: Folder, names: Iterator[str], make: Callable[[Place], None]) -> str:
    """Make the thing under the first name that is free, and say which: two at once never get the same."""
    tried = ""
    for name in itertools.islice(names, _MOST_TRIES):
        tried = name
        if folder.find(name) is not None:
            continue
        try:
            make(Place(folder, name))
        except FileExistsError:
            continue
        return name
    raise Conflict(f"There is something called {tried} already.")
