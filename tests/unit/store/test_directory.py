"""People by page."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hub.domain.ids import GroupId, WorkspaceId, new_id
from hub.domain.permissions import Reach
from hub.domain.users import Group, Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.store.directory import Having, Order, Wanted
from hub.store.engine import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def people(store: Store) -> dict[str, User]:
    """Ann runs, Bob starts, Cid's container is stopped, Dan never had one; Ann and Cid are in maths."""
    async with store.unit() as unit:
        made = {name: await unit.users.add(name, Role.USER, NOW) for name in ("dan", "cid", "bob", "ann")}
        maths = Group(GroupId("g1"), "maths", NOW)
        await unit.groups.add(maths)
        for name in ("ann", "cid"):
            await unit.groups.add_member(maths.id, made[name].id)
        for name, state in (("ann", "running"), ("bob", "starting"), ("cid", "stopped")):
            limits = Limits(None, None, None)
            row = Workspace(WorkspaceId(new_id()), made[name].id, "p", WorkspaceState(state), "image", limits)
            await unit.workspaces.add(row)
        await unit.users.touch(made["bob"].id, NOW)
        await unit.users.touch(made["ann"].id, NOW + timedelta(hours=1))
    return made


async def names(store: Store, wanted: Wanted, order: Order = Order.NAME, *, descending: bool = False) -> str:
    async with store.reading() as unit:
        found = await unit.directory.page(wanted, 0, 10, order, descending=descending)
        assert await unit.directory.count(wanted) == len(found)
    return " ".join(user.name for user in found)


async def test_people_are_found_by_what_their_containers_do(store: Store, people: dict[str, User]) -> None:
    assert await names(store, Wanted()) == "ann bob cid dan"
    assert await names(store, Wanted(having=Having.READY)) == "ann"
    assert await names(store, Wanted(having=Having.ACTIVE)) == "ann bob"
    assert await names(store, Wanted(having=Having.INACTIVE)) == "cid dan"


async def test_people_are_found_by_names_and_groups(store: Store, people: dict[str, User]) -> None:
    assert await names(store, Wanted(name_filter="N")) == "ann dan"
    assert await names(store, Wanted(name_filter="%")) == ""
    assert await names(store, Wanted(group="maths")) == "ann cid"
    assert await names(store, Wanted(group="arts")) == ""
    assert await names(store, Wanted(role="admin")) == ""
    async with store.unit() as unit:
        await unit.users.save(replace(people["bob"], disabled_at=NOW))
    assert await names(store, Wanted(disabled=True)) == "bob"
    assert await names(store, Wanted(disabled=False, search="D")) == "cid dan"


async def test_nobody_is_shown_who_is_out_of_reach(store: Store, people: dict[str, User]) -> None:
    assert await names(store, Wanted(within=Reach())) == ""
    assert await names(store, Wanted(within=Reach(users=frozenset({people["bob"].id})))) == "bob"
    of_maths = Reach(users=frozenset({people["dan"].id}), groups=frozenset({GroupId("g1")}))
    assert await names(store, Wanted(within=of_maths)) == "ann cid dan"
    assert await names(store, Wanted(within=of_maths, having=Having.ACTIVE)) == "ann"


async def test_people_are_listed_in_every_order(store: Store, people: dict[str, User]) -> None:
    assert await names(store, Wanted(), Order.ADDED) == "dan cid bob ann"
    assert await names(store, Wanted(), Order.ADDED, descending=True) == "ann bob cid dan"
    assert await names(store, Wanted(), Order.ACTIVITY) == "cid dan bob ann"
    assert await names(store, Wanted(), Order.ACTIVITY, descending=True) == "ann bob cid dan"


async def test_what_a_page_shows_is_read_for_all_its_people_at_once(store: Store, people: dict[str, User]) -> None:
    ids = [user.id for user in people.values()]
    async with store.reading() as unit:
        of_groups = await unit.groups.names_for(ids)
        live = await unit.workspaces.list_for_many(ids)
        every = await unit.workspaces.list_for_many(ids, stopped=True)
    assert of_groups[people["ann"].id] == ["maths"] and of_groups[people["bob"].id] == []
    assert [len(live[people[name].id]) for name in ("ann", "bob", "cid", "dan")] == [1, 1, 0, 0]
    assert len(every[people["cid"].id]) == 1
