"""Scopes, what they include, and that no cut or comparison ever gives more than both sides hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.ids import GroupId, UserId
from hub.domain.permissions import EVERYTHING, NOBODY, Grants, Reach, granted
from hub.domain.roles import built_in_grants, own_grants, owner_grants, resolved
from hub.domain.scopes import (
    INCLUDES,
    MEANING,
    OWN_ONLY,
    Concerns,
    Filter,
    InvalidScope,
    Scope,
    ScopeText,
    parse_scope,
    with_included,
)
from hub.domain.users import Role

ALICE, BOB, EVE = UserId("a"), UserId("b"), UserId("e")
PHYSICS, MATHS = GroupId("p"), GroupId("m")
MEMBERS = {ALICE: frozenset({PHYSICS}), BOB: frozenset({PHYSICS, MATHS}), EVE: frozenset[GroupId]()}

reaches = st.one_of(
    st.just(EVERYTHING),
    st.builds(
        Reach,
        users=st.frozensets(st.sampled_from([ALICE, BOB, EVE])),
        groups=st.frozensets(st.sampled_from([PHYSICS, MATHS])),
    ),
)
grants = st.builds(Grants, st.dictionaries(st.sampled_from(list(Scope)), reaches, max_size=4))


def test_every_scope_says_what_it_is_about_and_what_it_permits() -> None:
    assert set(MEANING) == set(Scope)


def test_what_is_included_is_about_the_same_or_is_a_part_of_oneself() -> None:
    for scope, included in INCLUDES.items():
        assert all(MEANING[each][0] is MEANING[scope][0] for each in included)


def test_scopes_include_what_those_include() -> None:
    assert Scope.READ_USERS_NAME in with_included(Scope.ADMIN_USERS)
    assert Scope.TOKENS not in with_included(Scope.ADMIN_USERS)


@pytest.mark.parametrize(
    "text", ["self", "servers", "servers!user", "servers!user=alice", "groups!group=physics", "read:users!group=x y"]
)
def test_a_scope_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_scope(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "everything", "Servers", "servers!", "servers!user=", "servers!group", "servers!group=", "servers!=x"),
        *("servers!server=alice/x", "shutdown!user", "read:audit!group=x", "groups!user=alice", "groups!user"),
        *("self!user=bob", "jupyter!group=physics", "servers!user=a\n", "servers" + "!" * 300, "servers!team=x"),
    ],
)
def test_anything_else_is_no_scope(text: str) -> None:
    with pytest.raises(InvalidScope):
        parse_scope(text)


def test_nobody_has_anothers_jupyter() -> None:
    every = built_in_grants(Role.ADMIN, ALICE)
    for scope in OWN_ONLY:
        assert every.reach(scope) == Reach(users=frozenset({ALICE}))
    assert every.reach(Scope.ADMIN_USERS) == EVERYTHING


def test_members_hold_what_is_their_own_and_guests_no_tokens() -> None:
    member, guest = own_grants(Role.USER, ALICE), own_grants(Role.GUEST, ALICE)
    assert all(reach == Reach(users=frozenset({ALICE})) for reach in member.held.values())
    assert member.reach(Scope.TOKENS)
    assert not guest.reach(Scope.TOKENS)
    assert not guest.reach(Scope.READ_TOKENS)
    assert guest.is_within(member)


def test_an_unknown_role_is_a_members() -> None:
    assert built_in_grants("of-last-year", ALICE) == own_grants(Role.USER, ALICE)


def test_an_owner_reaches_their_group_and_no_other() -> None:
    owner = owner_grants([PHYSICS], EVE)
    assert owner.reach(Scope.DELETE_SERVERS).has_user(ALICE, MEMBERS[ALICE])
    assert not owner.reach(Scope.DELETE_SERVERS).has_user(EVE, MEMBERS[EVE])
    assert owner.reach(Scope.GROUPS).has_group(PHYSICS)
    assert not owner.reach(Scope.GROUPS).has_group(MATHS)
    for absent in (Scope.TOKENS, Scope.ADMIN_USERS, Scope.VIEW_USERS, Scope.JUPYTER, Scope.DELETE_GROUPS):
        assert not owner.reach(absent)


def test_a_user_is_within_a_group_only_if_that_is_known() -> None:
    one, group = granted([parse_scope("servers!user=a")], EVE), granted([parse_scope("servers!group=p")], EVE)
    assert one.is_within(group, MEMBERS)
    assert not one.is_within(group)
    assert one.cut(group, MEMBERS).reach(Scope.SERVERS) == Reach(users=frozenset({ALICE}))
    assert not one.cut(group).held


def test_different_groups_have_nothing_in_common() -> None:
    physics, maths = Reach(groups=frozenset({PHYSICS})), Reach(groups=frozenset({MATHS}))
    assert physics.cut(maths, MEMBERS) == NOBODY


def test_names_that_nobody_has_grant_nothing() -> None:
    texts = [parse_scope("servers!user=gone"), parse_scope("groups!group=gone"), parse_scope("read:users!user=bob")]
    assert resolved(texts, {"bob": BOB}, {}) == [ScopeText(Scope.READ_USERS, Filter("user", BOB))]


@given(grants, grants)
def test_a_cut_is_within_both(one: Grants, other: Grants) -> None:
    cut = one.cut(other, MEMBERS)
    assert cut.is_within(one, MEMBERS)
    assert cut.is_within(other, MEMBERS)


@given(grants, grants)
def test_both_are_within_what_they_join_to(one: Grants, other: Grants) -> None:
    assert one.is_within(one.join(other), MEMBERS)
    assert other.is_within(one.join(other), MEMBERS)


@given(grants, grants, st.sampled_from(list(Scope)), st.sampled_from([ALICE, BOB, EVE]))
def test_a_cut_permits_nothing_that_either_does_not(one: Grants, other: Grants, scope: Scope, user: UserId) -> None:
    groups = MEMBERS[user]
    both = one.reach(scope).has_user(user, groups) and other.reach(scope).has_user(user, groups)
    assert not one.cut(other, MEMBERS).reach(scope).has_user(user, groups) or both


@given(grants, grants, grants)
def test_within_is_transitive(one: Grants, two: Grants, three: Grants) -> None:
    if one.is_within(two, MEMBERS) and two.is_within(three, MEMBERS):
        assert one.cut(three, MEMBERS).is_within(one, MEMBERS)


def test_scopes_about_the_hub_have_no_reach_over_some() -> None:
    assert {scope for scope in Scope if MEANING[scope][0] is Concerns.HUB}.isdisjoint(own_grants(Role.USER, ALICE).held)
