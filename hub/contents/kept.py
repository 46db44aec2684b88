"""A small JSON value in a file of the hub's own, outside all homes. Blocking; for worker threads."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

Value = TypeVar("Value")
_writing = threading.Lock()


class KeptFile(Generic[Value]):
    """One value of type `shape`; what is not there, or damaged, is `empty`."""

    def __init__(self, file: Path, shape: type[Value], empty: Value) -> None:
        self._file = file
        self._shape = shape
        self._empty = empty

    def read(self) -> Value:
        """The value."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=self._shape)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return self._empty

    def write(self, value: Value) -> None:
        """Replace the value, wholly or not at all. Raises OSError."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._file.with_name(f".{secrets.token_hex(8)}")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as opened:
                opened.write(msgspec.json.encode(value))
                opened.flush()
                os.fsync(fd)
            draft.replace(self._file)
            sync_folder(self._file.parent)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise

    @staticmethod
    def changing() -> threading.Lock:
        """Held while a value is read, changed and written."""
        return _writing


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
