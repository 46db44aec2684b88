"""hub.people.rosters: plans carried out in the database, on both of them."""

from __future__ import annotations

import pytest

from hub.auth.recent import RecentIdentities
from hub.domain.ids import GroupId
from hub.domain.roster import plan, read_roster
from hub.domain.users import Group, MemberRole, Role
from hub.errors import Conflict
from hub.people.rosters import AT_ONCE, Rosters
from hub.store.engine import Store
from proxy.kit.clock import ManualClock


@pytest.fixture
def rosters(store: Store, clock: ManualClock) -> Rosters:
    return Rosters(store, clock, RecentIdentities(clock))


async def follow(rosters: Rosters, text: str, group: str = "", exact: bool = False) -> list[str]:
    roster = read_roster(text.encode())
    found = plan(roster, await rosters.known(roster, group), group=group, exact=exact)
    return [user.name for user in await rosters.follow(found, "root", "10.0.0.1")]


async def members(store: Store, group: str) -> dict[str, MemberRole]:
    async with store.reading() as unit:
        found = await unit.groups.find_by_name(group)
        assert found is not None
        return {one.user.name: one.role for one in await unit.groups.everybody(found.id)}


async def actions(store: Store) -> list[str]:
    async with store.reading() as unit:
        return [event.action for event in reversed(await unit.audit.list(1000))]


async def test_people_and_groups_that_are_not_there_are_made_and_each_change_is_audited(
    rosters: Rosters, store: Store
) -> None:
    text = "username,full name,e-mail,role\nada,Ada L,ada@x.org,teacher\nbob,,,\n"
    assert await follow(rosters, text, "physics") == ["ada", "bob"]
    assert await members(store, "physics") == {"ada": MemberRole.OWNER, "bob": MemberRole.MEMBER}
    async with store.reading() as unit:
        ada = (await unit.users.find_many(["ada", "nobody"]))["ada"]
    assert (ada.display_name, ada.email, ada.role) == ("Ada L", "ada@x.org", Role.USER)
    assert await actions(store) == [
        *("user.added", "user.added", "group.added", "group.member_added", "group.member_added", "group.owner_added")
    ]


async def test_following_the_same_roster_again_changes_nothing(rosters: Rosters, store: Store) -> None:
    text = "username,groups,role\nada,lab;physics,owner\nbob,lab,\n"
    await follow(rosters, text)
    before = await actions(store)
    assert await follow(rosters, text) == []
    assert await actions(store) == before


async def test_exactly_takes_out_those_who_are_not_in_the_file(
    rosters: Rosters, store: Store, clock: ManualClock
) -> None:
    await follow(rosters, "ada\nbob\n", "lab")
    async with store.unit() as unit:
        cy = await unit.users.add("cy", Role.USER, clock.now())
        lab = await unit.groups.find_by_name("lab")
        assert lab is not None
        await unit.groups.add_member(lab.id, cy.id, source="oidc")
    await follow(rosters, "bob\ndan\n", "lab", exact=True)
    assert set(await members(store, "lab")) == {"bob", "cy", "dan"}


async def test_a_long_roster_is_followed_in_several_units(rosters: Rosters, store: Store) -> None:
    names = [f"s{number:04}" for number in range(AT_ONCE + 7)]
    assert await follow(rosters, "\n".join(names), "all") == names
    assert len(await members(store, "all")) == len(names)


async def test_a_plan_that_is_out_of_date_is_refused_where_it_would_do_wrong(
    rosters: Rosters, store: Store, clock: ManualClock
) -> None:
    async with store.unit() as unit:
        ada = await unit.users.add("ada", Role.USER, clock.now())
        await unit.groups.add(Group(GroupId("g"), "lab", clock.now()))
    roster = read_roster(b"ada\n")
    found = plan(roster, await rosters.known(roster, "lab"), group="lab")
    async with store.unit() as unit:
        await unit.users.delete(ada.id)
    with pytest.raises(Conflict, match="deleted meanwhile"):
        await rosters.follow(found, "root")
    added = plan(read_roster(b"bob\n"), await rosters.known(read_roster(b"bob\n")))
    async with store.unit() as unit:
        await unit.users.add("bob", Role.USER, clock.now())
    with pytest.raises(Conflict, match="bob"):
        await rosters.follow(added, "root")
