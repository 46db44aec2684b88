"""The audit log: everything is recorded, in order, and nothing is ever changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from hub.domain.audit import AuditEvent
from hub.domain.users import Role
from hub.store.engine import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def an_event(action: str, subject: str = "bob") -> AuditEvent:
    return AuditEvent(NOW, action, "hub", subject, "10.0.0.1", {"tries": 3, "why": "no", "ok": False, "x": None})


async def record(store: Store, *events: AuditEvent) -> None:
    async with store.unit() as unit:
        for event in events:
            await unit.audit.add(event)


async def test_an_event_comes_back_as_it_was_with_its_place(store: Store) -> None:
    event = an_event("sign_in.refused")
    await record(store, event)
    async with store.reading() as unit:
        [found] = await unit.audit.list()
    assert found.id is not None
    assert replace(found, id=None) == event


async def test_the_newest_events_come_first_and_the_next_page_begins_where_the_last_ended(store: Store) -> None:
    await record(store, *(an_event(f"event.{number}") for number in range(5)))
    async with store.reading() as unit:
        first = await unit.audit.list(limit=2)
        second = await unit.audit.list(limit=10, before=first[-1].id)
    assert [event.action for event in first] == ["event.4", "event.3"]
    assert [event.action for event in second] == ["event.2", "event.1", "event.0"]


async def test_events_are_chosen_by_the_beginning_of_their_action_and_by_subject(store: Store) -> None:
    await record(store, an_event("sign_in.refused"), an_event("sign_in.done", "alice"), an_event("signs.bad"))
    async with store.reading() as unit:
        chosen = await unit.audit.list(action_prefix="sign_in.")
        of_bob = await unit.audit.list(action_prefix="sign_in.", subject="bob")
    assert [event.action for event in chosen] == ["sign_in.done", "sign_in.refused"]
    assert [event.action for event in of_bob] == ["sign_in.refused"]


async def test_what_strangers_send_is_recorded_harmless_and_cut(store: Store) -> None:
    hostile = "\0\ud800\n" + "x" * 1_000_000
    await record(store, AuditEvent(NOW, "sign_in.refused", "hub", hostile, details={"agent": hostile}))
    async with store.reading() as unit:
        [found] = await unit.audit.list()
    assert found.subject.startswith("\\x00\\ud800\\nxxx")
    assert len(found.subject) == 1000
    assert found.details == {"agent": found.subject}


@pytest.mark.parametrize("statement", ["DELETE FROM audit_events", "UPDATE audit_events SET actor = 'nobody'"])
async def test_events_cannot_be_changed_or_deleted_even_by_hand(store: Store, statement: str) -> None:
    await record(store, an_event("sign_in.done"))
    async with store._writer.connect() as connection:
        with pytest.raises(Exception, match="can only be added to"):
            await connection.execute(text(statement))


async def test_events_outlive_the_users_they_are_about(store: Store) -> None:
    async with store.unit() as unit:
        bob = await unit.users.add("bob", Role.USER, NOW)
        await unit.audit.add(an_event("user.added", bob.id))
        await unit.users.delete(bob.id)
        assert len(await unit.audit.list(subject=bob.id)) == 1
