"""Which choice holds for a notebook: what folders' files say, nearest first, then the user. Blocking; for threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from hub.contents.beneath import Folder, Home, Owner, Place
from hub.contents.drafts import pieces_of, write_whole
from hub.contents.kept import KeptFile
from hub.contents.paths import ApiPath, refuse_hidden_change
from hub.errors import BadRequest, HubError
from hub.notebook_files import choices as files
from hub.notebook_files.choices import PAIR_FILE, STRIP_FILE, Choices

MAX_DEPTH = 32


class FolderSays(msgspec.Struct, frozen=True):
    """What one folder's files say, and what is wrong with them (a file that is wrong says nothing)."""

    folder: str
    choices: Choices
    problems: list[str]


class ChoiceFile:
    """What one user chose for all notebooks."""

    def __init__(self, file: Path) -> None:
        self._kept = KeptFile(file, Choices, Choices())

    def get(self) -> Choices:
        """The choice; nothing by default."""
        return self._kept.read()

    def set(self, choices: Choices) -> None:
        """Keep the choice."""
        with self._kept.changing():
            self._kept.write(choices)


def for_notebook(owner: Owner, path: ApiPath, own: Choices) -> Choices:
    """What holds for the notebook at `path`; `own` is what its user chose for all."""
    with owner.at_home(path) as home:
        said = _upwards(home, path.parent)
    return files.nearest([*(one.choices for one in said), own])


def look(owner: Owner, folder: ApiPath) -> list[FolderSays]:
    """What `folder` and those above it say, nearest first. Raises NotFound when there is no such folder."""
    with owner.at_home(folder) as home:
        home.open_folder(folder).close()
        return _upwards(home, folder)


def set_both(owner: Owner, folder: ApiPath, strip: files.Strip | None, pair: str | None) -> None:
    """Write the folder's choices about outputs and pairing; None removes one, so that what is above holds.

    Raises BadRequest when a file says more than this could; nothing of that file is changed then.
    """
    _set(owner, folder, STRIP_FILE, None if strip is None else files.strip_file(strip), files.is_simple_strip_file)
    _set(owner, folder, PAIR_FILE, None if pair is None else files.pair_file(pair), files.is_simple_pair_file)


def _set(owner: Owner, path: ApiPath, name: str, text: str | None, is_simple: Callable[[str], bool]) -> None:
    refuse_hidden_change(path, allow_hidden=False)
    with owner.at_home(path.child(name)) as home, home.open_folder(path) as folder:
        there = _read(folder, name)
        if there == text:
            return
        if there is not None and not is_simple(there):
            raise BadRequest(f"{path.child(name)} says more than this page can; change it by hand.")
        if text is not None:
            write_whole(Place(folder, name), [text.encode()])
        elif there is not None:
            folder.remove_file(name)


def _upwards(home: Home, folder: ApiPath) -> list[FolderSays]:
    said: list[FolderSays] = []
    for _ in range(MAX_DEPTH):
        said.append(_in(home, folder))
        if not folder.parts:
            break
        folder = folder.parent
    return said


def _in(home: Home, path: ApiPath) -> FolderSays:
    found: list[Choices] = []
    problems: list[str] = []
    try:
        with home.open_folder(path) as folder:
            for name, parse in ((STRIP_FILE, files.parse_strip_file), (PAIR_FILE, files.parse_pair_file)):
                try:
                    text = _read(folder, name)
                    if text is not None:
                        found.append(parse(text))
                except BadRequest as error:
                    problems.append(error.message)
    except (OSError, HubError):
        return FolderSays(str(path), Choices(), [])
    return FolderSays(str(path), files.nearest(found), problems)


def _read(folder: Folder, name: str) -> str | None:
    """The text of a small file in the folder; None when there is none. Raises BadRequest."""
    try:
        fd = folder.open_file(name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadRequest(f"{name} cannot be read.") from error
    try:
        if os.fstat(fd).st_size > files.MAX_FILE_BYTES:
            raise BadRequest(f"{name} is larger than {files.MAX_FILE_BYTES} bytes.")
        return b"".join(pieces_of(fd))[: files.MAX_FILE_BYTES].decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"{name} is not UTF-8 text.") from error
    finally:
        os.close(fd)
