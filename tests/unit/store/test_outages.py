"""What happens when PostgreSQL goes away, hangs or is held up: a clear error in time, and recovery by itself."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from hub.domain.users import Role
from hub.errors import StoreUnavailable
from hub.store import engine, transaction
from hub.store.engine import Store
from tests.conftest import PostgresServer

NOW = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.postgres


@pytest.fixture
def database_name(postgres_server: PostgresServer, migrated_postgresql: str) -> Iterator[str]:
    name = postgres_server.create(template=migrated_postgresql)
    yield name
    postgres_server.drop(name)


@pytest.fixture
async def postgres_store(postgres_server: PostgresServer, database_name: str) -> AsyncIterator[Store]:
    store = Store(postgres_server.url(database_name))
    yield store
    await store.close()


async def count(store: Store) -> int:
    async with store.reading() as unit:
        return await unit.users.count()


async def test_a_server_that_is_not_there_is_an_unavailable_store(data_dir: Path) -> None:
    store = Store(f"postgresql+asyncpg://hub@/x?host={data_dir}")
    with pytest.raises(StoreUnavailable):
        await store.ping()
    with pytest.raises(StoreUnavailable):
        async with store.unit():
            pass
    await store.close()


async def test_connections_that_were_cut_while_idle_are_replaced_unnoticed(
    postgres_store: Store, postgres_server: PostgresServer, database_name: str
) -> None:
    assert await count(postgres_store) == 0
    cut(postgres_server, database_name)
    assert await count(postgres_store) == 0


async def test_a_connection_that_is_cut_within_a_unit_ends_that_unit_only(
    postgres_store: Store, postgres_server: PostgresServer, database_name: str
) -> None:
    with pytest.raises(StoreUnavailable):
        async with postgres_store.unit() as unit:
            await unit.users.add("bob", Role.USER, NOW)
            cut(postgres_server, database_name)
            await unit.users.add("alice", Role.USER, NOW)
    async with postgres_store.unit() as unit:
        await unit.users.add("bob", Role.USER, NOW)
    assert await count(postgres_store) == 1


def cut(postgres_server: PostgresServer, database_name: str) -> None:
    postgres_server.sql(
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database_name}'"
    )


async def test_a_row_that_another_hub_holds_for_long_is_waited_for_and_given_up(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with postgres_store.unit() as unit:
        bob = await unit.users.add("bob", Role.USER, NOW)
    monkeypatch.setitem(engine.POSTGRES_SETTINGS, "lock_timeout", "100")
    other = Store(postgres_store._writer.url.render_as_string(hide_password=False))

    async def find() -> None:
        async with other.unit() as unit:
            await unit.users.find(bob.id)

    async with postgres_store.unit() as unit:
        await unit.users.find(bob.id)
        with pytest.raises(StoreUnavailable):
            await asyncio.create_task(find())
    await find()
    await other.close()


async def test_a_server_that_hangs_is_given_up_in_time_and_found_again(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "STATEMENT_SECONDS", 0.3)
    async with postgres_store._writer.connect() as connection:
        backend = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    os.kill(backend, signal.SIGSTOP)
    try:
        async with asyncio.timeout(10):
            with pytest.raises(StoreUnavailable):
                await count(postgres_store)
    finally:
        os.kill(backend, signal.SIGCONT)
    assert await count(postgres_store) == 0


async def test_the_loop_goes_on_while_the_database_hangs(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with postgres_store.unit() as unit:
        task = asyncio.create_task(asyncio.sleep(0.05))
        await unit.users._db.execute(text("SELECT pg_sleep(0.3)"))
        assert task.done()
