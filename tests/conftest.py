"""Fixtures for all tests: time, folders, and databases of both kinds.

The PostgreSQL server is a private one: a cluster in a temporary folder, of the programs that Debian's package
`postgresql` installs, listening on a Unix socket there and nowhere else.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hub.store import schema
from hub.store.engine import Store
from hub.store.tables import metadata
from proxy.kit.clock import ManualClock

SERVER_SECONDS = 60.0
"""Longest time for PostgreSQL to make its cluster, and to start."""


def missing(what: str, how: str) -> NoReturn:
    """Say that something a test needs is not there: a failure in CI (``CI=true``), a visible skip elsewhere.

    `how` says what to do about it: ``missing("PostgreSQL", "apt-get install postgresql")``.
    """
    sentence = f"{what} is missing: {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{sentence} (CI=true: nothing may be skipped)", pytrace=False)
    pytest.skip(sentence)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until it is advanced."""
    return ManualClock()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty folder with a short name (socket paths have at most 107 bytes), removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="kh-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class PostgresServer:
    """A private PostgreSQL server; `folder` holds its cluster and its socket."""

    programs: Path
    folder: Path
    user: dict[str, Any] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        """The database's address in SQLAlchemy's async form."""
        return f"postgresql+asyncpg://hub@/{database}?host={self.folder}"

    def create(self, template: str = "template1") -> str:
        """Make a database like `template`; its name."""
        name = f"test_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def drop(self, database: str) -> None:
        """Delete a database, whoever is connected to it."""
        self.sql(f"DROP DATABASE {database} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement as the superuser; what it printed."""
        return self.run("psql", "-X", "-q", "-A", "-t", "-U", "hub", "-d", database, "-c", statement)

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs against this server; what it printed."""
        command = [str(self.programs / program), "-h", str(self.folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SERVER_SECONDS)
        assert done.returncode == 0, f"{program} failed: {done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole session. It ends with the tests, even if those are killed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        missing("PostgreSQL", "run `apt-get install postgresql`")
    folder = Path(tempfile.mkdtemp(prefix="kh-pg-", dir="/tmp"))
    server = PostgresServer(found[-1].parent, folder)
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        server.user = {"user": "postgres", "group": "postgres", "extra_groups": []}
    try:
        process = _start(server)
        yield server
        process.send_signal(signal.SIGQUIT)
        process.wait(SERVER_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(server: PostgresServer) -> subprocess.Popen[bytes]:
    cluster = server.folder / "cluster"
    command: list[str | Path] = [server.programs / "initdb", "-D", cluster, "-U", "hub", "-A", "trust", "-E", "UTF8"]
    command += ["--locale=C.UTF-8", "--no-sync"]
    made = subprocess.run(
        command, **server.user, cwd=server.folder, capture_output=True, text=True, timeout=SERVER_SECONDS
    )
    assert made.returncode == 0, f"initdb failed: {made.stderr}"
    command = ["setpriv", "--pdeathsig", "QUIT", server.programs / "postgres", "-D", cluster]
    command += ["-k", server.folder, "-clisten_addresses=", "-cmax_connections=200", "-cdeadlock_timeout=200ms"]
    # The fast ways are safe here: what a crash would lose, nobody needs.
    command += [f"-c{name}=off" for name in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum")]
    with (server.folder / "log").open("wb") as log:
        process = subprocess.Popen(command, **server.user, cwd=server.folder, stdout=log, stderr=log)
    _wait_until_ready(server, process)
    return process


def _wait_until_ready(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    ready: list[str | Path] = [server.programs / "pg_isready", "-q", "-h", server.folder]
    deadline = time.monotonic() + SERVER_SECONDS
    while subprocess.run(ready, check=False).returncode != 0:
        log = (server.folder / "log").read_text(errors="replace")
        assert process.poll() is None, f"PostgreSQL ended: {log}"
        assert time.monotonic() < deadline, f"PostgreSQL does not answer: {log}"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def migrated_postgresql(postgres_server: PostgresServer) -> str:
    """The name of a database at head, to be copied and never to be used."""
    name = postgres_server.create()
    asyncio.run(schema.upgrade(postgres_server.url(name)))
    return name


@pytest.fixture(scope="session")
def reused_postgresql(postgres_server: PostgresServer, migrated_postgresql: str) -> str:
    """The name of a database at head that is emptied before every test, which is faster than making one."""
    return postgres_server.create(template=migrated_postgresql)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file at head, to be copied and never to be used."""
    file = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    asyncio.run(schema.upgrade(sqlite_url(file)))
    return file


def sqlite_url(file: Path) -> str:
    """The file's address in SQLAlchemy's async form."""
    return f"sqlite+aiosqlite:///{file}"


# As a replica no triggers fire: neither those of foreign keys nor those that refuse to delete.
EMPTY = (
    "SET lock_timeout = '10s'; SET session_replication_role = replica; "
    + "; ".join(f"DELETE FROM {table.name}" for table in metadata.sorted_tables)
    + "; ALTER SEQUENCE user_numbers_number_seq RESTART; ALTER SEQUENCE audit_events_id_seq RESTART"
)

BOTH = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgres),
]


@pytest.fixture(params=BOTH)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables; a test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "kernelhub.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=BOTH)
def own_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Like `database`, for tests that change the tables themselves; slower on PostgreSQL."""
    if request.param == "sqlite":
        yield copied(request, tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create(template=request.getfixturevalue("migrated_postgresql"))
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database at head without rows; a test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return copied(request, tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name: str = request.getfixturevalue("reused_postgresql")
    server.sql(EMPTY, name)
    return server.url(name)


def copied(request: pytest.FixtureRequest, folder: Path) -> str:
    """A copy of the migrated SQLite file."""
    file = folder / "kernelhub.db"
    shutil.copy(request.getfixturevalue("migrated_sqlite"), file)
    return sqlite_url(file)


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """A store on a database without rows; a test that asks for it runs on SQLite and on PostgreSQL."""
    opened = Store(database)
    yield opened
    await opened.close()
