"""Users are who they are (T-ID), the last administrator stays, tokens have an end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from hub.auth.assemble import Auth
from hub.auth.tokens import MAX_LIVE_TOKENS, parse_lifetime
from hub.domain.ids import SignInId, TokenId
from hub.domain.users import Role
from hub.errors import BadRequest, Conflict, HubError, NotFound
from hub.store.engine import Store
from proxy.kit.clock import ManualClock


@pytest.mark.parametrize("twin", ["Bob", "BOB", "ｂｏｂ", "ⓑⓞⓑ"])
async def test_two_spellings_of_a_name_are_one_user(auth: Auth, twin: str) -> None:
    bob = await auth.users.add("bob", Role.USER, "test")
    with pytest.raises(Conflict):
        await auth.users.add(twin, Role.USER, "test")
    assert (await auth.users.get(twin)).id == bob.id
    assert await auth.users.count() == 1


@pytest.mark.parametrize(
    "name",
    [
        "bob\u200b",
        "\u202ebob",
        "adm\u0131n",
        "а\u0430dmin",
        "a%2fb",
        "a%252fb",
        "a b",
        "a/b",
        "a\\b",
        "..",
        ".",
        "%2e%2e",
        "bob\n",
        "bob\x00",
        "user\t",
        "-rf",
        "x" * 65,
        "x" * 5000,
        "",
        "hub",
        "\udcff",
    ],
)
async def test_an_impossible_name_makes_no_user_and_finds_none(auth: Auth, name: str) -> None:
    with pytest.raises(BadRequest):
        await auth.users.add(name, Role.USER, "test")
    with pytest.raises(NotFound):
        await auth.users.get(name)
    assert await auth.users.count() == 0


async def test_names_that_only_look_related_are_different_users(auth: Auth) -> None:
    names = ["a+b", "a-b", "a-2db", "a.b", "a@b", "ab", "x" * 63, "x" * 64]
    users = [await auth.users.add(name, Role.USER, "test") for name in names]
    assert len({user.id for user in users}) == len({user.number for user in users}) == len(names)


async def test_the_last_administrator_can_neither_go_nor_be_demoted_nor_barred(auth: Auth) -> None:
    root = await auth.users.add("root1", Role.ADMIN, "test")
    gone = await auth.users.add("gone", Role.ADMIN, "test")
    await auth.users.disable(gone, "test")
    for act in (
        auth.users.disable(root, "test"),
        auth.users.delete(root, "test"),
        auth.users.set_role(root, Role.USER, "test"),
    ):
        with pytest.raises(Conflict, match="last administrator"):
            await act
    await auth.users.delete(gone, "test")
    await auth.users.add("second", Role.ADMIN, "test")
    await auth.users.set_role(root, Role.USER, "test")


async def test_two_administrators_who_bar_each_other_at_once_do_not_both_succeed(auth: Auth, store: Store) -> None:
    one = await auth.users.add("one", Role.ADMIN, "test")
    two = await auth.users.add("two", Role.ADMIN, "test")
    acts = [auth.users.disable(one, "test"), auth.users.disable(two, "test")]
    results = await asyncio.gather(*acts, return_exceptions=True)
    assert all(result is None or isinstance(result, HubError | type(one)) for result in results)
    async with store.reading() as unit:
        assert await unit.users.count_admins() >= 1


async def test_changes_are_in_the_audit_log_with_who_made_them(auth: Auth, store: Store) -> None:
    root = await auth.users.add("root1", Role.ADMIN, "cli")
    bob = await auth.users.add("bob", Role.USER, root.id, "192.0.2.1")
    await auth.users.disable(bob, root.id)
    await auth.users.enable(bob, root.id)
    await auth.users.set_role(bob, Role.ADMIN, root.id)
    await auth.users.delete(bob, root.id)
    async with store.reading() as unit:
        events = await unit.audit.list(subject=bob.id)
    assert [event.action for event in reversed(events)] == [
        "user.added",
        "user.disabled",
        "user.enabled",
        "user.role_changed",
        "user.deleted",
    ]
    assert {event.actor for event in events} == {root.id}
    assert events[-1].address == "192.0.2.1"


@pytest.mark.parametrize(
    ("text", "span"),
    [("30d", timedelta(days=30)), ("12h", timedelta(hours=12)), ("90m", timedelta(minutes=90)), ("2w", timedelta(14))],
)
def test_a_lifetime_is_a_number_and_a_unit(text: str, span: timedelta) -> None:
    assert parse_lifetime(text) == span


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 d", "30d\n", "٣d", "1y", "99999999d", "1e400"])
def test_anything_else_is_no_lifetime(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_lifetime(text)


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=-1), timedelta(days=91), timedelta.max])
async def test_a_token_without_an_end_in_sight_is_not_made(auth: Auth, lifetime: timedelta) -> None:
    user = await auth.users.add("alice", Role.USER, "test")
    with pytest.raises(BadRequest):
        await auth.tokens.create(user, "t", lifetime, "test")


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "\x1b[2J"])
async def test_a_token_has_a_name_that_can_be_shown(auth: Auth, name: str) -> None:
    user = await auth.users.add("alice", Role.USER, "test")
    with pytest.raises(BadRequest):
        await auth.tokens.create(user, name, timedelta(days=1), "test")


async def test_tokens_are_listed_while_they_live_and_belong_to_one_user(auth: Auth, clock: ManualClock) -> None:
    alice = await auth.users.add("alice", Role.USER, "test")
    bob = await auth.users.add("bob", Role.USER, "test")
    first, _ = await auth.tokens.create(alice, "first", timedelta(days=1), "test")
    clock.advance(timedelta(seconds=1))
    second, _ = await auth.tokens.create(alice, "second", timedelta(days=2), "test")
    assert [token.name for token in await auth.tokens.list(alice)] == ["second", "first"]
    for user, token_id in ((bob, first.id), (alice, TokenId("unknown"))):
        with pytest.raises(NotFound):
            await auth.tokens.revoke(user, token_id, "test")
    await auth.tokens.revoke(alice, second.id, "test")
    clock.advance(timedelta(days=1))
    assert await auth.tokens.list(alice) == []
    assert await auth.tokens.live([first.id, second.id]) == set()


async def test_nobody_piles_tokens_up_without_end(auth: Auth) -> None:
    user = await auth.users.add("alice", Role.USER, "test")
    for number in range(MAX_LIVE_TOKENS):
        await auth.tokens.create(user, f"t{number}", timedelta(days=1), "test")
    with pytest.raises(Conflict):
        await auth.tokens.create(user, "one more", timedelta(days=1), "test")


async def test_a_sign_in_is_ended_by_its_own_user_only(auth: Auth) -> None:
    alice = await auth.users.add("alice", Role.USER, "test")
    bob = await auth.users.add("bob", Role.USER, "test")
    sign_in, _ = await auth.sign_ins.create(alice, "", "")
    for user, sign_in_id in ((bob, sign_in.id), (alice, SignInId("unknown"))):
        with pytest.raises(NotFound):
            await auth.sign_ins.revoke(user, sign_in_id)
    assert await auth.sign_ins.live([sign_in.id]) == {sign_in.id}
    await auth.sign_ins.revoke(alice, sign_in.id)
    assert await auth.sign_ins.live([sign_in.id]) == set()
    assert await auth.sign_ins.list(alice) == []


@pytest.mark.parametrize(("step", "steps"), [(timedelta(hours=8), 1), (timedelta(hours=7), 24)])
async def test_a_sign_in_that_is_too_old_holds_no_socket_open(
    auth: Auth, clock: ManualClock, step: timedelta, steps: int
) -> None:
    alice = await auth.users.add("alice", Role.USER, "test")
    sign_in, secret = await auth.sign_ins.create(alice, "", "")
    for _ in range(steps):
        assert await auth.sign_ins.live([sign_in.id]) == {sign_in.id}
        clock.advance(step)
        await asyncio.gather(auth.guard.identify(f"kernelhub={secret}", "", None, "", ""), return_exceptions=True)
    assert await auth.sign_ins.live([sign_in.id]) == set()


async def test_no_secret_is_in_the_database(auth: Auth, store: Store) -> None:
    alice = await auth.users.add("alice", Role.USER, "test")
    await auth.passwords.set(alice, "four quiet purple otters", "test")
    _, secret = await auth.sign_ins.create(alice, "", "")
    _, value = await auth.tokens.create(alice, "t", timedelta(days=1), "test")
    link = await auth.invitations.create_for(alice, "test")
    async with store.reading() as unit:
        rows = []
        for table in ("users", "passwords", "sign_ins", "tokens", "invitations", "audit_events"):
            rows += await unit.users._db.rows(text(f"SELECT * FROM {table}"))
    stored = repr([tuple(row) for row in rows])
    for each in ("four quiet purple otters", secret, value, link):
        assert each not in stored
