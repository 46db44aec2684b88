"""Secrets that must be read again, sealed at rest: seeds of authenticator apps, providers' tokens, platforms' keys.

Whoever has the database alone, or a backup of it, has none of them. The keys are in ``<data>/secret-keys``, one a line,
the newest first: it seals, all of them open. `kernelhub secrets rotate` adds one, seals everything anew and forgets the
others. Hubs that share a database share this file.

Sealed texts are Fernet tokens (AES-128-CBC with HMAC-SHA256), each bound to its `purpose`, so that one that was moved
to another column opens nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from hub.errors import HubError

FILE_NAME = "secret-keys"


class SecretUnreadable(HubError):
    """A sealed secret cannot be opened: its key is gone, or it was changed or moved."""

    code = "secret.unreadable"


class Secrets:
    """Seals and opens. Make it with `read_or_make_secrets`.

    `data_dir`: where the keys are; they are read again when somebody has changed them, so that a hub that runs follows
    a rotation. None: the keys never change.
    """

    def __init__(self, keys: list[bytes], data_dir: Path | None = None) -> None:
        self._data_dir = data_dir
        self._read_at = _changed_at(data_dir)
        self._take(keys)

    def _take(self, keys: list[bytes]) -> None:
        if not keys:
            raise ValueError("at least one key is needed")
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._newest = Fernet(keys[0])

    def _follow(self) -> None:
        changed_at = _changed_at(self._data_dir)
        if self._data_dir is not None and changed_at not in (0, self._read_at):
            self._take(read_keys(self._data_dir))
            self._read_at = changed_at

    def __repr__(self) -> str:
        return "Secrets(…)"

    def seal(self, purpose: str, text: str) -> str:
        """`text`, to be kept; only `open` with the same `purpose` gives it back."""
        self._follow()
        return self._newest.encrypt(f"{purpose}\n{text}".encode()).decode()

    def open(self, purpose: str, sealed: str) -> str:
        """What was sealed. Raises SecretUnreadable."""
        self._follow()
        try:
            found, _, text = self._fernet.decrypt(sealed.encode()).decode().partition("\n")
        except (InvalidToken, UnicodeError) as error:
            raise SecretUnreadable(
                f"A secret ({purpose}) cannot be opened; is `{FILE_NAME}` in the data folder the one that belongs to "
                "this database?"
            ) from error
        if found != purpose:
            raise SecretUnreadable(f"A secret was kept for something else than {purpose}.")
        return text

    def seal_anew(self, sealed: str) -> str:
        """The same secret, sealed with the newest key. Raises SecretUnreadable."""
        try:
            return self._newest.encrypt(self._fernet.decrypt(sealed.encode())).decode()
        except InvalidToken as error:
            raise SecretUnreadable("A secret cannot be opened with any of the keys; nothing was changed.") from error


def read_or_make_secrets(data_dir: Path) -> Secrets:
    """The keys of this data folder, made if there are none. Several processes may call this at once: one file wins.

    Raises PermissionError when others than the owner may read the file, or when it holds no keys.
    """
    path = data_dir / FILE_NAME
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write(path, [Fernet.generate_key()], new=True)
    return Secrets(read_keys(data_dir), data_dir)


def read_keys(data_dir: Path) -> list[bytes]:
    """All keys, the newest first. Raises PermissionError."""
    path = data_dir / FILE_NAME
    if path.stat().st_mode & 0o077:
        raise PermissionError(
            f"{path} can be read by others: run `chmod 600 {path}`, then `kernelhub secrets rotate`, because somebody "
            "may have read it."
        )
    keys = [line.encode() for line in path.read_text().split()]
    try:
        Secrets(keys)
    except ValueError as error:
        raise PermissionError(f"{path} holds no keys; bring it back from a backup of the data folder.") from error
    return keys


def add_key(data_dir: Path) -> list[bytes]:
    """Make a key that seals from now on, beside those that were there; gives all. Raises PermissionError."""
    keys = [Fernet.generate_key(), *read_keys(data_dir)]
    _write(data_dir / FILE_NAME, keys)
    return keys


def keep_newest_key(data_dir: Path) -> None:
    """Forget all keys but the newest; everything must have been sealed with it."""
    _write(data_dir / FILE_NAME, read_keys(data_dir)[:1])


def _changed_at(data_dir: Path | None) -> int:
    """When the keys were changed last, 0 when there are none (any more)."""
    try:
        return (data_dir / FILE_NAME).stat().st_mtime_ns if data_dir is not None else 0
    except FileNotFoundError:
        return 0


def _write(path: Path, keys: list[bytes], new: bool = False) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"\n".join(keys) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if not new:
        draft.replace(path)
        return
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
