"""Who comes by a provider is found by issuer and subject alone, and gets nothing that was another's."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hub.auth.arrivals import Assertion, suggested_username
from hub.auth.assemble import Auth
from hub.domain.users import Role, User
from hub.errors import BadRequest, Conflict, NotAdmitted
from hub.store.engine import Store

ADA = Assertion("uni", "https://id.example.edu", "ada-1", "Ada.Lovelace", "Ada Lovelace", "ada@example.edu")


async def groups_of(store: Store, user: User) -> dict[str, str]:
    async with store.reading() as unit:
        return {group.name: group.source for group in await unit.groups.list_for(user.id)}


async def test_a_new_person_gets_an_account_and_finds_it_again(auth: Auth, store: Store) -> None:
    user = await auth.arrivals.arrive(ADA, "192.0.2.1")
    assert user.name == "ada.lovelace"
    again = await auth.arrivals.arrive(replace(ADA, suggested_name="renamed", email="other@example.edu"))
    assert again.id == user.id
    async with store.reading() as unit:
        [event] = await unit.audit.list(action_prefix="user.added")
    assert event.actor == "provider:uni"


async def test_a_name_that_is_taken_is_never_taken_over(auth: Auth) -> None:
    local = await auth.users.add("ada.lovelace", Role.ADMIN, "test")
    arrived = await auth.arrivals.arrive(ADA)
    assert (arrived.id != local.id, arrived.name, arrived.role) == (True, "ada.lovelace2", "user")


async def test_the_same_subject_of_another_issuer_is_somebody_else(auth: Auth) -> None:
    first = await auth.arrivals.arrive(ADA)
    second = await auth.arrivals.arrive(replace(ADA, issuer="https://id.example.edu.evil"))
    assert first.id != second.id


async def test_many_who_arrive_at_once_are_one_person(auth: Auth) -> None:
    arrived = await asyncio.gather(*(auth.arrivals.arrive(ADA) for _ in range(8)))
    assert len({user.id for user in arrived}) == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ada Lovelace", "ada-lovelace"),
        ("Zoë Müller", "zoe-muller"),
        ("../../etc/passwd", "etc-passwd"),
        ("hub", "hub"),
        ("李雷", "user"),
        ("", "user"),
        ("x" * 5000, "x" * 56),
        ("a\u202eb\u200bc", "a-b-c"),
        ("-rf", "rf"),
    ],
)
def test_any_text_makes_a_name(text: str, name: str) -> None:
    assert suggested_username(text) == name


async def test_a_reserved_name_gets_a_number(auth: Auth) -> None:
    assert (await auth.arrivals.arrive(replace(ADA, suggested_name="hub"))).name == "hub2"


async def test_strangers_are_refused_where_the_settings_say_so(auth: Auth, store: Store) -> None:
    with pytest.raises(NotAdmitted):
        await auth.arrivals.arrive(ADA, may_be_new=False)
    assert await auth.users.count() == 0
    async with store.reading() as unit:
        assert len(await unit.audit.list(action_prefix="sign_in.refused")) == 1


async def test_a_disabled_person_stays_out_and_leaves_a_line(auth: Auth, store: Store) -> None:
    user = await auth.arrivals.arrive(ADA)
    await auth.users.disable(user, "test")
    with pytest.raises(NotAdmitted):
        await auth.arrivals.arrive(replace(ADA, groups={"staff": "owner"}))
    assert await groups_of(store, user) == {}
    async with store.reading() as unit:
        assert len(await unit.audit.list(action_prefix="sign_in.refused")) == 1


async def test_groups_follow_what_the_provider_says(auth: Auth, store: Store) -> None:
    user = await auth.arrivals.arrive(replace(ADA, groups={"physics": "member", "tutors": "owner"}))
    assert await groups_of(store, user) == {"physics": "uni", "tutors": "uni"}
    await auth.arrivals.arrive(replace(ADA, groups={"physics": "member"}))
    assert await groups_of(store, user) == {"physics": "uni"}
    await auth.arrivals.arrive(ADA)  # says nothing about groups
    await auth.arrivals.arrive(replace(ADA, groups={"art": "member"}, leave_other_groups=True))
    assert await groups_of(store, user) == {"physics": "uni", "art": "uni"}


async def test_no_provider_fills_the_hubs_own_groups_unless_the_settings_name_them(auth: Auth, store: Store) -> None:
    await auth.groups.create("ops", "root")
    user = await auth.arrivals.arrive(replace(ADA, groups={"ops": "owner"}))
    assert await groups_of(store, user) == {}, "a name that happens to match"
    await auth.arrivals.arrive(replace(ADA, groups={"ops": "owner"}, hub_groups=True))
    assert await groups_of(store, user) == {"ops": "hub"}


async def test_no_provider_fills_the_groups_of_another_or_takes_from_what_people_made(auth: Auth, store: Store) -> None:
    user = await auth.arrivals.arrive(replace(ADA, groups={"course": "member"}))
    other = replace(ADA, provider="lms", issuer="https://lms.example", subject="7")
    stranger = await auth.arrivals.arrive(replace(other, groups={"course": "owner"}))
    assert await groups_of(store, stranger) == {}
    await auth.arrivals.link(user, replace(other, subject="8"))
    await auth.arrivals.arrive(replace(other, subject="8", groups={}))
    assert await groups_of(store, user) == {"course": "uni"}


async def test_the_last_administrator_stays_one_whatever_a_provider_says(auth: Auth) -> None:
    user = await auth.arrivals.arrive(replace(ADA, role="admin"))
    assert user.role == "admin"
    assert (await auth.arrivals.arrive(replace(ADA, role="user"))).role == "admin"
    await auth.users.add("root", Role.ADMIN, "test")
    assert (await auth.arrivals.arrive(replace(ADA, role="user"))).role == "user"


async def test_an_identity_belongs_to_one_account(auth: Auth) -> None:
    ada, bob = await auth.arrivals.arrive(ADA), await auth.users.add("bob", Role.USER, "test")
    with pytest.raises(Conflict):
        await auth.arrivals.link(bob, ADA)
    await auth.arrivals.link(bob, replace(ADA, subject="bob-1"))
    assert (await auth.arrivals.arrive(replace(ADA, subject="bob-1"))).id == bob.id
    with pytest.raises(Conflict):
        await auth.arrivals.unlink(ada, ADA.issuer, ADA.subject, ada.id)
    await auth.passwords.set(ada, "four quiet purple otters", "test")
    await auth.arrivals.unlink(ada, ADA.issuer, ADA.subject, ada.id)
    assert (await auth.arrivals.arrive(ADA)).id != ada.id


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": ""},
        {"subject": ""},
        {"subject": "x" * 5000},
        {"provider": "hub"},
        {"groups": {"a": "god"}},
        {"groups": {"a\nb": "member"}},
        {"groups": {str(n): "member" for n in range(2000)}},
        {"display_name": "x" * 5000},
    ],
)
async def test_an_assertion_that_cannot_be_kept_is_refused(auth: Auth, change: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        await auth.arrivals.arrive(replace(ADA, **change))  # type: ignore[arg-type]


async def test_a_providers_logout_ends_the_sign_ins_it_is_about(auth: Auth) -> None:
    user = await auth.arrivals.arrive(ADA)
    first, _ = await auth.sign_ins.create(user, "", "", assertion=replace(ADA, sid="s1"))
    second, _ = await auth.sign_ins.create(user, "", "", assertion=replace(ADA, sid="s2"))
    local, _ = await auth.sign_ins.create(user, "", "")
    assert await auth.sign_ins.revoke_provided(ADA.issuer, sid="s1") == 1
    assert await auth.sign_ins.live({first.id, second.id, local.id}) == {second.id, local.id}
    assert await auth.sign_ins.revoke_provided(ADA.issuer, subject=ADA.subject) == 1
    assert await auth.sign_ins.revoke_provided(ADA.issuer) == 0
    assert await auth.sign_ins.live({second.id, local.id}) == {local.id}
