"""Units of work: all or nothing, one writer at a time, and an honest word when the database does not answer."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from hub.domain.users import Role
from hub.errors import Conflict, NoSpace, StoreUnavailable
from hub.store import engine
from hub.store.engine import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def names(store: Store) -> list[str]:
    async with store.reading() as unit:
        return [user.name for user in await unit.users.list()]


async def test_a_unit_that_ends_normally_is_committed_as_a_whole(store: Store) -> None:
    async with store.unit() as unit:
        await unit.users.add("alice", Role.USER, NOW)
        await unit.users.add("bob", Role.USER, NOW)
    assert await names(store) == ["alice", "bob"]


async def test_a_unit_that_raises_leaves_nothing_behind(store: Store) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        async with store.unit() as unit:
            await unit.users.add("bob", Role.USER, NOW)
            raise RuntimeError("on purpose")
    assert await names(store) == []


async def test_a_unit_that_is_cancelled_leaves_nothing_behind_and_frees_its_place(store: Store) -> None:
    inside = asyncio.Event()

    async def write_and_hang() -> None:
        async with store.unit() as unit:
            await unit.users.add("bob", Role.USER, NOW)
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write_and_hang())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.unit() as unit:
        await unit.users.add("alice", Role.USER, NOW)
    assert await names(store) == ["alice"]


async def test_an_error_ends_the_unit_even_when_it_is_caught_inside(store: Store) -> None:
    async with store.unit() as unit:
        await unit.users.add("bob", Role.USER, NOW)
    with pytest.raises(Conflict):
        async with store.unit() as unit:
            await unit.users.add("alice", Role.USER, NOW)
            with pytest.raises(Conflict):
                await unit.users.add("bob", Role.USER, NOW)
    assert await names(store) == ["bob"]


async def test_after_an_error_nothing_more_can_be_done_in_the_unit(store: Store) -> None:
    async with store.unit() as unit:
        await unit.users.add("bob", Role.USER, NOW)
    with pytest.raises(Conflict):
        async with store.unit() as unit:
            with pytest.raises(Conflict):
                await unit.users.add("bob", Role.USER, NOW)
            with pytest.raises(Conflict):
                await unit.users.count()


async def test_a_unit_inside_a_unit_is_refused_at_once_instead_of_waiting_for_itself(store: Store) -> None:
    async with store.unit():
        with pytest.raises(RuntimeError, match="do not nest"):
            async with store.unit():
                pass
        with pytest.raises(RuntimeError, match="do not nest"):
            async with store.reading():
                pass
    async with store.unit():
        pass


async def test_fifty_units_that_write_at_once_all_succeed(store: Store) -> None:
    async def add(number: int) -> None:
        async with store.unit() as unit:
            assert await unit.users.find_by_name(f"user{number}") is None
            await unit.users.add(f"user{number}", Role.USER, NOW)

    await asyncio.gather(*(add(number) for number in range(50)))
    assert len(await names(store)) == 50


async def test_what_a_unit_found_is_what_it_changes(store: Store) -> None:
    """Ten that find, decide and save at once: no change is lost (several hubs on PostgreSQL do just this)."""
    async with store.unit() as unit:
        bob = await unit.users.add("bob0", Role.USER, NOW)

    async def rename() -> None:
        async with store.unit() as unit:
            found = await unit.users.find(bob.id)
            assert found is not None
            await asyncio.sleep(0)
            await unit.users.save(replace(found, name=f"bob{int(found.name[3:]) + 1}"))

    await asyncio.gather(*(rename() for _ in range(10)))
    assert await names(store) == ["bob10"]


async def test_a_reader_does_not_wait_for_a_writer_and_does_not_see_what_is_not_committed(store: Store) -> None:
    async with store.unit() as unit:
        await unit.users.add("bob", Role.USER, NOW)
        seen = await asyncio.wait_for(asyncio.create_task(names(store)), 10)
    assert seen == []
    assert await names(store) == ["bob"]


async def test_a_reader_sees_one_moment(store: Store) -> None:
    async def add(name: str) -> None:
        async with store.unit() as unit:
            await unit.users.add(name, Role.USER, NOW)

    await add("alice")
    async with store.reading() as unit:
        assert await unit.users.count() == 1
        await asyncio.create_task(add("bob"))
        assert await unit.users.count() == 1
    assert await names(store) == ["alice", "bob"]


async def test_nothing_can_be_written_in_a_reading_unit(store: Store) -> None:
    with pytest.raises(RuntimeError, match="only reads"):
        async with store.reading() as unit:
            await unit.users.add("bob", Role.USER, NOW)
    async with store._reader.connect() as connection:
        with pytest.raises(DBAPIError, match=r"read-?only"):
            await connection.execute(text("DELETE FROM users"))
    assert await names(store) == []


async def test_the_database_answers_a_ping(store: Store) -> None:
    await store.ping()


async def test_a_store_that_was_closed_is_closed_twice_without_harm(store: Store) -> None:
    await store.ping()
    await store.close()
    await store.close()


async def test_a_sqlite_file_in_a_folder_that_does_not_exist_is_an_unavailable_store(tmp_path: Path) -> None:
    store = Store(f"sqlite+aiosqlite:///{tmp_path / 'nowhere' / 'kernelhub.db'}")
    with pytest.raises(StoreUnavailable):
        await store.ping()
    with pytest.raises(StoreUnavailable):
        await names(store)
    await store.close()


async def test_only_the_owner_reads_the_files_of_sqlite(tmp_path: Path) -> None:
    store = Store(f"sqlite+aiosqlite:///{tmp_path / 'kernelhub.db'}")
    async with store._writer.begin() as connection:
        await connection.execute(text("CREATE TABLE t (x)"))
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
    await store.close()
    assert modes == {"kernelhub.db": "0o600", "kernelhub.db-wal": "0o600", "kernelhub.db-shm": "0o600"}


def test_sslmode_of_a_postgresql_url_is_said_to_asyncpg_in_its_own_word() -> None:
    url = engine.with_asyncpg_ssl(make_url("postgresql+asyncpg://hub:pw@host/name?sslmode=require&x=1"))
    assert dict(url.query) == {"ssl": "require", "x": "1"}


async def test_commits_on_sqlite_survive_a_power_cut(tmp_path: Path) -> None:
    store = Store(f"sqlite+aiosqlite:///{tmp_path / 'kernelhub.db'}")
    async with store._writer.connect() as connection:
        values = [
            (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    await store.close()
    assert values == ["wal", 2, 1]


LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read(1)
connection.execute("ROLLBACK")
"""


