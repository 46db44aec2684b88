"""JupyterHub's scope bugs, each as a call here (SECURITY 1.1), and what tokens' scopes and ends can be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from hub.domain.ids import GroupId, new_id
from hub.domain.users import Group, MemberRole, Role
from tests.unit.web.conftest import Browser, Site, SiteMaker

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
async def course(make_site: SiteMaker) -> Site:
    """Alice and tina are in physics, which tina owns; bob is in nothing."""
    site: Site = await make_site()
    users = {name: await site.auth.users.add(name, Role.USER, "test") for name in ("alice", "bob", "tina")}
    group = Group(GroupId(new_id()), "physics", site.clock.now())
    async with site.store.unit() as unit:
        await unit.groups.add(group)
        await unit.groups.add_member(group.id, users["alice"].id, MemberRole.MEMBER)
        await unit.groups.add_member(group.id, users["tina"].id, MemberRole.OWNER)
    await site.auth.users.add("root1", Role.ADMIN, "test")
    return site


async def program(site: Site, name: str, *scopes: str) -> Browser:
    """A program with a token of `name`."""
    user = await site.auth.users.get(name)
    kept = await site.auth.authority.read_scopes(scopes) if scopes else ()
    _, value = await site.auth.tokens.create(user, "t", timedelta(days=5), "test", scopes=kept)
    return site.browser(headers={"Authorization": f"token {value}"})


async def names_seen(visitor: Browser) -> list[str]:
    return [user["name"] for user in (await visitor.api("GET", "/hub/api/users")).json()]


async def test_a_filtered_scope_lists_only_what_is_within(course: Site) -> None:
    assert await names_seen(await program(course, "root1", "list:users!group=physics")) == ["alice", "tina"]
    assert await names_seen(await program(course, "root1", "list:users!user=bob")) == ["bob"]
    assert await names_seen(await program(course, "tina")) == ["alice", "tina"]
    assert await names_seen(await program(course, "root1")) == ["alice", "bob", "root1", "tina"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/hub/api/users", {"usernames": ["new1"]}),
        ("POST", "/hub/api/users/new1", {}),
        ("PATCH", "/hub/api/users/bob", {"disabled": True}),
        ("DELETE", "/hub/api/users/bob", None),
        ("GET", "/hub/api/users/bob/tokens", None),
        ("POST", "/hub/api/groups/physics/users", {"users": ["bob"]}),
        ("GET", "/hub/api/info", None),
    ],
)
async def test_a_filter_holds_where_no_name_is_in_the_address(course: Site, method: str, path: str, body: Any) -> None:
    scopes = ("admin:users!group=physics", "tokens!group=physics", "servers!group=physics")
    assert (await (await program(course, "root1", *scopes)).api(method, path, body)).status == 403


async def test_who_leaves_a_group_is_out_of_its_owners_reach_within_two_seconds(course: Site) -> None:
    tina = await program(course, "tina")
    assert (await tina.api("GET", "/hub/api/users/alice")).status == 200
    alice = await course.auth.users.get("alice")
    async with course.store.unit() as unit:
        group = await unit.groups.find_by_name("physics")
        assert group is not None
        await unit.groups.remove_member(group.id, alice.id)
    course.clock.advance(timedelta(seconds=2))
    assert (await tina.api("GET", "/hub/api/users/alice")).status == 403


async def test_an_owner_who_is_one_no_longer_has_nothing_left_within_two_seconds(course: Site) -> None:
    by_role, restricted = await program(course, "tina"), await program(course, "tina", "list:users!group=physics")
    assert await names_seen(restricted) == ["alice", "tina"]
    tina = await course.auth.users.get("tina")
    async with course.store.unit() as unit:
        group = await unit.groups.find_by_name("physics")
        assert group is not None
        await unit.groups.remove_member(group.id, tina.id)
        await unit.groups.add_member(group.id, tina.id, MemberRole.MEMBER)
    course.clock.advance(timedelta(seconds=2))
    for visitor in (by_role, restricted):
        assert (await visitor.api("GET", "/hub/api/users")).status == 403


async def test_a_demoted_administrators_tokens_are_a_members_at_once(course: Site) -> None:
    everything, some = await program(course, "root1"), await program(course, "root1", "read:users", "servers!user")
    await course.auth.users.add("root2", Role.ADMIN, "test")
    root1 = await course.auth.users.get("root1")
    assert (await some.api("GET", "/hub/api/users/bob")).status == 200
    await course.auth.users.set_role(root1, Role.USER, "test")
    assert (await everything.api("GET", "/hub/api/users")).status == 403
    assert (await some.api("GET", "/hub/api/users/bob")).status == 403
    assert (await some.api("GET", "/hub/api/users/root1")).status == 200
    assert (await everything.api("GET", "/hub/api/users/root1/tokens")).status == 200


@pytest.mark.parametrize("again", ["group", "user"])
async def test_what_takes_over_a_name_inherits_no_permission(course: Site, again: str) -> None:
    scopes = ["read:users!group=physics"] if again == "group" else ["read:users!user=alice"]
    visitor = await program(course, "root1", *scopes)
    alice = await course.auth.users.get("alice")
    assert (await visitor.api("GET", "/hub/api/users/alice")).status == 200
    async with course.store.unit() as unit:
        if again == "group":
            group = await unit.groups.find_by_name("physics")
            assert group is not None
            await unit.groups.delete(group.id)
            made = Group(GroupId(new_id()), "physics", course.clock.now())
            await unit.groups.add(made)
            await unit.groups.add_member(made.id, alice.id)
        else:
            await unit.users.delete(alice.id)
            await unit.users.add("alice", Role.USER, course.clock.now())
    course.clock.advance(timedelta(seconds=2))
    assert (await visitor.api("GET", "/hub/api/users/alice")).status == 403
    shown = (await visitor.api("GET", "/hub/api/user")).json()["scopes"]
    assert shown == []


@pytest.mark.parametrize("expires", ["0", "-1", "1e400", '"1"', "true", "7776001", "1.5", "[]", "NaN"])
async def test_no_token_lives_for_an_impossible_time(course: Site, expires: str) -> None:
    alice = await program(course, "alice")
    answer = await alice.send("POST", "/hub/api/users/alice/tokens", f'{{"note": "x", "expires_in": {expires}}}')
    assert answer.status == 400
    assert len(await course.auth.tokens.list(await course.auth.users.get("alice"))) == 1


async def test_every_token_ends_also_when_nobody_says_when(course: Site) -> None:
    alice = await course.signed_in("al")
    token = await alice.form_token()
    made = await alice.api("POST", "/hub/api/users/al/tokens", {"note": "x"}, X_XSRFToken=token)
    again = await alice.api("POST", "/hub/api/users/al/tokens", {"note": "x", "expires_in": None}, X_XSRFToken=token)
    assert (made.status, again.status) == (201, 201)
    for token_made in await course.auth.tokens.list(await course.auth.users.get("al")):
        assert token_made.expires_at == course.clock.now() + timedelta(days=30)


async def test_a_token_made_with_a_token_ends_no_later(course: Site) -> None:
    alice = await program(course, "alice")
    late = await alice.api("POST", "/hub/api/users/alice/tokens", {"note": "x", "expires_in": 6 * 86400})
    early = await alice.api("POST", "/hub/api/users/alice/tokens", {"note": "x"})
    assert (late.status, early.status) == (400, 201)
    ends = {token.expires_at for token in await course.auth.tokens.list(await course.auth.users.get("alice"))}
    assert max(ends) == course.clock.now() + timedelta(days=5)


@pytest.mark.parametrize(
    "scopes", [["nothing"], ["servers!user=nobody"], ["servers!group=nobody"], ["self!user=bob"], [], ["a"] * 60, [7]]
)
async def test_scopes_that_cannot_be_are_named(course: Site, scopes: list[Any]) -> None:
    root = await program(course, "root1")
    answer = await root.api("POST", "/hub/api/users/root1/tokens", {"note": "x", "scopes": scopes})
    assert answer.status == 400


async def test_scopes_are_shown_by_the_names_of_now(course: Site) -> None:
    root = await program(course, "root1")
    wanted = ["servers!user=bob", "groups!group=physics", "read:users!user"]
    made = await root.api("POST", "/hub/api/users/root1/tokens", {"note": "x", "scopes": wanted})
    assert made.json()["scopes"] == wanted
    bob = await course.auth.users.get("bob")
    await course.auth.users.rename(bob, "robert", "test")
    shown = (await root.api("GET", f"/hub/api/users/root1/tokens/{made.json()['id']}")).json()
    assert shown["scopes"] == ["servers!user=robert", "groups!group=physics", "read:users!user"]


async def test_a_browser_without_presence_makes_tokens_for_ones_own_things_only(course: Site) -> None:
    await course.add("boss", Role.ADMIN)
    browser = course.browser()
    await browser.sign_in("boss")
    token = await browser.form_token()
    made = await browser.api("POST", "/hub/api/users/boss/tokens", {"note": "x"}, X_XSRFToken=token)
    assert made.json()["scopes"] == ["self"]
    asked = {"note": "x", "scopes": ["admin:users"]}
    refused = await browser.api("POST", "/hub/api/users/boss/tokens", asked, X_XSRFToken=token)
    assert refused.json()["code"] == "auth.presence_required"
    member = course.browser(headers={"Authorization": f"token {made.json()['token']}"})
    assert (await member.api("GET", "/hub/api/users")).status == 403
    assert (await member.api("GET", "/hub/api/users/boss")).status == 200


async def test_a_password_in_the_body_makes_a_token_for_ones_own_things_only(course: Site) -> None:
    await course.add("boss", Role.ADMIN)
    auth = {"username": "boss", "password": "four quiet purple otters"}
    made = await course.browser().api("POST", "/hub/api/users/boss/tokens", {"note": "x", "auth": auth})
    assert (made.status, made.json()["scopes"]) == (201, ["self"])
