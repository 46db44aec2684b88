"""What upkeep forgets, and what it keeps."""

from __future__ import annotations

from datetime import timedelta

from hub.domain.ids import SignInId
from hub.domain.users import Role, SignIn
from hub.store.engine import Store
from hub.upkeep import KEPT, Upkeep
from proxy.kit.clock import ManualClock


async def test_only_what_ended_long_ago_is_forgotten(store: Store, clock: ManualClock) -> None:
    async with store.unit() as unit:
        user = await unit.users.add("ada", Role.USER, clock.now())
        await unit.sign_ins.add(SignIn(SignInId("old"), user.id, clock.now(), clock.now(), "", ""), b"1" * 32)
    clock.advance(KEPT + timedelta(days=1))
    async with store.unit() as unit:
        await unit.sign_ins.add(SignIn(SignInId("new"), user.id, clock.now(), clock.now(), "", ""), b"2" * 32)
    assert await Upkeep(store, clock).run_once() == 1
    async with store.reading() as unit:
        assert [sign_in.id for sign_in in await unit.sign_ins.list(user.id)] == ["new"]
