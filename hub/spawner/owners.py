"""Which number belongs to which user, and so whose uid a container has: written once, never changed.

The hub says both with each start. The first word counts: a hub that somebody has broken into cannot have a container
run with the uid of another user, nor with somebody else's home.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hub.errors import SpawnerRefused

FILE = "users.db"


class Owners:
    """The record, in a file of the spawner's folder. All methods block for a moment. `close` closes it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._database = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        self._file.chmod(0o600)
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute("CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE)")

    def require(self, user_id: str, number: int) -> None:
        """Take the user and the number together, if neither is known. Raises SpawnerRefused when they do not match."""
        self._database.execute("INSERT OR IGNORE INTO users (id, number) VALUES (?, ?)", (user_id, number))
        if self.number_of(user_id) != number:
            raise SpawnerRefused(
                f"the number {number} is not this user's. (A database that was made anew beside an old {self._file} "
                "does this: move that file away then.)"
            )

    def number_of(self, user_id: str) -> int | None:
        """The user's number; None for a user who never had a container."""
        row = self._database.execute("SELECT number FROM users WHERE id = ?", (user_id,)).fetchone()
        return None if row is None else int(row[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()
