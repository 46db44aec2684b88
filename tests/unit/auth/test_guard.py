"""The guard turns credentials into identities, and stops at once when they are revoked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from hub.auth.assemble import Auth, make_auth
from hub.auth.digests import new_token_value
from hub.auth.identity import Credential, Identity
from hub.auth.recent import LIFETIME_SECONDS
from hub.config import Settings
from hub.domain.ids import SignInId
from hub.domain.users import Role, User
from hub.errors import NotSignedIn, StoreUnavailable
from hub.store.engine import Store
from proxy.kit.clock import ManualClock


@pytest.fixture
async def alice(auth: Auth) -> User:
    return await auth.users.add("alice", Role.USER, "test")


@pytest.fixture
async def other_hub(store: Store, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Auth]:
    """A second hub, or the command line, on the same database."""
    made = make_auth(Settings(data_dir=tmp_path), store, clock)
    yield made
    await made.close()


async def by_cookie(auth: Auth, secret: str) -> Identity:
    return await auth.guard.identify(f"kernelhub={secret}", "", None, "192.0.2.1", "test")


async def by_token(auth: Auth, value: str, scheme: str = "token") -> Identity:
    return await auth.guard.identify("", f"{scheme} {value}", None, "192.0.2.1", "test")


async def test_a_cookie_gives_user_sign_in_and_form_token(auth: Auth, alice: User) -> None:
    sign_in, secret = await auth.sign_ins.create(alice, "192.0.2.1", "Firefox")
    identity = await by_cookie(auth, secret)
    assert identity.user.id == alice.id
    assert identity.principal == sign_in.id
    assert identity.credential is Credential.COOKIE
    assert identity.xsrf == sign_in.form_token


@pytest.mark.parametrize("scheme", ["token", "Token", "Bearer", "bearer", "BEARER "])
async def test_a_token_counts_in_both_schemes(auth: Auth, alice: User, scheme: str) -> None:
    token, value = await auth.tokens.create(alice, "t", timedelta(days=1), "test")
    identity = await by_token(auth, value, scheme)
    assert (identity.principal, identity.credential, identity.xsrf) == (token.id, Credential.TOKEN, "")


async def test_a_token_in_the_address_counts_only_where_it_is_handed_over(auth: Auth, alice: User) -> None:
    _, value = await auth.tokens.create(alice, "t", timedelta(days=1), "test")
    assert (await auth.guard.identify("", "", value, "", "")).user.id == alice.id


async def test_a_wrong_token_is_refused_beside_a_good_cookie(auth: Auth, alice: User) -> None:
    _, secret = await auth.sign_ins.create(alice, "", "")
    with pytest.raises(NotSignedIn):
        await auth.guard.identify(f"kernelhub={secret}", f"token {new_token_value()}", None, "", "")


async def test_a_gateways_own_credentials_are_not_ours(auth: Auth, alice: User) -> None:
    _, secret = await auth.sign_ins.create(alice, "", "")
    assert await auth.guard.identify(f"kernelhub={secret}", "Basic dTpw", None, "", "")


@pytest.mark.parametrize("value", ["", "x", "A" * 43, "x" * 9000])
async def test_anything_else_is_nobody(auth: Auth, alice: User, value: str) -> None:
    with pytest.raises(NotSignedIn):
        await by_cookie(auth, value)


async def test_what_is_revoked_here_ends_at_once(auth: Auth, alice: User) -> None:
    sign_in, secret = await auth.sign_ins.create(alice, "", "")
    token, value = await auth.tokens.create(alice, "t", timedelta(days=1), "test")
    await by_cookie(auth, secret)
    await by_token(auth, value)
    await auth.sign_ins.revoke(alice, sign_in.id)
    await auth.tokens.revoke(alice, token.id, "test")
    with pytest.raises(NotSignedIn):
        await by_cookie(auth, secret)
    with pytest.raises(NotSignedIn):
        await by_token(auth, value)


async def test_what_another_hub_revokes_ends_within_two_seconds(
    auth: Auth, other_hub: Auth, alice: User, clock: ManualClock
) -> None:
    sign_in, secret = await auth.sign_ins.create(alice, "", "")
    await by_cookie(auth, secret)
    await other_hub.sign_ins.revoke(alice, sign_in.id)
    clock.advance(timedelta(seconds=LIFETIME_SECONDS))
    with pytest.raises(NotSignedIn):
        await by_cookie(auth, secret)


@pytest.mark.parametrize("act", ["disable", "delete", "password", "all"])
async def test_every_way_of_barring_somebody_ends_their_sign_ins(auth: Auth, alice: User, act: str) -> None:
    _, secret = await auth.sign_ins.create(alice, "", "")
    await by_cookie(auth, secret)
    match act:
        case "disable":
            await auth.users.disable(alice, "test")
        case "delete":
            await auth.users.delete(alice, "test")
        case "password":
            await auth.passwords.set(alice, "four quiet purple otters", "test")
        case "all":
            assert await auth.sign_ins.revoke_all(alice.id, "test") == 1
    with pytest.raises(NotSignedIn):
        await by_cookie(auth, secret)


async def test_a_disabled_users_tokens_are_refused_and_come_back_with_the_user(auth: Auth, alice: User) -> None:
    _, value = await auth.tokens.create(alice, "t", timedelta(days=1), "test")
    await auth.users.disable(alice, "test")
    with pytest.raises(NotSignedIn):
        await by_token(auth, value)
    await auth.users.enable(alice, "test")
    assert await by_token(auth, value)


async def test_a_new_user_of_the_same_name_has_none_of_the_old_ones_credentials(auth: Auth, alice: User) -> None:
    _, secret = await auth.sign_ins.create(alice, "", "")
    _, value = await auth.tokens.create(alice, "t", timedelta(days=1), "test")
    link = await auth.invitations.create_for(alice, "test")
    await auth.users.delete(alice, "test")
    again = await auth.users.add("alice", Role.USER, "test")
    assert (again.id, again.number) != (alice.id, alice.number)
    assert again.number != alice.number
    for attempt in (by_cookie(auth, secret), by_token(auth, value)):
        with pytest.raises(NotSignedIn):
            await attempt
    with pytest.raises(Exception, match="link"):
        await auth.invitations.invited(link)


async def test_a_change_of_role_counts_at_once(auth: Auth, alice: User) -> None:
    _, secret = await auth.sign_ins.create(alice, "", "")
    assert not (await by_cookie(auth, secret)).is_admin
    await auth.users.set_role(alice, Role.ADMIN, "test")
    assert (await by_cookie(auth, secret)).with_presence().is_admin


async def test_a_token_ends_when_it_says(auth: Auth, alice: User, clock: ManualClock) -> None:
    _, value = await auth.tokens.create(alice, "t", timedelta(seconds=90), "test")
    clock.advance(timedelta(seconds=89))
    await by_token(auth, value)
    clock.advance(timedelta(seconds=2))
    with pytest.raises(NotSignedIn):
        await by_token(auth, value)


async def test_use_is_recorded_once_a_minute(auth: Auth, alice: User, clock: ManualClock, store: Store) -> None:
    sign_in, secret = await auth.sign_ins.create(alice, "192.0.2.9", "")
    token, value = await auth.tokens.create(alice, "t", timedelta(days=1), "test")
    seen = []
    for _ in range(7):
        clock.advance(timedelta(seconds=20))
        await by_cookie(auth, secret)
        await by_token(auth, value)
        async with store.reading() as unit:
            found, used = await unit.sign_ins.find(sign_in.id), await unit.tokens.find(token.id)
        assert found is not None
        assert used is not None
        seen.append((found.last_seen_at, used.last_used_at))
    assert len({first for first, _ in seen}) == 3
    assert len({second for _, second in seen}) == 3
    assert found.address == "192.0.2.1"


async def test_a_database_that_fails_to_record_use_signs_nobody_out(
    auth: Auth, alice: User, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = await auth.sign_ins.create(alice, "", "")
    clock.advance(timedelta(minutes=5))

    async def refuse(*_: object) -> None:
        raise StoreUnavailable("The database is read-only.")

    monkeypatch.setattr(auth.sign_ins, "touch", refuse)
    assert await by_cookie(auth, secret)


async def test_a_revocation_during_the_question_is_not_overtaken_by_the_cache(
    auth: Auth, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in, secret = await auth.sign_ins.create(alice, "", "")
    find = auth.sign_ins.find

    async def find_then_revoked(digest: bytes) -> object:
        found = await find(digest)
        await auth.sign_ins.revoke(alice, SignInId(sign_in.id))
        return found

    monkeypatch.setattr(auth.sign_ins, "find", find_then_revoked)
    await by_cookie(auth, secret)
    monkeypatch.undo()
    with pytest.raises(NotSignedIn):
        await by_cookie(auth, secret)
