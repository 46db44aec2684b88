"""Groups as a service: names, members, owners, and their lines in the audit log."""

from __future__ import annotations

import pytest

from hub.auth.assemble import Auth
from hub.domain.users import Group, MemberRole, Role, User
from hub.errors import BadRequest, Conflict, Forbidden, NotFound
from hub.store.engine import Store


@pytest.fixture
async def people(auth: Auth) -> list[User]:
    return [await auth.users.add(name, Role.USER, "test") for name in ("ada", "ben")]


async def lines(store: Store) -> list[str]:
    async with store.reading() as unit:
        events = await unit.audit.list(action_prefix="group.")
    return [event.action.removeprefix("group.") for event in reversed(events)]


async def test_a_group_is_made_filled_and_deleted_with_a_line_for_each_change(
    auth: Auth, store: Store, people: list[User]
) -> None:
    group = await auth.groups.create(" Physics ", "test", display_name="Physics 101")
    assert (group.name, group.display_name, group.source) == ("Physics", "Physics 101", "hub")
    assert await auth.groups.add_members(group, people, "test") == people
    assert await auth.groups.add_members(group, people, "test") == [], "once is as good as twice"
    await auth.groups.set_owner(group, people[0], True, "test")
    await auth.groups.set_owner(group, people[0], True, "test")
    await auth.groups.set_owner(group, people[0], False, "test")
    assert await auth.groups.remove_members(group, people, "test") == people
    assert await auth.groups.remove_members(group, people, "test") == []
    changed = await auth.groups.change(group, "test", name="Optics")
    assert await auth.groups.change(changed, "test", name="Optics") == changed
    await auth.groups.set_properties(changed, {"profiles": ["gpu"]}, "test")
    assert (await auth.groups.get("Optics")).properties == {"profiles": ["gpu"]}
    await auth.groups.delete(changed, "test")
    assert await lines(store) == [
        *("added", "member_added", "member_added", "owner_added", "owner_removed"),
        *("member_removed", "member_removed", "changed", "properties_changed", "deleted"),
    ]


async def test_an_owner_is_put_into_the_group(auth: Auth, store: Store, people: list[User]) -> None:
    group = await auth.groups.create("maths", "test")
    await auth.groups.set_owner(group, people[0], True, "test")
    async with store.reading() as unit:
        [membership] = await unit.groups.memberships_for(people[0].id)
    assert (membership.role, membership.group.name, membership.source) == (MemberRole.OWNER, "maths", "hub")
    with pytest.raises(Conflict, match="ben is not in the group maths"):
        await auth.groups.set_owner(group, people[1], False, "test")


async def test_adding_again_changes_no_role_and_no_source(auth: Auth, store: Store, people: list[User]) -> None:
    group = await auth.groups.create("maths", "test")
    await auth.groups.add_members(group, people[:1], "test", role=MemberRole.OWNER, source="canvas")
    await auth.groups.add_members(group, people, "test")
    async with store.reading() as unit:
        members = await unit.groups.members_page(group.id, 0, 10)
        owners = await unit.groups.members_page(group.id, 0, 10, role=MemberRole.OWNER)
        sizes = await unit.groups.sizes([group.id])
    assert [(each.user.name, str(each.role), each.source) for each in members] == [
        ("ada", "owner", "canvas"),
        ("ben", "member", "hub"),
    ]
    assert [each.user.name for each in owners] == ["ada"]
    assert (sizes[group.id].people, sizes[group.id].owners) == (2, 1)


async def test_what_is_gone_or_impossible_is_said(auth: Auth, people: list[User]) -> None:
    group = await auth.groups.create("maths", "test")
    with pytest.raises(Conflict, match="'maths'"):
        await auth.groups.create("maths", "test")
    with pytest.raises(BadRequest):
        await auth.groups.create("a/b", "test")
    with pytest.raises(BadRequest, match=r"quotas\.kernels"):
        await auth.groups.set_properties(group, {"quotas": {"kernels": "many"}}, "test")
    await auth.groups.delete(group, "test")
    for name in ("maths", "a/b", ""):
        with pytest.raises(NotFound):
            await auth.groups.get(name)
    with pytest.raises(NotFound):
        await auth.groups.add_members(group, people, "test")
    with pytest.raises(NotFound):
        await auth.groups.delete(group, "test")


async def test_a_name_can_be_refused_before_anything_is_made(auth: Auth, store: Store) -> None:
    async def refuse(group: Group) -> None:
        raise Forbidden(f"{group.name} gives more than you have.")

    with pytest.raises(Forbidden):
        await auth.groups.create("admins", "test", before=refuse)
    group = await auth.groups.create("maths", "test")
    with pytest.raises(Forbidden):
        await auth.groups.change(group, "test", name="admins", before=refuse)
    assert await lines(store) == ["added"]
    assert (await auth.groups.get("maths")).name == "maths"


async def test_people_are_renamed_and_described(auth: Auth, people: list[User]) -> None:
    ada = await auth.users.rename(people[0], "Ada.Lovelace", "test")
    assert ada.name == "ada.lovelace" and ada.id == people[0].id
    with pytest.raises(Conflict):
        await auth.users.rename(people[1], "ada.lovelace", "test")
    described = await auth.users.describe(ada, "test", display_name=" Ada ", email="ada@example.edu")
    assert (described.display_name, described.email) == ("Ada", "ada@example.edu")
    assert (await auth.users.describe(described, "test", email="")).email is None
    for wrong in ("nobody", "a b@c", "a@b\n"):
        with pytest.raises(BadRequest, match="email"):
            await auth.users.describe(ada, "test", email=wrong + "x" if wrong.endswith("\n") else wrong)
