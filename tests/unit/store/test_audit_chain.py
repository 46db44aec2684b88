"""The audit log is a chain: what an attacker does to its rows is noticed, and several hubs write one chain."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from hub.audit_keeper import ANCHORS, AuditKeeper, read_anchors, verify
from hub.domain.audit import AuditEvent, Head
from hub.store import schema
from hub.store.audit import AuditSearch
from hub.store.engine import Store
from proxy.kit.clock import ManualClock

NOW = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
DETAILS = {"n": 3, "share": 0.1, "whole": 4.0, "large": 1e16, "small": 1.5e-7, "ok": True, "none": None, "wörd": "ü→"}


async def record(store: Store, count: int, actor: str = "hub", **details: object) -> None:
    async with store.unit() as unit:
        for number in range(count):
            event = AuditEvent(NOW + timedelta(seconds=number), "note.made", actor, f"note-{number}", "10.0.0.1")
            await unit.audit.add(replace(event, details={**DETAILS, **details}))  # type: ignore[dict-item]


async def head_of(store: Store) -> Head:
    async with store.reading() as unit:
        head = await unit.audit.head()
    assert head is not None
    return head


async def tamper(store: Store, statement: str) -> None:
    """What somebody does who owns the database: triggers do not hold them up."""
    async with schema.connected(store._writer.url.render_as_string(hide_password=False)) as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only"))
        else:
            await connection.execute(text("DROP TRIGGER audit_events_refuse_update"))
            await connection.execute(text("DROP TRIGGER audit_events_refuse_delete"))
        await connection.execute(text(statement))


async def test_a_log_that_nobody_touched_is_whole(store: Store) -> None:
    assert (await verify(store)).broken is None
    await record(store, 3)
    await record(store, 4)
    result = await verify(store, [await head_of(store)])
    assert result.broken is None
    assert result.count == 7


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("UPDATE audit_events SET actor = 'nobody' WHERE id = 4", 4),
        ("UPDATE audit_events SET address = '' WHERE id = 1", 1),
        ("UPDATE audit_events SET person = 'somebody' WHERE id = 2", 2),
        ("UPDATE audit_events SET at = '2020-01-01 00:00:00.000000' WHERE id = 3", 3),
        ("""UPDATE audit_events SET details = '{"n": 4}' WHERE id = 5""", 5),
        ("UPDATE audit_events SET digest = NULL WHERE id = 6", 6),
        ("DELETE FROM audit_events WHERE id = 3", 4),
        ("DELETE FROM audit_events WHERE id = 1", 2),
        ("UPDATE audit_events SET id = 100 WHERE id = 3", 4),
        ("UPDATE audit_events SET previous = digest WHERE id = 2", 2),
        (
            "INSERT INTO audit_events (id, at, action, actor, subject, address, details) "
            "VALUES (99, '2026-01-01 00:00:00', 'a.b', 'x', 'y', '', '{}')",
            99,
        ),
    ],
)
async def test_a_line_that_is_changed_removed_moved_or_put_in_is_named(
    own_database: str, statement: str, line: int
) -> None:
    store = Store(own_database)
    await record(store, 7)
    await tamper(store, statement)
    result = await verify(store)
    assert result.broken is not None
    assert result.broken.id == line
    await store.close()


async def test_lines_cut_off_at_the_end_show_against_an_anchor(own_database: str, tmp_path: Path) -> None:
    store = Store(own_database)
    await record(store, 5)
    keeper = AuditKeeper(store, ManualClock(), tmp_path, None)
    await keeper.anchor()
    await tamper(store, "DELETE FROM audit_events WHERE id > 3")
    assert (await verify(store)).broken is None
    result = await verify(store, read_anchors(tmp_path / ANCHORS))
    assert result.broken is not None
    assert "removed" in result.broken.why
    await store.close()


async def test_a_log_that_was_written_anew_with_right_digests_shows_against_an_anchor(
    own_database: str, tmp_path: Path
) -> None:
    store = Store(own_database)
    await record(store, 5)
    await AuditKeeper(store, ManualClock(), tmp_path, None).anchor()
    await tamper(store, "DELETE FROM audit_events")
    if own_database.startswith("sqlite"):
        await tamper_again(store, "UPDATE sqlite_sequence SET seq = 0 WHERE name = 'audit_events'")
    else:
        await tamper_again(store, "ALTER SEQUENCE audit_events_id_seq RESTART WITH 1")
    await record(store, 5, actor="innocent")
    assert (await verify(store)).broken is None
    result = await verify(store, read_anchors(tmp_path / ANCHORS))
    assert result.broken is not None
    assert result.broken.id == 5
    await store.close()


async def tamper_again(store: Store, statement: str) -> None:
    async with schema.connected(store._writer.url.render_as_string(hide_password=False)) as connection:
        await connection.execute(text(statement))


async def test_two_hubs_write_one_chain(database: str) -> None:
    stores = [Store(database), Store(database)]

    async def write(store: Store, name: str) -> None:
        for _ in range(15):
            await record(store, 2, actor=name)

    await asyncio.gather(*(write(store, f"hub-{number}") for number, store in enumerate(stores)))
    result = await verify(stores[0])
    assert result.broken is None
    assert result.count >= 60
    for store in stores:
        await store.close()


async def test_a_unit_that_is_undone_leaves_no_line_and_no_gap(store: Store) -> None:
    await record(store, 1)
    with pytest.raises(RuntimeError, match="on purpose"):
        async with store.unit() as unit:
            await unit.audit.add(AuditEvent(NOW, "note.made", "hub", "lost"))
            raise RuntimeError("on purpose")
    await record(store, 1)
    assert (await verify(store)).count == 2


async def test_what_was_recorded_before_the_chain_is_chained_by_the_migration(empty_database: str) -> None:
    await schema.upgrade(empty_database, "0004")
    async with schema.connected(empty_database) as connection:
        for number in range(5):
            await connection.execute(
                text(
                    "INSERT INTO audit_events (at, action, actor, subject, address, details) VALUES "
                    f"('2026-01-01 00:00:0{number}.5', 'kernel.ended', 'hub', 'k{number}', '', "
                    f"""'{{"user": "u{number}", "big": 1e16, "x": 1.5}}')"""
                )
            )
    await schema.upgrade(empty_database)
    store = Store(empty_database)
    await record(store, 2)
    result = await verify(store)
    assert result.broken is None
    assert result.count == 7
    async with store.reading() as unit:
        assert len((await unit.audit.search(AuditSearch(person="u3"))).events) == 1
    with pytest.raises(Exception, match="can only be added to"):
        async with store._writer.connect() as connection:
            await connection.execute(text("UPDATE audit_events SET actor = 'x'"))
    await store.close()


async def test_the_file_has_every_line_once_also_after_a_restart(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    await record(store, 3)
    assert await AuditKeeper(store, ManualClock(), tmp_path, file).follow() == 3
    await record(store, 2)
    keeper = AuditKeeper(store, ManualClock(), tmp_path, file)
    assert await keeper.follow() == 2
    assert await keeper.follow() == 0
    assert len(file.read_text().splitlines()) == 5
    assert file.stat().st_mode & 0o077 == 0


async def test_a_search_looks_at_so_many_lines_and_goes_on_where_it_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.store.audit.MAX_SCANNED", 30)
    await record(store, 1, why="needle")
    await record(store, 100)
    found, before, pages = [], None, 0
    while True:
        async with store.reading() as unit:
            page = await unit.audit.search(AuditSearch(text="needle"), before, 10)
        found += page.events
        pages += 1
        if page.next_before is None:
            break
        assert page.looked_back_to is not None
        before = page.next_before
    assert len(found) == 1
    assert pages == 4


async def test_a_person_is_found_as_actor_as_subject_and_as_the_one_whose_thing_it_was(store: Store) -> None:
    async with store.unit() as unit:
        await unit.audit.add(AuditEvent(NOW, "a.done", "ada", "x"))
        await unit.audit.add(AuditEvent(NOW, "a.done", "x", "ada"))
        await unit.audit.add(AuditEvent(NOW, "a.done", "hub", "k", details={"user": "ada"}))
        await unit.audit.add(AuditEvent(NOW, "a.done", "ada", "ada", details={"user": "ada"}))
        await unit.audit.add(AuditEvent(NOW, "a.done", "eve", "eve"))
    async with store.reading() as unit:
        page = await unit.audit.search(AuditSearch(person="ada"), None, 3)
        rest = await unit.audit.search(AuditSearch(person="ada"), page.next_before, 3)
    assert len(page.events) == 3
    assert len(rest.events) == 1
