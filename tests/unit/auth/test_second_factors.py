"""Authenticator apps and recovery codes: each code once, few tries, secrets sealed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyotp
import pytest

from hub.auth.assemble import Auth, make_auth
from hub.auth.second_factors import SEED_PURPOSE
from hub.auth.totp import matching_step, new_seed
from hub.config import Settings
from hub.domain.users import Role, User
from hub.errors import BadRequest, Conflict, NotFound, TooManyRequests, WrongPassword
from hub.store.engine import Store
from hub.store.second_factors import FactorKind
from proxy.kit.clock import ManualClock

HERE = "192.0.2.1"


@pytest.fixture
async def ada(auth: Auth) -> User:
    return await auth.users.add("ada", Role.USER, "test")


async def with_app(auth: Auth, user: User, clock: ManualClock) -> pyotp.TOTP:
    """An app that was set up, half a minute ago."""
    setup = auth.second_factors.begin_app(user, "hub.example")
    app = pyotp.TOTP(setup.typed.replace(" ", ""))
    await auth.second_factors.add_app(user, setup.state, app.at(clock.now()), "My phone", HERE)
    clock.advance(timedelta(seconds=31))
    return app


async def test_a_code_lets_in_once(auth: Auth, ada: User, clock: ManualClock) -> None:
    app = await with_app(auth, ada, clock)
    code = app.at(clock.now())
    await auth.second_factors.check_code(ada, f"{code[:3]} {code[3:]}", HERE)
    with pytest.raises(WrongPassword):
        await auth.second_factors.check_code(ada, code, HERE)


async def test_the_code_that_set_the_app_up_does_not_count_again(auth: Auth, ada: User, clock: ManualClock) -> None:
    app = await with_app(auth, ada, clock)
    with pytest.raises(WrongPassword):
        await auth.second_factors.check_code(ada, app.at(clock.now() - timedelta(seconds=31)), HERE)


@pytest.mark.parametrize(("steps", "right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_phones_clock_may_be_half_a_minute_off(steps: int, right: bool) -> None:
    seed, now = new_seed(), ManualClock().now()
    code = pyotp.TOTP(seed).at(now + timedelta(seconds=30 * steps))
    assert (matching_step(seed, code, now) is not None) is right


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "12 34 5x", "-12345"])
def test_what_is_no_code_matches_nothing(code: str) -> None:
    assert matching_step(new_seed(), code, ManualClock().now()) is None


async def test_guessing_is_slowed_down(auth: Auth, ada: User, clock: ManualClock) -> None:
    app, outcomes = await with_app(auth, ada, clock), []
    for number in range(30):
        with pytest.raises((WrongPassword, TooManyRequests)) as refused:
            await auth.second_factors.check_code(ada, f"{number:06}", HERE)
        outcomes.append(refused.type)
    assert outcomes.count(WrongPassword) == 5
    clock.advance(timedelta(minutes=10))
    await auth.second_factors.check_code(ada, app.at(clock.now()), HERE)


async def test_the_seed_is_sealed_in_the_database(auth: Auth, ada: User, clock: ManualClock) -> None:
    app = await with_app(auth, ada, clock)
    [factor] = await auth.second_factors.of(ada)
    assert app.secret not in repr(factor.data)
    assert app.secret in auth.secrets.open(SEED_PURPOSE, factor.data["seed"])


async def test_a_setup_belongs_to_one_user_and_half_an_hour(auth: Auth, ada: User, clock: ManualClock) -> None:
    bob = await auth.users.add("bob", Role.USER, "test")
    setup = auth.second_factors.begin_app(ada, "hub.example")
    code = pyotp.TOTP(setup.typed.replace(" ", "")).at(clock.now())
    with pytest.raises(BadRequest):
        await auth.second_factors.add_app(bob, setup.state, code, "", HERE)
    with pytest.raises(WrongPassword):
        await auth.second_factors.add_app(ada, setup.state, "000000", "", HERE)
    clock.advance(timedelta(minutes=31))
    with pytest.raises(BadRequest):
        await auth.second_factors.add_app(ada, setup.state, code, "", HERE)


async def test_recovery_codes_count_once_each_and_are_kept_as_digests(
    auth: Auth, ada: User, clock: ManualClock, store: Store
) -> None:
    await with_app(auth, ada, clock)
    codes = await auth.second_factors.new_recovery_codes(ada, HERE)
    assert len(set(codes)) == 10
    kept = [factor for factor in await auth.second_factors.of(ada) if factor.kind is FactorKind.RECOVERY]
    assert not any(code.replace("-", "") in repr(kept[0].data) for code in codes)
    await auth.second_factors.check_code(ada, codes[3].upper().replace("-", " "), HERE)
    with pytest.raises(WrongPassword):
        await auth.second_factors.check_code(ada, codes[3], HERE)
    await auth.second_factors.new_recovery_codes(ada, HERE)
    with pytest.raises(WrongPassword):
        await auth.second_factors.check_code(ada, codes[4], HERE)
    async with store.reading() as unit:
        assert len(await unit.audit.list(action_prefix="second_factor.recovery_code_used")) == 1


async def test_an_administrator_can_reset_them_which_ends_the_sign_ins(
    auth: Auth, ada: User, clock: ManualClock
) -> None:
    await with_app(auth, ada, clock)
    sign_in, _ = await auth.sign_ins.create(ada, HERE, "")
    assert await auth.second_factors.reset(ada, "admin") == 1
    assert not await auth.second_factors.has_one(ada)
    assert await auth.sign_ins.live({sign_in.id}) == set()


@pytest.mark.parametrize(
    ("rule", "who", "must"),
    [
        ("optional", Role.ADMIN, False),
        ("administrators", Role.ADMIN, True),
        ("administrators", Role.USER, False),
        ("administrators", Role.GUEST, False),
        ("everybody", Role.USER, True),
    ],
)
async def test_the_setting_says_who_must_have_one(
    store: Store, clock: ManualClock, tmp_path: Path, rule: str, who: Role, must: bool
) -> None:
    auth = make_auth(Settings(data_dir=tmp_path, second_factor=rule), store, clock)
    user = await auth.users.add("ada", who, "test")
    assert await auth.second_factors.must_have_one(user) is must
    await auth.close()


async def test_who_must_have_one_keeps_the_last(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    auth = make_auth(Settings(data_dir=tmp_path, second_factor="everybody"), store, clock)
    user = await auth.users.add("ada", Role.USER, "test")
    await with_app(auth, user, clock)
    [factor] = await auth.second_factors.of(user)
    with pytest.raises(Conflict):
        await auth.second_factors.remove(user, factor.id, HERE)
    await auth.close()


async def test_nobody_changes_anothers(auth: Auth, ada: User, clock: ManualClock) -> None:
    await with_app(auth, ada, clock)
    [factor] = await auth.second_factors.of(ada)
    bob = await auth.users.add("bob", Role.USER, "test")
    with pytest.raises(NotFound):
        await auth.second_factors.remove(bob, factor.id, HERE)
    with pytest.raises(NotFound):
        await auth.second_factors.rename(bob, factor.id, "mine")
    await auth.second_factors.rename(ada, factor.id, "Telephone")
    await auth.second_factors.remove(ada, factor.id, HERE)
    assert await auth.second_factors.of(ada) == []
