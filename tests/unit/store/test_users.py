"""Users in the database: names are unique, ids and numbers are never given again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text

from hub.domain.users import Role, User
from hub.errors import BadRequest, Conflict, NotFound, StoreUnavailable
from hub.store.engine import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def add(store: Store, name: str, role: Role = Role.USER) -> User:
    async with store.unit() as unit:
        return await unit.users.add(name, role, NOW)


async def test_a_user_is_found_by_id_and_by_name(store: Store) -> None:
    bob = await add(store, "bob")
    async with store.reading() as unit:
        assert await unit.users.find(bob.id) == bob
        assert await unit.users.find_by_name("bob") == bob
        assert await unit.users.find_by_name("alice") is None


async def test_a_name_that_is_taken_is_a_conflict_that_names_it(store: Store) -> None:
    await add(store, "bob")
    with pytest.raises(Conflict, match="'bob'"):
        await add(store, "bob")
    async with store.reading() as unit:
        assert await unit.users.count() == 1


async def test_of_many_who_take_one_name_at_once_one_gets_it(store: Store) -> None:
    results = await asyncio.gather(*(add(store, "bob") for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, User) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 9


async def test_users_added_at_once_have_different_numbers(store: Store) -> None:
    users = await asyncio.gather(*(add(store, f"user{index}") for index in range(20)))
    assert len({user.number for user in users}) == 20
    assert all(user.number >= 1 for user in users)


async def test_the_number_of_a_deleted_user_is_never_given_again(store: Store) -> None:
    first = await add(store, "bob")
    async with store.unit() as unit:
        assert await unit.users.delete(first.id)
        assert not await unit.users.delete(first.id)
    second = await add(store, "bob")
    assert second.number > first.number
    assert second.id != first.id


async def test_a_user_who_was_rolled_back_leaves_no_number_behind_that_two_could_get(store: Store) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        async with store.unit() as unit:
            await unit.users.add("ghost", Role.USER, NOW)
            raise RuntimeError("on purpose")
    users = [await add(store, "alice"), await add(store, "bob")]
    assert len({user.number for user in users}) == 2


@pytest.mark.parametrize("statement", ["DELETE FROM user_numbers", "UPDATE user_numbers SET number = number + 7"])
async def test_numbers_given_cannot_be_taken_back_even_by_hand(store: Store, statement: str) -> None:
    await add(store, "bob")
    async with store._writer.connect() as connection:
        with pytest.raises(Exception, match=r"can only be added to|FOREIGN KEY"):
            await connection.execute(text(statement))


async def test_users_are_listed_in_order_of_their_names_page_by_page(store: Store) -> None:
    for name in ("b-2", "a_b", "b.1", "b1", "a+b", "c"):
        await add(store, name)
    async with store.reading() as unit:
        everybody = [user.name for user in await unit.users.list()]
        assert everybody == sorted(everybody)
        assert [user.name for user in await unit.users.list(offset=1, limit=2)] == everybody[1:3]


async def test_a_prefix_is_taken_literally(store: Store) -> None:
    for name in ("a_b", "axb", "a%b"):
        await add(store, name)
    async with store.reading() as unit:
        assert [user.name for user in await unit.users.list(prefix="a_")] == ["a_b"]
        assert await unit.users.count(prefix="a") == 3


async def test_save_writes_what_can_change_and_nothing_else(store: Store) -> None:
    bob = await add(store, "bob")
    changed = replace(bob, name="robert", role=Role.ADMIN, disabled_at=NOW, last_activity_at=NOW)
    async with store.unit() as unit:
        await unit.users.save(replace(changed, number=77, created_at=NOW + timedelta(days=1)))
    async with store.reading() as unit:
        assert await unit.users.find(bob.id) == changed


async def test_saving_a_user_who_was_deleted_meanwhile_says_so(store: Store) -> None:
    bob = await add(store, "bob")
    async with store.unit() as unit:
        await unit.users.delete(bob.id)
    with pytest.raises(NotFound):
        async with store.unit() as unit:
            await unit.users.save(bob)


async def test_renaming_to_a_name_that_is_taken_is_a_conflict(store: Store) -> None:
    await add(store, "alice")
    bob = await add(store, "bob")
    with pytest.raises(Conflict, match="'alice'"):
        async with store.unit() as unit:
            await unit.users.save(replace(bob, name="alice"))


async def test_touching_a_user_does_not_undo_what_others_changed(store: Store) -> None:
    bob = await add(store, "bob")
    async with store.unit() as unit:
        await unit.users.save(replace(bob, disabled_at=NOW))
        await unit.users.touch(bob.id, NOW + timedelta(hours=1))
    async with store.reading() as unit:
        found = await unit.users.find(bob.id)
    assert found == replace(bob, disabled_at=NOW, last_activity_at=NOW + timedelta(hours=1))


async def test_only_administrators_who_are_not_disabled_count(store: Store) -> None:
    await add(store, "user")
    root = await add(store, "root", Role.ADMIN)
    await add(store, "boss", Role.ADMIN)
    async with store.unit() as unit:
        await unit.users.save(replace(root, disabled_at=NOW))
        assert await unit.users.count_admins() == 1


async def test_the_last_two_administrators_cannot_both_be_disabled_at_once(store: Store) -> None:
    admins = [await add(store, name, Role.ADMIN) for name in ("root", "boss")]

    async def disable(admin: User) -> bool:
        async with store.unit() as unit:
            found = await unit.users.find(admin.id)
            assert found is not None
            if await unit.users.count_admins() < 2:
                return False
            await unit.users.save(replace(found, disabled_at=NOW))
            return True

    results = await asyncio.gather(*map(disable, admins), return_exceptions=True)
    assert results.count(True) == 1, "the other is refused, or told to try again where the database saw a deadlock"
    assert all(result in (True, False) or isinstance(result, StoreUnavailable) for result in results)
    async with store.reading() as unit:
        assert await unit.users.count_admins() == 1


async def test_times_come_back_aware_in_utc_and_to_the_microsecond(store: Store) -> None:
    berlin = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    async with store.unit() as unit:
        bob = await unit.users.add("bob", Role.USER, berlin)
    async with store.reading() as unit:
        found = await unit.users.find(bob.id)
    assert found is not None
    assert found.created_at == datetime(2026, 7, 1, 10, 0, 0, 123456, tzinfo=UTC)
    assert found.created_at.tzinfo is UTC


async def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="time zone"):
        async with store.unit() as unit:
            await unit.users.add("bob", Role.USER, NOW.replace(tzinfo=None))


@pytest.mark.parametrize("name", ["bo\0b", "bob\ud800"])
async def test_text_that_cannot_be_stored_is_a_bad_request_on_both_databases(store: Store, name: str) -> None:
    with pytest.raises(BadRequest):
        await add(store, name)
