"""The schema's version: bringing a database up to date, and knowing whether it is.

The migrations are in the package `migrations`, run by alembic without a configuration file. One upgrade runs
at a time (SQLite: the write lock; PostgreSQL: an advisory lock), in one transaction: it succeeds as a whole
or changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

import migrations
from hub.store.engine import POSTGRES_SETTINGS, is_sqlite, postgresql_engine, release, sqlite_engine
from hub.store.tables import metadata
from hub.store.transaction import translated
from hub.store.version import SchemaOutdated, Version, newer, require_current

__all__ = ["SchemaOutdated", "Version", "current", "difference", "downgrade", "require_current", "upgrade"]

CONNECTION = "connection"
"""Under this attribute of alembic's configuration, migrations/env.py finds its connection."""

UPGRADE_SECONDS = 600.0
"""Longest time for all migrations together, and for waiting until another process has done them."""

_ADVISORY_LOCK = 0x6B65726E656C6875  # "kernelhu": any number that nobody else uses


async def upgrade(url: str, revision: str = "head") -> Version:
    """Bring the database up to `revision` and give its version.

    Raises StoreUnavailable when it does not answer, SchemaOutdated when a newer hub has been at work on it.
    """
    return await _migrate(url, command.upgrade, revision)


async def downgrade(url: str, revision: str) -> Version:
    """Take the database back to `revision` (``base``: nothing) and give its version."""
    return await _migrate(url, command.downgrade, revision)


async def current(url: str) -> Version:
    """The version of the database. Raises StoreUnavailable when it does not answer.

    A SQLite file that is not there is an empty database, and is not made by being asked about.
    """
    parsed = make_url(url)
    if is_sqlite(parsed) and parsed.database and not await asyncio.to_thread(Path(parsed.database).exists):
        return Version(None, _head())
    async with connected(url) as connection, translated():
        return await connection.run_sync(_version)


async def difference(url: str) -> list[str]:
    """What autogeneration would change to make the database like `hub.store.tables`; empty at head."""
    async with connected(url) as connection:
        return await connection.run_sync(_difference)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction in which migrations may run, alone; it commits on normal exit.

    On SQLite foreign keys are off, because altering a table there is copying it and dropping the old one,
    which would delete the rows that refer to it. They are checked before the commit instead.
    """
    parsed = make_url(url)
    if is_sqlite(parsed):
        engine = sqlite_engine(parsed, begin="BEGIN IMMEDIATE", connections=1, pragmas=("foreign_keys=OFF",))
    else:
        settings = POSTGRES_SETTINGS | {"statement_timeout": "0", "lock_timeout": "30000"}
        engine = postgresql_engine(parsed, settings, command_seconds=UPGRADE_SECONDS)
    connection = engine.connect()
    try:
        async with translated(seconds=UPGRADE_SECONDS):
            await connection.start()
            await _begin_alone(connection)
        yield connection
        async with translated():
            await _check_references(connection)
            await connection.commit()
    finally:
        await release(connection)
        await engine.dispose()


async def _begin_alone(connection: AsyncConnection) -> None:
    await connection.begin()
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


async def _check_references(connection: AsyncConnection) -> None:
    if connection.dialect.name != "sqlite":
        return
    broken = (await connection.execute(text("PRAGMA foreign_key_check"))).first()
    if broken is not None:
        raise RuntimeError(f"A migration left rows of {broken[0]!r} that refer to nothing; it was undone.")


async def _migrate(url: str, action: Callable[[Config, str], None], revision: str) -> Version:
    async with connected(url) as connection, translated(seconds=UPGRADE_SECONDS):
        return await connection.run_sync(_run, action, revision)


def _run(connection: Connection, action: Callable[[Config, str], None], revision: str) -> Version:
    at = _version(connection).current
    if at is not None and at not in _known_revisions():
        raise SchemaOutdated(newer(at))
    config = _config()
    config.attributes[CONNECTION] = connection
    action(config, revision)
    return _version(connection)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _version(connection: Connection) -> Version:
    return Version(MigrationContext.configure(connection).get_current_revision(), _head())


def _head() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError("The package `migrations` holds no migration; the installation is incomplete.")
    return head


def _known_revisions() -> frozenset[str]:
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _difference(connection: Connection) -> list[str]:
    options = {"compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return [repr(change) for change in compare_metadata(context, metadata)]
