"""S2 of the scoreboard: a thousand wrong passwords, over many addresses and accounts, and a restart in their midst."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from argon2.exceptions import VerifyMismatchError

from hub.auth import passwords as module
from hub.auth.assemble import Auth, make_auth
from hub.auth.throttle import MAX_ROWS, Kind
from hub.config import Settings
from hub.domain.users import Role, User
from hub.errors import TooManyRequests, WrongPassword
from hub.store.engine import Store
from proxy.kit.clock import ManualClock

GOOD = "four quiet purple otters"
HOME = "192.0.2.1"


@pytest.fixture
async def alice(auth: Auth) -> User:
    user = await auth.users.add("alice", Role.USER, "test")
    await auth.passwords.set(user, GOOD, "test")
    return user


async def guess(auth: Auth, account: str, address: str) -> str:
    """What a wrong password is answered with."""
    try:
        await auth.passwords.check(account, "wrong wrong wrong", address)
    except WrongPassword:
        return "looked at"
    except TooManyRequests:
        return "throttled"
    raise AssertionError("it was right")


async def test_a_thousand_guesses_are_throttled_and_nobody_is_locked_out(
    auth: Auth, alice: User, store: Store, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(stored: str, password: str) -> bool:
        raise VerifyMismatchError

    await auth.sign_ins.create(alice, HOME, "Firefox")
    with monkeypatch.context() as quick:  # the guesses' number is what matters here, not their price
        quick.setattr(type(module.HASHER), "verify", staticmethod(wrong))
        outcomes = [await guess(auth, ("alice", f"user{n % 20}")[n % 2], f"198.51.100.{n % 50}") for n in range(1000)]
        assert outcomes.count("looked at") < 250
        restarted = make_auth(Settings(data_dir=tmp_path), store, clock)
        after = [await guess(restarted, "alice", f"203.0.113.{n}") for n in range(50)]
        assert after == ["throttled"] * 50, "a restart forgives nobody"
    assert (await restarted.passwords.check("alice", GOOD, HOME)).id == alice.id, "the owner, where she was before"
    clock.advance(timedelta(seconds=Kind.ACCOUNT.value.longest_seconds))
    assert (await restarted.passwords.check("alice", GOOD, "203.0.113.200")).id == alice.id, "and in a minute anywhere"
    async with store.reading() as unit:
        refused = await unit.audit.list(limit=2000, action_prefix="sign_in.refused")
        throttled = await unit.audit.list(limit=2000, action_prefix="sign_in.throttled")
    assert len(refused) == outcomes.count("looked at")
    assert throttled
    assert "wrong wrong" not in repr(refused + throttled)
    await restarted.close()


async def test_another_hub_counts_on(auth: Auth, alice: User, store: Store, clock: ManualClock, tmp_path: Path) -> None:
    other = make_auth(Settings(data_dir=tmp_path), store, clock)
    outcomes = [await guess((auth, other)[n % 2], "alice", "198.51.100.7") for n in range(10)]
    assert outcomes == ["looked at"] * 5 + ["throttled"] * 5
    await other.close()


async def test_success_forgets_ones_own_mistakes_and_writes_only_then(
    auth: Auth, alice: User, store: Store, tmp_path: Path
) -> None:
    for _ in range(4):
        await guess(auth, "alice", HOME)
    await auth.passwords.check("alice", GOOD, HOME)
    for _ in range(4):
        assert await guess(auth, "alice", HOME) == "looked at"


async def test_a_right_password_costs_no_write(auth: Auth, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Store) -> None:
        raise AssertionError("it wrote")

    monkeypatch.setattr(Store, "unit", refuse)
    assert (await auth.passwords.check("alice", GOOD, HOME)).id == alice.id


async def test_a_clock_that_was_set_back_locks_nobody_out(auth: Auth, alice: User, clock: ManualClock) -> None:
    for _ in range(10):
        await guess(auth, "alice", HOME)
    clock.advance(timedelta(days=-1))
    assert (await auth.passwords.check("alice", GOOD, HOME)).id == alice.id


async def test_the_table_is_bounded_and_forgets(store: Store, clock: ManualClock) -> None:
    hour = timedelta(hours=1)
    for number in range(20):
        async with store.unit() as unit:
            await unit.sign_in_failures.add([("account", str(number))], clock.now(), hour)
        clock.advance(timedelta(minutes=5))
    async with store.unit() as unit:
        await unit.sign_in_failures.prune(clock.now() - hour, MAX_ROWS)
        assert len(await unit.sign_in_failures.find([("account", str(n)) for n in range(20)])) == 12
        await unit.sign_in_failures.prune(clock.now() - hour, 5)
        left = await unit.sign_in_failures.find([("account", str(n)) for n in range(20)])
    assert {key for _, key in left} == {"15", "16", "17", "18", "19"}


async def test_a_whole_ipv6_network_is_one_guesser(auth: Auth, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(stored: str, password: str) -> bool:
        raise VerifyMismatchError

    monkeypatch.setattr(type(module.HASHER), "verify", staticmethod(wrong))
    outcomes = [await guess(auth, f"user{n}", f"2001:db8:0:7::{n:x}") for n in range(1, 121)]
    assert outcomes[-1] == "throttled", "each household has 2**64 addresses"
    assert await guess(auth, "user", "2001:db8:0:8::1") == "looked at"
