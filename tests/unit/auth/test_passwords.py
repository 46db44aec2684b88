"""Passwords are checked slowly, fairly, and without telling who exists."""

from __future__ import annotations

import asyncio
from statistics import median
from time import process_time

import pytest
from argon2 import PasswordHasher

from hub.auth import passwords as module
from hub.auth.assemble import Auth
from hub.domain.users import Role, User
from hub.errors import PasswordRefused, TooManyRequests, WrongPassword
from hub.store.engine import Store
from proxy.kit.clock import ManualClock

GOOD = "four quiet purple otters"
OTHER = "seven louder green herons"


@pytest.fixture
async def alice(auth: Auth) -> User:
    user = await auth.users.add("alice", Role.USER, "test")
    await auth.passwords.set(user, GOOD, "test")
    return user


async def test_the_right_password_finds_the_user(auth: Auth, alice: User) -> None:
    assert (await auth.passwords.check("Alice", GOOD, "192.0.2.1")).id == alice.id


async def test_the_same_characters_composed_differently_are_the_same_password(auth: Auth, alice: User) -> None:
    await auth.passwords.set(alice, "caf\u00e9 au lait le matin", "test")
    assert await auth.passwords.check("alice", "cafe\u0301 au lait le matin", "192.0.2.1")


@pytest.mark.parametrize("password", ["", GOOD + " ", GOOD.upper(), "x" * 1_000_000, "\x00", "\udcff" * 12])
async def test_any_other_password_is_wrong(auth: Auth, alice: User, password: str) -> None:
    with pytest.raises(WrongPassword):
        await auth.passwords.check("alice", password, "192.0.2.1")


async def test_a_user_without_a_password_cannot_sign_in_with_one(auth: Auth) -> None:
    await auth.users.add("bob", Role.USER, "test")
    for password in ("", GOOD):
        with pytest.raises(WrongPassword):
            await auth.passwords.check("bob", password, "192.0.2.1")


@pytest.mark.parametrize("password", ["short", "password12345", "alicealicealice"])
async def test_a_weak_password_is_not_set(auth: Auth, alice: User, password: str) -> None:
    with pytest.raises(PasswordRefused):
        await auth.passwords.set(alice, password, "test")
    assert await auth.passwords.check("alice", GOOD, "192.0.2.1")


def test_the_parameters_are_owasps_and_the_stand_in_hash_has_the_same() -> None:
    hasher = module.HASHER
    assert (hasher.memory_cost, hasher.time_cost, hasher.parallelism) == (19456, 2, 1)
    assert hasher.hash("x").startswith("$argon2id$")
    assert not hasher.check_needs_rehash(module._NOBODY)


async def test_an_unknown_name_takes_as_long_as_a_wrong_password(
    auth: Auth, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    verify = module.HASHER.verify

    def recording(self: PasswordHasher, stored: str, password: str) -> bool:
        verified.append(stored)
        return bool(verify(stored, password))

    monkeypatch.setattr(PasswordHasher, "verify", recording)
    times: dict[str, list[float]] = {"alice": [], "nobody": [], "b/ad": []}
    for _ in range(4):
        for name, taken in times.items():
            before = process_time()
            with pytest.raises(WrongPassword):
                await auth.passwords.check(name, "wrong wrong wrong", f"192.0.2.{len(verified)}")
            taken.append(process_time() - before)
    assert len(verified) == 12, "one comparison each, whether the name exists or not"
    assert all(stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for stored in verified)
    assert max(median(t) for t in times.values()) < 5 * min(median(t) for t in times.values())


async def test_an_old_hash_is_renewed_at_the_next_sign_in(auth: Auth, alice: User, store: Store) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(GOOD)
    async with store.unit() as unit:
        await unit.passwords.save(alice.id, old, alice.created_at)
    await auth.passwords.check("alice", GOOD, "192.0.2.1")
    async with store.reading() as unit:
        renewed = await unit.passwords.find(alice.id)
    assert renewed is not None
    assert renewed != old
    assert not module.HASHER.check_needs_rehash(renewed)
    assert await auth.passwords.check("alice", GOOD, "192.0.2.1")


async def test_a_damaged_hash_is_a_wrong_password_and_no_crash(auth: Auth, alice: User, store: Store) -> None:
    async with store.unit() as unit:
        await unit.passwords.save(alice.id, "$argon2id$nonsense", alice.created_at)
    with pytest.raises(WrongPassword):
        await auth.passwords.check("alice", GOOD, "192.0.2.1")


async def test_guesses_made_all_at_once_are_counted_before_they_are_looked_at(auth: Auth, alice: User) -> None:
    guesses = [auth.passwords.check("alice", f"guess number {n}", "192.0.2.66") for n in range(40)]
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert sum(isinstance(result, WrongPassword) for result in results) == 5
    assert sum(isinstance(result, TooManyRequests) for result in results) == 35


async def test_a_thousand_wrong_passwords_do_not_lock_the_owner_out(
    auth: Auth, alice: User, clock: ManualClock, store: Store
) -> None:
    await auth.sign_ins.create(alice, "192.0.2.1", "home")
    outcomes: list[type] = []
    for number in range(200):
        with pytest.raises((WrongPassword, TooManyRequests)) as refused:
            await auth.passwords.check("alice", "wrong wrong wrong", f"198.51.{number % 200}.7")
        outcomes.append(refused.type)
    assert outcomes.count(WrongPassword) <= 25
    assert await auth.passwords.check("alice", GOOD, "192.0.2.1")
    async with store.reading() as unit:
        assert len(await unit.audit.list(limit=1000, action_prefix="sign_in.refused")) == outcomes.count(WrongPassword)


async def test_changing_the_password_asks_for_the_current_one(auth: Auth, alice: User) -> None:
    with pytest.raises(WrongPassword):
        await auth.passwords.change(alice, OTHER, OTHER, "192.0.2.1")
    await auth.passwords.change(alice, GOOD, OTHER, "192.0.2.1")
    assert await auth.passwords.check("alice", OTHER, "192.0.2.1")
    with pytest.raises(WrongPassword):
        await auth.passwords.check("alice", GOOD, "192.0.2.1")
