"""Sign-ins, tokens, passwords and invitations in the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hub.domain.ids import SignInId, TokenId, UserId, new_id
from hub.domain.users import ApiToken, Invitation, Role, SignIn, User
from hub.errors import Conflict
from hub.store.engine import Store
from hub.store.transaction import MAX_KEYS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def bob(store: Store) -> AsyncIterator[User]:
    async with store.unit() as unit:
        user = await unit.users.add("bob", Role.USER, NOW)
    yield user


def a_sign_in(user: User, name: str = "1", at: datetime = NOW) -> SignIn:
    return SignIn(SignInId(name), user.id, at, at, "10.0.0.1", "Firefox")


def a_token(user: User, name: str = "1") -> ApiToken:
    return ApiToken(TokenId(name), user.id, "laptop", ("kernels", "files:read"), NOW, NOW + HOUR)


async def test_a_sign_in_is_found_by_the_digest_of_its_cookie(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        await unit.sign_ins.add(a_sign_in(bob), b"digest")
    async with store.reading() as unit:
        assert await unit.sign_ins.find_by_digest(b"digest") == a_sign_in(bob)
        assert await unit.sign_ins.find_by_digest(b"other") is None
        assert await unit.sign_ins.find(SignInId("1")) == a_sign_in(bob)


async def test_a_digest_is_recorded_once(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        await unit.sign_ins.add(a_sign_in(bob), b"digest")
    with pytest.raises(Conflict):
        async with store.unit() as unit:
            await unit.sign_ins.add(a_sign_in(bob, "2"), b"digest")


async def test_user_agents_of_any_kind_are_recorded_harmless_and_cut(store: Store, bob: User) -> None:
    hostile = replace(a_sign_in(bob), user_agent="\0\x1b[2J\r\n\ud800\u202e" + "x" * 100_000)
    async with store.unit() as unit:
        await unit.sign_ins.add(hostile, b"digest")
        found = await unit.sign_ins.find(hostile.id)
    assert found is not None
    assert found.user_agent.startswith("\\x00\\x1b[2J\\r\\n\\ud800\\u202ex")
    assert len(found.user_agent) == 400


async def test_touching_remembers_when_and_from_where(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        await unit.sign_ins.add(a_sign_in(bob), b"digest")
        await unit.sign_ins.touch(SignInId("1"), NOW + HOUR, "10.0.0.2")
        assert await unit.sign_ins.find(SignInId("1")) == replace(
            a_sign_in(bob), last_seen_at=NOW + HOUR, address="10.0.0.2"
        )


async def test_sign_ins_are_listed_with_the_one_seen_last_first(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        for number in range(3):
            await unit.sign_ins.add(a_sign_in(bob, str(number), NOW + number * HOUR), bytes([number]))
        assert [sign_in.id for sign_in in await unit.sign_ins.list(bob.id)] == ["2", "1", "0"]


async def test_a_sign_in_is_revoked_once_and_stays_to_be_seen(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        await unit.sign_ins.add(a_sign_in(bob), b"digest")
        assert await unit.sign_ins.revoke(SignInId("1"), NOW)
        assert not await unit.sign_ins.revoke(SignInId("1"), NOW + HOUR)
        found = await unit.sign_ins.find_by_digest(b"digest")
    assert found is not None
    assert found.revoked_at == NOW


async def test_all_sign_ins_but_one_are_revoked_and_named(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        for name in ("1", "2", "3", "4"):
            await unit.sign_ins.add(a_sign_in(bob, name), name.encode())
        await unit.sign_ins.revoke(SignInId("4"), NOW)
        ended = await unit.sign_ins.revoke_all(bob.id, NOW + HOUR, except_id=SignInId("2"))
        assert sorted(ended) == ["1", "3"]
        assert await unit.sign_ins.live([SignInId(name) for name in "1234"]) == {"2"}
        assert await unit.sign_ins.revoke_all(bob.id, NOW + HOUR) == ["2"]


async def test_sign_ins_of_disabled_and_deleted_users_are_not_live(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        alice = await unit.users.add("alice", Role.USER, NOW)
        await unit.sign_ins.add(a_sign_in(bob, "b"), b"b")
        await unit.sign_ins.add(a_sign_in(alice, "a"), b"a")
        ids = [SignInId("a"), SignInId("b"), SignInId("unknown")]
        assert await unit.sign_ins.live(ids) == {"a", "b"}
        await unit.users.save(replace(alice, disabled_at=NOW))
        assert await unit.sign_ins.live(ids) == {"b"}
        await unit.users.delete(bob.id)
        assert await unit.sign_ins.live(ids) == set()


async def test_sign_ins_that_are_too_old_or_too_long_unused_are_not_live_where_the_asker_says_so(
    store: Store, bob: User
) -> None:
    ids = [SignInId("old"), SignInId("new")]
    async with store.unit() as unit:
        await unit.sign_ins.add(a_sign_in(bob, "old"), b"1")
        await unit.sign_ins.add(a_sign_in(bob, "new", NOW + HOUR), b"2")
        assert await unit.sign_ins.live(ids) == {"old", "new"}
        assert await unit.sign_ins.live(ids, created_after=NOW) == {"new"}
        assert await unit.sign_ins.live(ids, seen_after=NOW + HOUR) == set()
        await unit.sign_ins.touch(SignInId("old"), NOW + 2 * HOUR, "")
        assert await unit.sign_ins.live(ids, seen_after=NOW + HOUR) == {"old"}


async def test_more_ids_than_a_statement_takes_are_asked_for_in_parts(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        await unit.sign_ins.add(a_sign_in(bob), b"1")
        await unit.sign_ins.add(a_sign_in(bob, "zzz"), b"2")
        many = [SignInId(new_id()) for _ in range(3 * MAX_KEYS)]
        assert await unit.sign_ins.live([*many, SignInId("1"), SignInId("zzz")]) == {"1", "zzz"}
        assert await unit.sign_ins.live([]) == set()


async def test_old_sign_ins_are_pruned(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        await unit.sign_ins.add(a_sign_in(bob, "old"), b"1")
        await unit.sign_ins.add(a_sign_in(bob, "new", NOW + 3 * HOUR), b"2")
        await unit.sign_ins.add(a_sign_in(bob, "ended", NOW + 3 * HOUR), b"3")
        await unit.sign_ins.revoke(SignInId("ended"), NOW + HOUR)
        assert await unit.sign_ins.prune(NOW + 2 * HOUR) == 2
        assert [sign_in.id for sign_in in await unit.sign_ins.list(bob.id)] == ["new"]


async def test_a_token_is_found_by_the_digest_of_its_value(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        await unit.tokens.add(a_token(bob), b"digest")
        await unit.tokens.touch(TokenId("1"), NOW + HOUR)
    expected = replace(a_token(bob), last_used_at=NOW + HOUR)
    async with store.reading() as unit:
        assert await unit.tokens.find_by_digest(b"digest") == expected
        assert await unit.tokens.find(TokenId("1")) == expected
        assert await unit.tokens.find_by_digest(b"other") is None
        assert await unit.tokens.list(bob.id) == [expected]


async def test_tokens_are_live_until_they_expire_or_are_revoked_or_their_owner_is_disabled(
    store: Store, bob: User
) -> None:
    ids = [TokenId("1"), TokenId("2")]
    async with store.unit() as unit:
        for name in ids:
            await unit.tokens.add(a_token(bob, name), name.encode())
        assert await unit.tokens.live(ids, NOW) == {"1", "2"}
        assert await unit.tokens.live(ids, NOW + HOUR) == set()
        assert await unit.tokens.revoke(TokenId("1"), NOW)
        assert not await unit.tokens.revoke(TokenId("1"), NOW)
        assert await unit.tokens.live(ids, NOW) == {"2"}
        await unit.users.save(replace(bob, disabled_at=NOW))
        assert await unit.tokens.live(ids, NOW) == set()


async def test_a_password_is_set_changed_and_taken_away(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        assert await unit.passwords.find(bob.id) is None
        await unit.passwords.save(bob.id, "first", NOW)
        await unit.passwords.save(bob.id, "second", NOW)
        assert await unit.passwords.find(bob.id) == "second"
        assert await unit.passwords.delete(bob.id)
        assert not await unit.passwords.delete(bob.id)
        assert await unit.passwords.find(bob.id) is None


async def test_a_first_password_set_by_many_at_once_is_one_of_theirs(store: Store, bob: User) -> None:
    async def save(number: int) -> None:
        async with store.unit() as unit:
            await unit.passwords.save(bob.id, f"hash{number}", NOW)

    await asyncio.gather(*(save(number) for number in range(10)))
    async with store.reading() as unit:
        assert await unit.passwords.find(bob.id) in {f"hash{number}" for number in range(10)}


async def test_nobody_has_no_password(store: Store) -> None:
    with pytest.raises(Conflict):
        async with store.unit() as unit:
            await unit.passwords.save(UserId("nobody"), "hash", NOW)


async def test_an_invitation_is_taken_by_one_of_many_who_try_at_once(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        await unit.invitations.add(bob.id, "password", b"digest", NOW + HOUR)

    async def take() -> Invitation | None:
        async with store.unit() as unit:
            return await unit.invitations.take(b"digest", "password", NOW)

    taken = [invitation for invitation in await asyncio.gather(*(take() for _ in range(20))) if invitation]
    assert taken == [Invitation(bob.id, "password", NOW + HOUR, used_at=NOW)]


async def test_an_invitation_taken_in_a_unit_that_fails_can_be_taken_again(store: Store) -> None:
    async with store.unit() as unit:
        await unit.invitations.add(None, "first_admin", b"digest", NOW + HOUR)
    with pytest.raises(RuntimeError):
        async with store.unit() as unit:
            assert await unit.invitations.take(b"digest", "first_admin", NOW)
            raise RuntimeError("on purpose")
    async with store.unit() as unit:
        assert await unit.invitations.find(b"digest", "first_admin", NOW) == Invitation(None, "first_admin", NOW + HOUR)
        assert await unit.invitations.take(b"digest", "first_admin", NOW)


@pytest.mark.parametrize(
    ("digest", "purpose", "at"),
    [(b"other", "password", NOW), (b"digest", "first_admin", NOW), (b"digest", "password", NOW + HOUR)],
    ids=["another secret", "another purpose", "expired"],
)
async def test_an_invitation_is_for_one_secret_one_purpose_and_a_time(
    store: Store, bob: User, digest: bytes, purpose: str, at: datetime
) -> None:
    async with store.unit() as unit:
        await unit.invitations.add(bob.id, "password", b"digest", NOW + HOUR)
        assert await unit.invitations.find(digest, purpose, at) is None
        assert await unit.invitations.take(digest, purpose, at) is None


async def test_links_that_were_replaced_are_withdrawn_and_used_ones_are_kept(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        for digest in (b"1", b"2", b"3"):
            await unit.invitations.add(bob.id, "password", digest, NOW + HOUR)
        await unit.invitations.add(None, "password", b"4", NOW + HOUR)
        await unit.invitations.take(b"1", "password", NOW)
        assert await unit.invitations.withdraw(bob.id, "password") == 2
        assert await unit.invitations.find(b"4", "password", NOW)
        assert await unit.invitations.withdraw(None, "password") == 1
        assert await unit.invitations.prune(NOW + 2 * HOUR) == 1


async def test_everything_of_a_deleted_user_is_gone(store: Store, bob: User) -> None:
    async with store.unit() as unit:
        await unit.passwords.save(bob.id, "hash", NOW)
        await unit.sign_ins.add(a_sign_in(bob), b"1")
        await unit.tokens.add(a_token(bob), b"2")
        await unit.invitations.add(bob.id, "password", b"3", NOW + HOUR)
        await unit.users.delete(bob.id)
    async with store.reading() as unit:
        assert await unit.passwords.find(bob.id) is None
        assert await unit.sign_ins.find_by_digest(b"1") is None
        assert await unit.tokens.find_by_digest(b"2") is None
        assert await unit.invitations.find(b"3", "password", NOW) is None
