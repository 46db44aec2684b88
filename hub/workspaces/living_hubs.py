"""Which hubs live on this data folder: one as a rule, two for a moment when one takes over from another.

Each holds a lock on a file of its own in ``<data>/hubs`` for as long as it lives; the operating system releases it,
whatever ends the process. The oldest hub puts things in order (`hub.workspaces.reconcile`), the others only look.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from pathlib import Path


class LivingHubs:
    """A hub among those of the data folder. All methods block for a moment. `leave` gives the lock back."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "hubs"
        self._name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        self._lock: int | None = None

    def join(self) -> None:
        """Be among them from now on. Raises OSError."""
        if self._lock is not None:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f".{self._name}"  # locked before it has its name: nobody may take it for one who died
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        draft.rename(self._folder / self._name)
        self._lock = descriptor

    def others(self) -> list[str]:
        """The names of the others that live, the oldest first; what dead ones left is removed. Raises OSError."""
        return sorted(name for name in self._names() if name != self._name and self._lives(name))

    def is_oldest(self, others: list[str]) -> bool:
        """Whether this hub is older than all the others."""
        return self._lock is not None and all(self._name < name for name in others)

    def leave(self) -> None:
        """Be among them no more."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                (self._folder / self._name).unlink()
            os.close(self._lock)
            self._lock = None

    def _names(self) -> list[str]:
        return [file.name for file in self._folder.iterdir()]

    def _lives(self, name: str) -> bool:
        file = self._folder / name
        if name.startswith("."):
            with contextlib.suppress(OSError):
                if time.time() - file.stat().st_mtime > 60:
                    file.unlink()
            return False
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            file.unlink(missing_ok=True)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False
