"""Nobody yields anybody more than they hold themselves, by whatever call (CVE-2024-41942 and the like).

Random people call whatever makes, changes or fills principals: users, roles, tokens, groups, owners, invitations. After
each call everybody's power is worked out as pairs of a scope and a person or group it is held over, and whatever is new
in anybody's hands must have been in the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.domain.ids import GroupId, TokenId, UserId, new_id
from hub.domain.permissions import Grants
from hub.domain.scopes import MEANING, Concerns, Scope
from hub.domain.users import Group, MemberRole, Role, User
from hub.store.tables import memberships, tokens
from tests.unit.web.conftest import Browser, Site, SiteMaker

ROLES = {
    "registrar": {"scopes": ["admin:users", "list:users"]},
    "grouper": {"scopes": ["admin:groups", "read:users"]},
    "assistant": {"scopes": ["list:users", "servers!group=physics", "groups!group=physics"]},
    "ops": {"scopes": ["servers", "read:audit"], "groups": ["ops"]},
}
PEOPLE = {
    **{"root1": Role.ADMIN, "root2": Role.ADMIN, "rita": "registrar", "gro": "grouper", "asta": "assistant"},
    **dict.fromkeys(("tina", "otto", "alice", "bob"), Role.USER),
    "gina": Role.GUEST,
}
NAMES = (*PEOPLE, "new1", "new2")
GROUPS = ("physics", "maths", "ops", "fresh")
Pair = tuple[Scope, str]
ALL = "everything"


@dataclass(frozen=True)
class Call:
    """A call of the API."""

    method: str
    path: str
    body: Any


_names, _groups = st.sampled_from(NAMES), st.sampled_from(GROUPS)
_roles = st.sampled_from([*Role, *ROLES])
_scope = st.one_of(
    st.sampled_from([*Scope, "inherit"]).map(str),
    st.builds("{}!user={}".format, st.sampled_from(list(Scope)), _names),
    st.builds("{}!group={}".format, st.sampled_from(list(Scope)), _groups),
    st.builds("{}!user".format, st.sampled_from(list(Scope))),
)


def _call(method: str, path: str, *values: st.SearchStrategy[str], body: st.SearchStrategy[Any]) -> Any:
    return st.tuples(st.tuples(*values), body).map(lambda made: Call(method, path.format(*made[0]), made[1]))


API_CALLS = st.one_of(
    _call("POST", "/hub/api/users/{}", _names, body=st.builds(lambda role: {"role": role}, _roles)),
    _call("POST", "/hub/api/users/{}", _names, body=st.sampled_from([{"admin": True}, {}])),
    _call("POST", "/hub/api/users", body=st.builds(lambda n, a: {"usernames": [n], "admin": a}, _names, st.booleans())),
    _call("PATCH", "/hub/api/users/{}", _names, body=st.builds(lambda role: {"role": role}, _roles)),
    _call("PATCH", "/hub/api/users/{}", _names, body=st.sampled_from([{"admin": True}, {"admin": False}])),
    _call("PATCH", "/hub/api/users/{}", _names, body=st.builds(lambda name: {"name": name}, _names)),
    _call(
        *("POST", "/hub/api/users/{}/tokens", _names),
        body=st.builds(lambda scopes: {"scopes": scopes, "note": "x"}, st.lists(_scope, min_size=1, max_size=3)),
    ),
    _call("POST", "/hub/api/users/{}/tokens", _names, body=st.just({"note": "x"})),
    _call("POST", "/hub/api/groups/{}", _groups, body=st.just({})),
    _call("PATCH", "/hub/api/groups/{}", _groups, body=st.builds(lambda name: {"name": name}, _groups)),
    _call("POST", "/hub/api/groups/{}/users", _groups, body=st.builds(lambda n: {"users": [n]}, _names)),
    _call("POST", "/hub/api/groups/{}/owners", _groups, body=st.builds(lambda n: {"users": [n]}, _names)),
)
BETWEEN = ("rita", "gro", "asta", "tina", "token1", "token2")
"""Those who may do something, but not everything: it is they who could make more of it."""
CALLERS = st.one_of(
    st.sampled_from(BETWEEN),
    st.sampled_from(BETWEEN),
    st.builds("{}{}".format, st.sampled_from(tuple(PEOPLE)), st.sampled_from(["", " at a browser"])),
)


@dataclass
class World:
    """A hub with all kinds of people, each with a token or a browser without presence."""

    site: Site
    callers: dict[str, Browser]
    known_tokens: set[str] = field(default_factory=set)

    async def powers(self) -> dict[str, set[Pair]]:
        """What everybody, and every token that is new since the last time, holds over whom now."""
        site = self.site
        powers: dict[str, set[Pair]] = {}
        async with site.store.reading() as unit:
            rows = await unit.users._db.rows(memberships.select())
            users = await unit.users.list(limit=500)
            token_ids = [row.id for row in await unit.users._db.rows(tokens.select())]
            new = [each for each in token_ids if each not in self.known_tokens]
            made = [token for each in new if (token := await unit.tokens.find(TokenId(each))) is not None]
        self.known_tokens |= set(token_ids)
        members = _members(rows)
        by_id = {user.id: user for user in users}
        for user in users:
            powers[user.id] = pairs(await site.auth.authority.grants_of(user), user.id, members)
        for token in made:
            owner = by_id[token.user_id]
            powers[token.id] = pairs(await site.auth.authority.grants_of_token(token, owner), owner.id, members)
        return powers

    async def power_of(self, caller: Browser) -> set[Pair]:
        """What a caller holds; at a browser without presence, only what is their own."""
        cookie = f"kernelhub={caller.cookies.get('kernelhub')}" if caller.cookies else ""
        identity = await self.site.auth.guard.identify(cookie, caller.headers.get("Authorization", ""), None, "", "")
        async with self.site.store.reading() as unit:
            rows = await unit.users._db.rows(memberships.select())
        own: set[Pair] = {(scope, identity.user.id) for scope in Scope}
        return own | pairs(identity.effective, identity.user.id, _members(rows))


def _members(rows: Sequence[Any]) -> dict[str, set[str]]:
    members: dict[str, set[str]] = {}
    for row in rows:
        members.setdefault(row.group_id, set()).add(row.user_id)
    return members


def pairs(grants: Grants, own: UserId, members: dict[str, set[str]]) -> set[Pair]:
    """Grants as pairs, groups spelled out, what is only one's own left out."""
    found: set[Pair] = set()
    for scope, reach in grants.held.items():
        if reach.everything:
            found.add((scope, ALL))
        if MEANING[scope][0] is Concerns.GROUPS:
            found |= {(scope, group) for group in reach.groups}
        else:
            found |= {(scope, user) for user in reach.users}
            found |= {(scope, user) for group in reach.groups for user in members.get(group, ())}
    return {(scope, whom) for scope, whom in found if whom != own}


