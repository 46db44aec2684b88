"""Models without content, for one thing or for a whole folder: one stat each, nothing is opened."""

from __future__ import annotations

import mimetypes
import os
import stat
from datetime import datetime
from functools import lru_cache

from hub.contents.beneath import Home
from hub.contents.drafts import PREFIX
from hub.contents.leftovers import remove_stale
from hub.contents.models import ContentType, Model
from hub.contents.paths import ApiPath
from hub.contents.stats import time_of

_UNLISTED_NAMES = frozenset({"__pycache__"})
_UNLISTED_ENDS = (".pyc", ".pyo", "~")


def model_of(home: Home, path: ApiPath, found: os.stat_result, type: ContentType | None = None) -> Model:
    """The model, without content, of what was found at `path`. `type` None means what it is."""
    return _model(home, path.name, str(path), found, type)


def list_folder(home: Home, path: ApiPath, now: datetime, *, show_hidden: bool) -> list[Model]:
    """The models of what is in the folder, in no particular order. Stale drafts met on the way are removed.

    Not listed are hidden names, Python's caches and editors' backups, what is neither file nor folder, links
    that lead nowhere or out of the home, and names that are not UTF-8, for which the API has no spelling.
    """
    prefix = f"{path}/" if path.parts else ""
    models: list[Model] = []
    drafts: list[str] = []
    with home.open_folder(path) as folder, os.scandir(folder.fd) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(PREFIX):
                drafts.append(name)
                continue
            if not _is_listed(name, show_hidden):
                continue
            found = _stat(home, path, entry)
            if found is not None and kind_of(found) is not None:
                models.append(_model(home, name, prefix + name, found, None))
        remove_stale(folder, now, drafts)
    return models


def kind_of(found: os.stat_result) -> ContentType | None:
    """``directory`` or ``file``; None for FIFOs, sockets and devices."""
    if stat.S_ISDIR(found.st_mode):
        return "directory"
    return "file" if stat.S_ISREG(found.st_mode) else None


def _is_listed(name: str, show_hidden: bool) -> bool:
    if (name[0] == "." and not show_hidden) or name.endswith(_UNLISTED_ENDS) or name in _UNLISTED_NAMES:
        return False
    return name.isascii() or _is_text(name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stat(home: Home, path: ApiPath, entry: os.DirEntry[str]) -> os.stat_result | None:
    """What the entry is, or where it leads to if it is a link; None when that cannot be found out."""
    try:
        return home.find(path.child(entry.name)) if entry.is_symlink() else entry.stat(follow_symlinks=False)
    except OSError:
        return None


def _model(home: Home, name: str, path: str, found: os.stat_result, type: ContentType | None) -> Model:
    if stat.S_ISDIR(found.st_mode):
        type = "directory"
    elif type is None:
        type = "notebook" if name.endswith(".ipynb") else "file"
    return Model(
        name=name,
        path=path,
        type=type,
        writable=home.owner.may_write(found),
        created=time_of(found.st_ctime),
        last_modified=time_of(found.st_mtime),
        mimetype=_mimetype(name.rpartition(".")[2]) if type == "file" and "." in name else None,
        size=None if type == "directory" else found.st_size,
    )


@lru_cache(maxsize=1024)
def _mimetype(extension: str) -> str | None:
    return mimetypes.guess_type(f"x.{extension}")[0]