@pytest.fixture
def locker(migrated_copy: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the write lock of the SQLite file until a byte is sent to it."""
    command = [sys.executable, "-c", LOCK, str(migrated_copy)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    yield process
    process.communicate()


@pytest.fixture
def migrated_copy(migrated_sqlite: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "kernelhub.db"
    copy.write_bytes(migrated_sqlite.read_bytes())
    return copy


async def test_a_writer_waits_for_another_process_and_then_writes(
    migrated_copy: Path, locker: subprocess.Popen[bytes]
) -> None:
    store = Store(f"sqlite+aiosqlite:///{migrated_copy}")

    async def add() -> None:
        async with store.unit() as unit:
            await unit.users.add("bob", Role.USER, NOW)

    task = asyncio.create_task(add())
    assert await names(store) == []  # readers do not wait
    assert locker.stdin is not None
    locker.stdin.write(b"\n")
    locker.stdin.flush()
    await asyncio.wait_for(task, 10)
    assert await names(store) == ["bob"]
    await store.close()


async def test_a_file_that_stays_locked_is_an_unavailable_store_and_recovers(
    migrated_copy: Path, locker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    store = Store(f"sqlite+aiosqlite:///{migrated_copy}")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            async with store.unit():
                pass
    locker.communicate(b"\n")
    async with store.unit() as unit:
        await unit.users.add("bob", Role.USER, NOW)
    assert await names(store) == ["bob"]
    await store.close()


USE = """
import asyncio, sys
from datetime import UTC, datetime
from hub.domain.users import Role
from hub.store.engine import Store

async def main():
    store = Store(sys.argv[1])
    async with store.unit() as unit:
        await unit.users.add(sys.argv[2], Role.USER, datetime.now(UTC))
    async with store.reading() as unit:
        print(*[user.name for user in await unit.users.list()])
    await store.close()

asyncio.run(main())
"""


async def test_another_process_that_writes_and_ends_takes_nothing_away_from_the_store(migrated_copy: Path) -> None:
    """As `kernelhub user add` does beside a running hub.

    A process that closes any descriptor of a SQLite file loses its locks on it. The other process would then
    think itself the last, and remove the write-ahead log that this one goes on writing to.
    """
    url = f"sqlite+aiosqlite:///{migrated_copy}"
    store = Store(url)

    async def add(name: str) -> None:
        async with store.unit() as unit:
            await unit.users.add(name, Role.USER, NOW)

    def add_elsewhere(name: str) -> list[str]:
        command = [sys.executable, "-c", USE, url, name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    await add("a")
    await asyncio.gather(*(names(store) for _ in range(8)))  # opens connection after connection
    assert await asyncio.to_thread(add_elsewhere, "b") == ["a", "b"]
    await add("c")
    assert await names(store) == ["a", "b", "c"]
    assert await asyncio.to_thread(add_elsewhere, "d") == ["a", "b", "c", "d"]
    assert await names(store) == ["a", "b", "c", "d"]
    await store.close()
    assert add_elsewhere("e") == ["a", "b", "c", "d", "e"]


async def test_a_queue_of_writers_that_does_not_move_is_an_unavailable_store(
    migrated_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "QUEUE_SECONDS", 0.05)
    store = Store(f"sqlite+aiosqlite:///{migrated_copy}")

    async def write() -> None:
        async with store.unit():
            pass

    async with store.unit():
        with pytest.raises(StoreUnavailable):
            await asyncio.create_task(write())
    await write()
    await store.close()


async def test_a_full_disk_is_said_to_be_full_and_the_old_rows_stay(migrated_copy: Path) -> None:
    store = Store(f"sqlite+aiosqlite:///{migrated_copy}")
    async with store.unit() as unit:
        await unit.users.add("bob", Role.USER, NOW)
        pages = (await unit.users._db._connection.execute(text("PRAGMA page_count"))).scalar_one()
        await unit.users._db._connection.execute(text(f"PRAGMA max_page_count={pages}"))
    with pytest.raises(NoSpace, match="full"):
        async with store.unit() as unit:
            for number in range(2000):
                await unit.users.add(f"user{number}", Role.USER, NOW)
    assert await names(store) == ["bob"]
    await store.close()


def test_a_store_leaves_no_lock_on_the_file_when_it_is_closed(migrated_copy: Path) -> None:
    async def use() -> None:
        store = Store(f"sqlite+aiosqlite:///{migrated_copy}")
        async with store.unit() as unit:
            await unit.users.add("bob", Role.USER, NOW)
        await store.close()

    asyncio.run(use())
    with sqlite3.connect(migrated_copy, timeout=0) as connection:
        connection.execute("DELETE FROM users")
