"""hub.auth.idle_clock, and what sign-ins do at a jump of the clock: nobody is signed out, and idleness still counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hub.auth.idle_clock import IdleClock
from hub.auth.recent import RecentIdentities
from hub.auth.sign_ins import SignIns
from hub.domain.ids import UserId
from hub.domain.users import Role, User
from hub.store.engine import Store
from proxy.kit.clock import ManualClock

DAY = timedelta(days=1)
IDLE = timedelta(hours=8)


class JumpingClock(ManualClock):
    """A clock that somebody sets."""

    def jump(self, by: timedelta) -> None:
        self._now += by


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock(datetime(2026, 3, 1, tzinfo=UTC))


def test_time_that_passes_is_believed_and_a_jump_is_not_before_it_is_told_to(clock: JumpingClock) -> None:
    idle = IdleClock(clock)
    clock.advance(DAY)
    assert (idle.now(), idle.jump()) == (clock.now(), timedelta())
    before = clock.now()
    clock.jump(DAY)
    assert (idle.now(), idle.jump()) == (before, DAY)
    clock.advance(timedelta(hours=1))
    assert idle.now() == before + timedelta(hours=1)
    idle.believe()
    assert (idle.now(), idle.jump()) == (clock.now(), timedelta())


def test_a_small_correction_is_no_jump(clock: JumpingClock) -> None:
    idle = IdleClock(clock)
    clock.jump(timedelta(seconds=30))
    assert (idle.now(), idle.jump()) == (clock.now(), timedelta())


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_a_jump_ends_no_sign_in_and_idleness_does_as_before(
    store: Store, clock: JumpingClock, jump: timedelta
) -> None:
    recent = RecentIdentities(clock)
    sign_ins = SignIns(store, clock, recent, idle=IDLE, longest=timedelta(days=7))
    user = User(UserId("u1"), 1, "ada", Role.USER, clock.now())
    async with store.unit() as unit:
        user = await unit.users.add("ada", Role.USER, clock.now())
    idle_one, _ = await sign_ins.create(user, "10.0.0.1", "a browser")
    clock.advance(timedelta(hours=7))
    used, _ = await sign_ins.create(user, "10.0.0.1", "another")
    clock.jump(jump)
    both = {idle_one.id, used.id}
    assert await sign_ins.live(both) == both, "before anybody noticed"
    assert await sign_ins.carry_over() == 2
    assert await sign_ins.carry_over() == 0
    assert await sign_ins.live(both) == both
    clock.advance(timedelta(hours=2))
    assert await sign_ins.live(both) == {used.id}, "idle for nine hours, and for two"


async def test_a_sign_in_that_is_written_while_the_clock_jumps_does_not_end(store: Store, clock: JumpingClock) -> None:
    """It was stamped before the jump, and its transaction ended after the others were carried over."""
    sign_ins = SignIns(store, clock, RecentIdentities(clock), idle=IDLE, longest=timedelta(days=7))
    async with store.unit() as unit:
        user = await unit.users.add("ada", Role.USER, clock.now())
    late, _ = await sign_ins.create(user, "10.0.0.1", "a browser")
    clock.jump(DAY)
    await sign_ins.carry_over()
    async with store.unit() as unit:
        await unit.sign_ins.touch(late.id, late.last_seen_at, "10.0.0.1")
    assert await sign_ins.live([late.id]) == {late.id}
    assert await sign_ins.carry_over() == 1
    clock.advance(timedelta(hours=1))
    assert await sign_ins.live([late.id]) == {late.id}
    assert await sign_ins.carry_over() == 0