@pytest.fixture
async def world(make_site: SiteMaker) -> World:
    limits = {"requests": 0, "requests_from_address": 0, "tokens": 0}
    site: Site = await make_site(roles=ROLES, rate_limits=limits)
    users: dict[str, User] = {}
    callers: dict[str, Browser] = {}
    for name, role in PEOPLE.items():
        users[name] = await site.auth.users.add(name, role, "test")
    async with site.store.unit() as unit:
        groups = {name: Group(GroupId(new_id()), name, site.clock.now()) for name in ("physics", "maths", "ops")}
        for group in groups.values():
            await unit.groups.add(group)
        for group_name, name, role in (
            *(("physics", "tina", MemberRole.OWNER), ("physics", "alice", MemberRole.MEMBER)),
            *(("maths", "otto", MemberRole.OWNER), ("maths", "alice", MemberRole.MEMBER)),
        ):
            await unit.groups.add_member(groups[group_name].id, users[name].id, role)
    lifetime = timedelta(days=9)
    for name, user in users.items():
        _, value = await site.auth.tokens.create(user, "t", lifetime, "test")
        callers[name] = site.browser(headers={"Authorization": f"token {value}"})
        _, secret = await site.auth.sign_ins.create(user, "", "")
        identity = await site.auth.guard.identify(f"kernelhub={secret}", "", None, "", "")
        browser = site.browser(cookies={"kernelhub": secret})
        browser.headers |= {"X-XSRFToken": identity.xsrf, "Origin": site.address}
        callers[f"{name} at a browser"] = browser
    for name, scopes in {
        "token1": ["admin:users", "tokens!user"],
        "token2": ["groups", "servers!group=physics"],
    }.items():
        kept = await site.auth.authority.read_scopes(scopes)
        _, value = await site.auth.tokens.create(users["root1"], "t", lifetime, "test", scopes=kept)
        callers[name] = site.browser(headers={"Authorization": f"token {value}"})
    return World(site, callers)


async def check(world: World, name: str, call: Call) -> None:
    """Perform a call, and hold what is new in anybody's hands against what the caller held."""
    caller = world.callers.get(name)
    if caller is None:
        return
    world.site.clock.advance(timedelta(seconds=3))
    before = await world.powers()
    held = await world.power_of(caller)
    answer = await caller.api(call.method, call.path, call.body)
    after = await world.powers()
    for holder, power in after.items():
        known = before.get(holder, set())
        new = {pair for pair in power - known if (pair[0], ALL) not in known}
        beyond = {pair for pair in new if pair not in held and (pair[0], ALL) not in held}
        assert not beyond, f"{name} {call} -> {answer.status}: {holder} got {sorted(beyond)[:5]}"


