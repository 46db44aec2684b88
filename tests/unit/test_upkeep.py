"""What upkeep forgets, and what it keeps."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hub.config import Profile, Settings
from hub.contents.service import ContentsOfUsers
from hub.contents.trash_info import TrashRules
from hub.domain.ids import SignInId
from hub.domain.users import Role, SignIn
from hub.spawn.folders import Folders
from hub.store.engine import Store
from hub.upkeep import KEPT, Upkeep, trash_rules
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


async def test_old_things_in_everybodys_trash_are_deleted(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    folders = Folders(tmp_path, None, None)
    rules = TrashRules(("/home/jovyan",), days=30)
    contents = ContentsOfUsers(folders, tmp_path / "state", clock, impersonate=False, trash=rules)
    async with store.unit() as unit:
        users = [await unit.users.add(name, Role.USER, clock.now()) for name in ("ada", "bob", "nohome")]
    for user in users[:2]:
        await contents.of(user).new_untitled("", ext=".txt")
        await contents.of(user).delete("untitled.txt")
    clock.advance(timedelta(days=29))
    assert await Upkeep(store, clock, contents).empty_trashes() == 0
    clock.advance(timedelta(days=2))
    assert await Upkeep(store, clock, contents).empty_trashes() == 2
    assert [(await contents.of(user).trash.list()).items for user in users[:2]] == [[], []]
    assert not folders.home(users[2].id).exists()
    await contents.close()


def test_deleted_files_are_noted_with_the_default_profiles_home() -> None:
    profiles = {"a": Profile(home="/home/a"), "b": Profile(home="/home/b"), "c": Profile(home="/home/b")}
    settings = Settings(profiles=profiles, default_profile="b", trash_days=7)
    assert trash_rules(settings) == TrashRules(("/home/b", "/home/a"), 7)
