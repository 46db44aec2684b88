"""The store: connections to the database and units of work.

Two kinds of unit, with the same meaning on both databases:

- ``store.unit()`` may write. Rows that are found in it stay as they were found until it ends.
- ``store.reading()`` only reads, sees the database at one moment, and waits for nobody.

**SQLite** has one writer at a time. Writing units share a pool of exactly one connection, so that writers of
this process queue in order in asyncio instead of polling the file's lock and giving up with "database is
locked"; they begin with BEGIN IMMEDIATE, because a transaction that begins by reading and then writes fails
at once when another process (``kernelhub user add``) wrote in between, whatever the busy timeout. Readers
have connections of their own and, in WAL mode, neither wait for the writer nor hold it up.

``synchronous=FULL`` and not NORMAL: in WAL mode NORMAL keeps the file sound after a power cut but may forget
the last commits, and a hub must not bring back a sign-in that somebody ended, an invitation that was used or
a number that was given to a user. It costs one fsync for each unit that changed something; units are few,
because states of kernels are written in bulk.

**PostgreSQL** runs with READ COMMITTED and row locks: what a writing unit finds by its key it locks
(FOR NO KEY UPDATE), so that two hubs that find, decide and save do so one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from hub.crash_points import Point, reached
from hub.store.transaction import Transaction, translated
from hub.store.unit import Unit

QUEUE_SECONDS = 10.0
"""Longest wait for a free connection, or in SQLite for the writer's turn."""

READERS = 4
"""SQLite: connections that only read; each has a thread."""

PING_SECONDS = 3.0
"""Longest time for the database to answer a health check."""

BUSY_SECONDS = 5.0
"""SQLite: longest wait for another process that writes."""

WAL_PAUSE_SECONDS = 0.02

POSTGRES_SETTINGS = {
    "application_name": "kernelhub",
    "statement_timeout": "10000",
    "lock_timeout": "5000",
    "idle_in_transaction_session_timeout": "30000",
}


class Store:
    """The database at `url` (SQLAlchemy's async form, from `Settings.sqlalchemy_url`).

    Nothing is opened until the first unit. Whoever makes a store closes it with `close`.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._writer, self._reader = _sqlite(parsed) if is_sqlite(parsed) else _postgresql(parsed)
        self._tasks_with_unit: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """A unit of work that may write: commits on normal exit, rolls back on an error or a cancellation.

        An error of a statement ends the unit even if it is caught inside: the exit raises it again. Keep
        units short and await nothing foreign in them: on SQLite everybody else's writes wait meanwhile.
        Raises StoreUnavailable when the database does not answer, and RuntimeError when the task has a unit
        open already, because it would wait for itself.
        """
        async with self._transaction(self._writer, writes=True) as transaction:
            unit = Unit(transaction)
            yield unit
            await unit.audit.flush()
            reached(Point.COMMIT_BEFORE)
            await transaction.commit()
            reached(Point.COMMIT_AFTER)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Unit]:
        """A unit that only reads, at one moment of the database; it neither waits for writers nor for locks.

        Writing in it raises RuntimeError. Otherwise like `unit`.
        """
        async with self._transaction(self._reader, writes=False) as transaction:
            yield Unit(transaction)

    async def ping(self) -> None:
        """Return if the database answers within `PING_SECONDS`, else raise StoreUnavailable."""
        async with translated(seconds=PING_SECONDS), self._reader.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections. Units that are still open fail."""
        await self._reader.dispose()
        await self._writer.dispose()

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine, *, writes: bool) -> AsyncIterator[Transaction]:
        task = asyncio.current_task()
        if task is None or task in self._tasks_with_unit:
            raise RuntimeError("This task has a unit of work open already; units do not nest.")
        self._tasks_with_unit.add(task)
        connection = engine.connect()
        try:
            async with translated():
                await connection.start()
                await connection.begin()
            yield Transaction(connection, writes=writes)
        finally:
            self._tasks_with_unit.discard(task)
            await release(connection)


async def release(connection: AsyncConnection) -> None:
    """Roll back what was not committed and give the connection back, even while the task is cancelled.

    Does nothing for a connection that was never made.
    """
    if connection.sync_connection is not None:
        async with translated():
            await asyncio.shield(connection.close())


def is_sqlite(url: URL) -> bool:
    """Whether the URL is that of a SQLite file."""
    return url.get_backend_name() == "sqlite"


def _sqlite(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    writer = sqlite_engine(url, begin="BEGIN IMMEDIATE", connections=1)
    reader = sqlite_engine(url, begin="BEGIN", connections=READERS, pragmas=("query_only=ON",))
    return writer, reader


def sqlite_engine(
    url: URL, *, begin: str, connections: int, pragmas: tuple[str, ...] = ("foreign_keys=ON",)
) -> AsyncEngine:
    """An engine whose transactions begin with `begin`; `pragmas` are set besides those common to all."""
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=QUEUE_SECONDS,
        connect_args={"timeout": BUSY_SECONDS},
    )
    settings = ("synchronous=FULL", *pragmas)

    @event.listens_for(engine.sync_engine, "do_connect")
    def _create_private(_dialect: object, _record: object, _arguments: object, _options: object) -> None:
        create_private(Path(url.database or ""))

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # sqlite3 must not begin transactions by itself; `_begin` does
        cursor = connection.cursor()
        _use_wal(cursor)
        for setting in settings:
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _use_wal(cursor: Any) -> None:
    """Turn on the write-ahead log. Of several that open a new file at once SQLite refuses some without waiting."""
    until = time.monotonic() + BUSY_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(sqlite3.OperationalError):
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        time.sleep(WAL_PAUSE_SECONDS)  # once in the life of a file, for as long as the other's change takes
    cursor.execute("PRAGMA journal_mode=WAL")


def create_private(file: Path) -> None:
    """Make the file, readable by its owner only, if there is none; SQLite would let everybody read it.

    SQLite gives the two files beside it the same permissions. Raises OSError when the file cannot be made,
    which is better said here: aiosqlite has started a thread by the time that SQLite says so, and does not
    wait for its end.

    A database that exists must not be opened and closed here: closing any descriptor of a file drops all POSIX
    locks that this process holds on it, those of other connections included (sqlite.org/howtocorrupt.html,
    2.2), and another process would then remove the write-ahead log under them. Hence O_EXCL.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _postgresql(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    writer = postgresql_engine(url, POSTGRES_SETTINGS)
    reader = writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return writer, reader


def postgresql_engine(url: URL, settings: dict[str, str], command_seconds: float = 12.0) -> AsyncEngine:
    """An engine whose sessions have these settings. `pool_pre_ping`: a restarted server heals at once."""
    return create_async_engine(
        with_asyncpg_ssl(url),
        pool_size=10,
        max_overflow=10,
        pool_timeout=QUEUE_SECONDS,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={"timeout": 5, "command_timeout": command_seconds, "server_settings": settings},
    )


def with_asyncpg_ssl(url: URL) -> URL:
    """The URL with libpq's ``sslmode``, which everybody writes, under asyncpg's name for it, ``ssl``."""
    if "sslmode" not in url.query:
        return url
    return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": url.query["sslmode"]})