CLOSED: list[tuple[str, str, str, Any]] = [
    ("rita", "POST", "users/new1", {"admin": True}),
    ("rita", "POST", "users/new1", {"role": "ops"}),
    ("rita", "POST", "users", {"usernames": ["new1"], "admin": True}),
    ("rita", "PATCH", "users/rita", {"admin": True}),
    ("rita", "PATCH", "users/alice", {"role": "grouper"}),
    ("rita", "PATCH", "users/root2", {"disabled": True}),
    ("rita", "DELETE", "users/root2", None),
    ("rita", "POST", "users/rita/tokens", {"scopes": ["servers"]}),
    ("rita", "POST", "users/rita/tokens", {"scopes": ["admin:users", "shutdown"]}),
    ("rita", "POST", "users/alice/tokens", {}),
    ("rita", "POST", "users/root1/tokens", {}),
    ("gro", "POST", "groups/maths/owners", {"users": ["gro"]}),
    ("gro", "POST", "groups/physics/users", {"users": ["bob"]}),
    ("gro", "POST", "groups/ops/users", {"users": ["gro"]}),
    ("tina", "POST", "groups/physics/users", {"users": ["bob"]}),
    ("tina", "POST", "groups/physics/users", {"users": ["root1"]}),
    ("tina", "POST", "groups/maths/users", {"users": ["alice"]}),
    ("tina", "POST", "groups/physics/owners", {"users": ["alice"]}),
    ("tina", "POST", "users/tina/tokens", {"scopes": ["servers"]}),
    ("tina", "POST", "users/tina/tokens", {"scopes": ["servers!group=maths"]}),
    ("tina at a browser", "POST", "users/tina/tokens", {"scopes": ["servers!group=physics"]}),
    ("root1 at a browser", "POST", "users/root1/tokens", {"scopes": ["admin:users"]}),
    ("root1 at a browser", "POST", "users/root1/tokens", {"scopes": ["inherit"]}),
    ("root1 at a browser", "POST", "users/new1", {}),
    ("token1", "POST", "users/root1/tokens", {"scopes": ["inherit"]}),
    ("token1", "POST", "users/root1/tokens", {"scopes": ["servers"]}),
    ("token2", "POST", "groups/ops/users", {"users": ["alice"]}),
    ("asta", "POST", "groups/maths/users", {"users": ["alice"]}),
    ("gina", "POST", "users/gina/tokens", {}),
    ("alice", "PATCH", "users/alice", {"role": "admin"}),
    ("alice", "POST", "groups/fresh", {}),
]
"""Calls that would make more of somebody, by who tries."""


OPEN: list[tuple[str, str, str, Any, int]] = [
    ("rita", "POST", "users/new1", {}, 201),
    ("rita", "PATCH", "users/alice", {"role": "guest"}, 200),
    ("rita", "POST", "users/rita/tokens", {"scopes": ["list:users"]}, 201),
    ("tina", "POST", "users/tina/tokens", {"scopes": ["servers!group=physics", "servers!user=alice"]}, 201),
    ("tina at a browser", "POST", "users/tina/tokens", {"scopes": ["servers!user", "jupyter"]}, 201),
    ("token1", "POST", "users/root1/tokens", {}, 201),
    ("root1", "POST", "groups/ops/users", {"users": ["alice"]}, 200),
    ("root1", "POST", "groups/physics/owners", {"users": ["bob"]}, 200),
    ("gro", "POST", "groups/fresh", {}, 201),
]
"""Calls that give only what is held."""


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_ways_to_more_are_closed(world: World) -> None:
    before, open_ways = await world.powers(), []
    for name, method, path, body in CLOSED:
        answer = await world.callers[name].api(method, f"/hub/api/{path}", body)
        if answer.status != 403:
            open_ways.append(f"{name}: {method} {path} {body} -> {answer.status} {answer.text}")
    assert open_ways == []
    after = await world.powers()
    assert after == {holder: before[holder] for holder in after}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_renaming_a_group_to_one_that_gives_a_role_takes_that_role(world: World) -> None:
    async with world.site.store.unit() as unit:
        ops = await unit.groups.find_by_name("ops")
        assert ops is not None
        await unit.groups.delete(ops.id)
    assert (await world.callers["gro"].api("PATCH", "/hub/api/groups/maths", {"name": "ops"})).status == 403
    assert (await world.callers["root1"].api("PATCH", "/hub/api/groups/maths", {"name": "ops"})).status == 200


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_what_one_holds_can_be_given(world: World) -> None:
    for name, method, path, body, status in OPEN:
        answer = await world.callers[name].api(method, f"/hub/api/{path}", body)
        assert answer.status == status, f"{name} {path}: {answer.text}"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=CALLERS, call=API_CALLS)
async def test_no_call_gives_anybody_more_than_the_caller_holds(world: World, name: str, call: Call) -> None:
    await check(world, name, call)
