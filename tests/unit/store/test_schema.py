"""Migrations: up, down and up again on both databases, and nothing left for autogeneration to find."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, text

from hub.domain.users import Role
from hub.errors import StoreUnavailable
from hub.store import schema
from hub.store.engine import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_an_empty_database_has_no_version_and_is_refused_with_the_command_to_run(empty_database: str) -> None:
    version = await schema.current(empty_database)
    assert version.current is None
    assert not version.is_head
    with pytest.raises(schema.SchemaOutdated, match="kernelhub db upgrade"):
        await schema.require_current(empty_database)


async def test_every_migration_goes_up_down_and_up_again(empty_database: str) -> None:
    assert (await schema.upgrade(empty_database)).is_head
    before = await layout(empty_database)
    assert (await schema.downgrade(empty_database, "base")).current is None
    assert (await schema.upgrade(empty_database)).is_head
    assert await layout(empty_database) == before


async def test_nothing_is_left_behind_by_going_down_to_the_base(empty_database: str) -> None:
    await schema.upgrade(empty_database)
    await schema.downgrade(empty_database, "base")
    async with schema.connected(empty_database) as connection:
        left = await connection.run_sync(lambda c: set(c.dialect.get_table_names(c)))
    assert left <= {"alembic_version"}


async def test_each_single_step_can_be_undone_and_done_again(empty_database: str) -> None:
    for _ in range(len(schema._known_revisions())):
        await schema.upgrade(empty_database, "+1")
        await schema.downgrade(empty_database, "-1")
        await schema.upgrade(empty_database, "+1")
    await schema.require_current(empty_database)


async def test_autogeneration_finds_no_difference_between_migrations_and_tables(database: str) -> None:
    assert await schema.difference(database) == []


async def test_autogeneration_would_find_a_difference(own_database: str) -> None:
    async with schema.connected(own_database) as connection:
        await connection.execute(text("DROP INDEX ix_sessions_kernel_id"))
        await connection.execute(text("ALTER TABLE groups ADD COLUMN colour TEXT"))
    found = " ".join(await schema.difference(own_database))
    assert "ix_sessions_kernel_id" in found
    assert "colour" in found


async def test_an_upgrade_of_a_database_at_head_changes_nothing(database: str) -> None:
    before = await layout(database)
    assert (await schema.upgrade(database)).is_head
    assert await layout(database) == before


async def test_upgrades_started_at_the_same_time_wait_for_each_other(empty_database: str) -> None:
    versions = await asyncio.gather(*(schema.upgrade(empty_database) for _ in range(3)))
    assert all(version.is_head for version in versions)
    assert await schema.difference(empty_database) == []


async def test_a_database_of_a_newer_hub_is_left_alone_and_said_to_be_newer(own_database: str) -> None:
    async with schema.connected(own_database) as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'future'"))
    for attempt in (
        schema.require_current(own_database),
        schema.upgrade(own_database),
        schema.downgrade(own_database, "base"),
    ):
        with pytest.raises(schema.SchemaOutdated, match="newer kernelhub"):
            await attempt
    assert (await schema.current(own_database)).current == "future"


async def test_a_migration_that_fails_changes_nothing(empty_database: str) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        async with schema.connected(empty_database) as connection:
            await connection.execute(text("CREATE TABLE half (done INTEGER)"))
            raise RuntimeError("on purpose")
    async with schema.connected(empty_database) as connection:
        assert await connection.run_sync(lambda c: c.dialect.get_table_names(c)) == []


async def test_copying_a_table_keeps_the_rows_that_refer_to_it(own_database: str) -> None:
    """SQLite alters a table by copying it and dropping the old one, which must not delete what refers to it."""
    store = Store(own_database)
    async with store.unit() as unit:
        bob = await unit.users.add("bob", Role.USER, NOW)
        await unit.passwords.save(bob.id, "hash", NOW)

    def copy(connection: Connection) -> None:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("users", recreate="always" if is_sqlite(connection) else "auto") as batch:
            batch.drop_column("display_name")

    async with schema.connected(own_database) as connection:
        await connection.run_sync(copy)
    async with store.reading() as unit:
        assert await unit.passwords.find(bob.id) == "hash"
    await store.close()


async def test_on_sqlite_rows_that_refer_to_nothing_undo_the_migration_that_left_them(tmp_path: Path) -> None:
    """PostgreSQL checks references by itself, at every statement."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'kernelhub.db'}"
    await schema.upgrade(url)
    with pytest.raises(RuntimeError, match="refer to nothing"):
        async with schema.connected(url) as connection:
            await connection.execute(
                text("INSERT INTO passwords (user_id, hash, changed_at) VALUES ('nobody', 'x', '2026-01-01')")
            )
    assert await schema.difference(url) == []


async def test_a_database_that_does_not_answer_is_an_unavailable_store() -> None:
    with pytest.raises(StoreUnavailable) as unavailable:
        await schema.upgrade("sqlite+aiosqlite:////nowhere/kernelhub.db")
    assert "/nowhere/kernelhub.db" in str(unavailable.value.__cause__)


async def test_a_file_that_is_not_there_is_an_empty_database_and_is_not_made_by_asking(tmp_path: Path) -> None:
    version = await schema.current(f"sqlite+aiosqlite:///{tmp_path}/none/kernelhub.db")
    assert version.current is None and version.head
    assert not list(tmp_path.iterdir())


def is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


async def layout(url: str) -> list[str]:
    """All tables, columns, indexes, constraints and triggers, as the database describes them."""
    query = (
        "SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
        if url.startswith("sqlite")
        else """
        SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default, collation_name)
        FROM information_schema.columns WHERE table_schema = 'public'
        UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        """
    )
    async with schema.connected(url) as connection:
        return sorted(str(row[0]) for row in await connection.execute(text(query)))
