"""At which version a database is, and which one this hub needs: all that a hub asks when it starts.

It reads one row, and the migrations' names from their files; what makes and changes tables (`hub.store.schema`) would
be a tenth of what a hub loads before it answers.
"""

from __future__ import annotations

import asyncio
import functools
import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, inspect, make_url, text

import migrations
from hub.errors import StoreUnavailable
from hub.store.engine import POSTGRES_SETTINGS, is_sqlite, postgresql_engine, release, sqlite_engine
from hub.store.transaction import translated

TABLE = "alembic_version"
_REVISION = re.compile(r'^(revision|down_revision)\s*(?::[^=]*)?=\s*"([^"]+)"', re.MULTILINE)


class SchemaOutdated(StoreUnavailable):
    """The database is not at the version that this hub was written for."""

    code = "store.outdated"


@dataclass(frozen=True, slots=True)
class Version:
    """Which migration a database is at (None: it is empty) and which is the last one known to this hub."""

    current: str | None
    head: str

    @property
    def is_head(self) -> bool:
        """Whether there is nothing to do."""
        return self.current == self.head


@functools.cache
def known_revisions() -> dict[str, str | None]:
    """The migrations that this hub has, each with the one before it."""
    found: dict[str, str | None] = {}
    for file in sorted((Path(migrations.__file__).parent / "versions").glob("*.py")):
        named = dict(_REVISION.findall(file.read_text()))
        if "revision" in named:
            found[named["revision"]] = named.get("down_revision")
    return found


def head() -> str:
    """The last migration. Raises RuntimeError where there is not exactly one."""
    known = known_revisions()
    last = known.keys() - set(known.values())
    if len(last) != 1:
        raise RuntimeError("The package `migrations` does not end in one migration; the installation is damaged.")
    return last.pop()


async def require_current(url: str) -> None:
    """Return if the database is up to date, else raise SchemaOutdated, which says what to do. Raises StoreUnavailable.

    A SQLite file that is not there is an empty database, and is not made by being asked about.
    """
    version = Version(await _current(url), head())
    if version.is_head:
        return
    if version.current is not None and version.current not in known_revisions():
        raise SchemaOutdated(newer(version.current))
    raise SchemaOutdated(
        f"The database is at version {version.current or 'none'}, this hub needs {version.head}. "
        "Run `kernelhub db upgrade`."
    )


def newer(revision: str) -> str:
    """The sentence for a database on which a newer hub has been at work."""
    return f"The database is at version {revision}, which this hub does not know. Install a newer kernelhub."


async def _current(url: str) -> str | None:
    parsed = make_url(url)
    if is_sqlite(parsed):
        if parsed.database and not await asyncio.to_thread(Path(parsed.database).exists):
            return None
        engine = sqlite_engine(parsed, begin="BEGIN", connections=1)
    else:
        engine = postgresql_engine(parsed, POSTGRES_SETTINGS)
    connection = engine.connect()
    try:
        async with translated():
            await connection.start()
            return await connection.run_sync(_read)
    finally:
        await release(connection)
        await engine.dispose()


def _read(connection: Connection) -> str | None:
    if not inspect(connection).has_table(TABLE):
        return None
    row = connection.execute(text(f"SELECT version_num FROM {TABLE}")).first()  # noqa: S608 - a constant
    return None if row is None else str(row[0])
