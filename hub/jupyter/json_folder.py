"""Small JSON values of one user, a file each: settings, layouts, configuration sections.

They live in the hub's data folder, never in the user's home: the home is hostile ground, and it may be full.
All calls block for a moment on the disk; `hub.jupyter.frontends` runs them in its threads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from hub.contents.kept import sync_folder
from hub.errors import BadRequest, NoSpace, TooLarge

MAX_NAME_BYTES = 200
MAX_FILES = 256
MAX_FILE_BYTES = 1024 * 1024
_SUFFIX = ".json"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Stored:
    """A value with the times that Jupyter's models show, in ISO 8601."""

    name: str
    value: Any
    created: str
    last_modified: str


class JsonFolder:
    """A folder of named JSON values. Names are arbitrary text of up to `MAX_NAME_BYTES`, percent-encoded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Stored | None:
        """The value called `name`, None if there is none or its file is damaged."""
        return self._read(self._file(name), name)

    def all(self) -> list[Stored]:
        """All values, by name."""
        try:
            files = sorted(self._folder.glob(f"*{_SUFFIX}"))
        except OSError:
            return []
        found = (self._read(file, unquote(file.name.removesuffix(_SUFFIX))) for file in files)
        return [stored for stored in found if stored is not None]

    def save(self, name: str, value: Any) -> None:
        """Replace the value called `name`, wholly or not at all.

        Raises BadRequest when there are too many values, TooLarge for one of more than `MAX_FILE_BYTES`,
        NoSpace when the disk is full (the old value stays).
        """
        data = msgspec.json.encode(value)
        if len(data) > MAX_FILE_BYTES:
            raise TooLarge(f"This may have at most {MAX_FILE_BYTES} bytes.")
        file = self._file(name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not file.exists() and sum(1 for _ in self._folder.iterdir()) >= MAX_FILES:
                raise BadRequest(f"There are {MAX_FILES} of these already; delete some first.")
            _replace(file, data)
        except OSError as error:
            if error.errno in _FULL:
                raise NoSpace("The hub's disk is full; this was not saved.") from error
            raise

    def delete(self, name: str) -> bool:
        """Remove the value called `name`; whether there was one."""
        try:
            self._file(name).unlink()
        except FileNotFoundError:
            return False
        return True

    def state(self) -> int:
        """A number that changes when a value is saved or deleted: the folder's time of modification."""
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return 0

    def _file(self, name: str) -> Path:
        encoded = quote(name, safe="")
        if not encoded or len(encoded) > MAX_NAME_BYTES:
            raise BadRequest("This name is empty or too long.")
        return self._folder / (encoded + _SUFFIX)

    def _read(self, file: Path, name: str) -> Stored | None:
        try:
            stat = file.stat()
            value = msgspec.json.decode(file.read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return Stored(name, value, _iso(stat.st_ctime), _iso(stat.st_mtime))


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _replace(file: Path, data: bytes) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, also after a crash."""
    temporary = file.with_name(f".{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as opened:  # noqa: PTH123 - a descriptor, not a path
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.rename(file)
        sync_folder(file.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
