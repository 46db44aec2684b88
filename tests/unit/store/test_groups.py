"""Groups in the database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hub.domain.ids import GroupId, UserId
from hub.domain.users import Group, MemberRole, Role
from hub.errors import Conflict
from hub.store.engine import Store
from hub.store.groups import GroupSize

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MATHS = Group(GroupId("g1"), "maths", NOW)
ARTS = Group(GroupId("g2"), "arts", NOW)


async def test_groups_are_found_by_name_and_listed_in_order(store: Store) -> None:
    async with store.unit() as unit:
        await unit.groups.add(MATHS)
        await unit.groups.add(ARTS)
        assert await unit.groups.find_by_name("maths") == MATHS
        assert await unit.groups.find_by_name("music") is None
        assert await unit.groups.list() == [ARTS, MATHS]


async def test_a_group_name_that_is_taken_is_a_conflict(store: Store) -> None:
    with pytest.raises(Conflict, match="'maths'"):
        async with store.unit() as unit:
            await unit.groups.add(MATHS)
            await unit.groups.add(Group(GroupId("g3"), "maths", NOW))


async def test_members_come_and_go(store: Store) -> None:
    async with store.unit() as unit:
        await unit.groups.add(MATHS)
        await unit.groups.add(ARTS)
        bob = await unit.users.add("bob", Role.USER, NOW)
        alice = await unit.users.add("alice", Role.USER, NOW)
        for user in (bob, alice, bob):
            await unit.groups.add_member(MATHS.id, user.id)
        await unit.groups.add_member(ARTS.id, bob.id)
        assert await unit.groups.members(MATHS.id) == [alice, bob]
        assert await unit.groups.list_for(bob.id) == [ARTS, MATHS]
        assert await unit.groups.remove_member(MATHS.id, bob.id)
        assert not await unit.groups.remove_member(MATHS.id, bob.id)
        await unit.users.delete(alice.id)
        assert await unit.groups.members(MATHS.id) == []
        assert await unit.groups.delete(ARTS.id)
        assert not await unit.groups.delete(ARTS.id)
        assert await unit.groups.list_for(bob.id) == []
        assert await unit.users.find(bob.id) == bob


async def test_a_user_who_is_put_into_a_group_by_many_at_once_is_in_it_once(store: Store) -> None:
    async with store.unit() as unit:
        await unit.groups.add(MATHS)
        bob = await unit.users.add("bob", Role.USER, NOW)

    async def join() -> None:
        async with store.unit() as unit:
            await unit.groups.add_member(MATHS.id, bob.id)

    await asyncio.gather(*(join() for _ in range(10)))
    async with store.reading() as unit:
        assert await unit.groups.members(MATHS.id) == [bob]


async def test_nobody_is_put_into_a_group_that_does_not_exist(store: Store) -> None:
    with pytest.raises(Conflict):
        async with store.unit() as unit:
            bob = await unit.users.add("bob", Role.USER, NOW)
            await unit.groups.add_member(GroupId("none"), bob.id)


async def test_who_is_marked_for_deletion_is_neither_counted_nor_listed(store: Store) -> None:
    async with store.unit() as unit:
        await unit.groups.add(MATHS)
        await unit.groups.add(ARTS)
        people = [await unit.users.add(name, Role.USER, NOW) for name in ("ada", "bob", "cy", "dan")]
        for person, role in zip(people, 2 * [MemberRole.OWNER] + 2 * [MemberRole.MEMBER], strict=True):
            await unit.groups.add_member(MATHS.id, person.id, role)
        for gone in people[1:3]:
            await unit.users.save(replace(gone, removed_at=NOW))
        assert await unit.groups.sizes([MATHS.id, ARTS.id]) == {MATHS.id: GroupSize(2, 1), ARTS.id: GroupSize(0, 0)}
        assert [one.user.name for one in await unit.groups.members_page(MATHS.id, 0, 50)] == ["ada", "dan"]
        assert [one.user.name for one in await unit.groups.members_page(MATHS.id, 1, 1)] == ["dan"]
        counts = [await unit.groups.members_count(MATHS.id, role=role) for role in (None, *MemberRole)]
        assert counts == [2, *(1 for _ in MemberRole)]
        assert await unit.groups.members_count(MATHS.id, "a") == 2
        assert await unit.groups.members_among([people[0].id, UserId("nobody")], [MATHS.id]) == {people[0].id}
