"""Settings that change while the hub runs: what is stored, what is fixed, and who may use which profile."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from hub.config import Culling, Profile, Settings, load_settings
from hub.config.announcement import Announcement
from hub.domain.ids import GroupId, new_id
from hub.domain.users import Group, Role, User
from hub.errors import BadRequest, Conflict, NotFound
from hub.running_settings import DefaultProfile, RegistrationSetting, Running, changes_between
from hub.store.engine import Store
from hub.store.hub_settings import StoredSetting
from hub.workspaces.profiles import profiles_of
from proxy.kit.clock import ManualClock


@pytest.fixture
def running(store: Store, clock: ManualClock, tmp_path: Path) -> Running:
    return Running(Settings(data_dir=tmp_path), store, clock)


async def a_group(store: Store, clock: ManualClock, name: str, *members: User, **properties: object) -> None:
    group = Group(GroupId(new_id()), name, clock.now(), properties=dict(properties))
    async with store.unit() as unit:
        await unit.groups.add(group)
        for member in members:
            await unit.groups.add_member(group.id, member.id)


async def people(store: Store, clock: ManualClock, *names: str) -> list[User]:
    async with store.unit() as unit:
        return [await unit.users.add(name, Role.USER, clock.now()) for name in names]


async def test_without_anything_stored_the_configuration_holds(running: Running) -> None:
    await running.refresh()
    assert running.current.culling == Culling()
    assert list(running.profiles) == ["datascience"]
    assert running.current.registration == "closed"


async def test_what_is_set_holds_at_once_and_for_the_next_hub(
    running: Running, store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    await running.set("culling", Culling(kernel_idle=None), "root")
    await running.set("registration", RegistrationSetting(mode="open"), "root")
    other = Running(Settings(data_dir=tmp_path), store, clock)
    await other.refresh()
    for each in (running, other):
        assert each.current.culling.kernel_idle is None
        assert each.current.registration == "open"


async def test_what_the_file_fixes_says_so_and_beats_what_is_stored(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    before = Running(Settings(data_dir=tmp_path), store, clock)
    await before.set("registration", RegistrationSetting(mode="open"), "x")
    file = tmp_path / "hub.toml"
    file.write_text('registration = "closed"\n[culling]\nkernel_idle = "1h"\n[profiles.datascience]\nimage = "mine"\n')
    fixed = Running(load_settings(file, {"data_dir": tmp_path}), store, clock)
    await fixed.refresh()
    assert fixed.current.registration == "closed"
    assert set(fixed.current.fixed) == {"registration", "culling.kernel_idle", "profile:datascience"}
    assert str(file) in fixed.current.fixed["registration"]
    with pytest.raises(Conflict, match="fixed by the configuration file"):
        await fixed.set("registration", RegistrationSetting(mode="open"), "root")
    with pytest.raises(Conflict):
        await fixed.set("culling", Culling(kernel_idle=timedelta(hours=2)), "root")
    with pytest.raises(Conflict):
        await fixed.save_profile("datascience", Profile(image="other"), "root")
    with pytest.raises(Conflict):
        await fixed.delete_profile("datascience", "root")
    changed = Culling(kernel_idle=timedelta(hours=1), workspace_empty=timedelta(hours=3))
    await fixed.set("culling", changed, "root")
    assert fixed.current.culling == changed


async def test_an_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch, store: Store, tmp_path: Path) -> None:
    monkeypatch.setenv("KERNELHUB_CULLING__KERNEL_IDLE", "9h")
    running = Running(Settings(data_dir=tmp_path), store, ManualClock())
    assert running.current.fixed == {"culling.kernel_idle": "the environment (KERNELHUB_CULLING__KERNEL_IDLE)"}


async def test_a_profile_for_a_group_is_its_members_only(running: Running, store: Store, clock: ManualClock) -> None:
    ada, bob = await people(store, clock, "ada", "bob")
    await a_group(store, clock, "physics", ada)
    await running.save_profile("gpu", Profile(image="gpu", groups=["physics"]), "root")
    assert "gpu" in profiles_of(running, ada)
    assert "gpu" not in profiles_of(running, bob)


async def test_a_groups_properties_give_its_members_a_profile(
    running: Running, store: Store, clock: ManualClock
) -> None:
    ada, bob = await people(store, clock, "ada", "bob")
    await a_group(store, clock, "physics", ada, profiles=["gpu"])
    await running.save_profile("gpu", Profile(image="gpu", roles=["teacher"]), "root")
    assert "gpu" in profiles_of(running, ada)
    assert "gpu" not in profiles_of(running, bob)


async def test_a_group_of_nobody_opens_a_profile_to_nobody(running: Running, store: Store, clock: ManualClock) -> None:
    [ada] = await people(store, clock, "ada")
    await running.save_profile("gpu", Profile(image="gpu", groups=["not there"]), "root")
    assert list(profiles_of(running, ada)) == ["datascience"]


async def test_a_stored_value_that_is_wrong_is_left_out(running: Running, store: Store, clock: ManualClock) -> None:
    async with store.unit() as unit:
        for name, value in {
            "culling": {"kernel_idle": "soon"},
            "profile:odd": {"profile": {"privileged": True}},
            "profile:worse": {},
            "default_profile": {"name": "none such"},
            "unknown": {"x": 1},
        }.items():
            await unit.hub_settings.save(StoredSetting(name, value, clock.now(), "x"))
    await running.refresh()
    assert running.current.culling == Culling()
    assert list(running.profiles) == ["datascience"]
    assert running.default_profile == "datascience"


async def test_the_default_is_there_for_everybody(running: Running) -> None:
    with pytest.raises(BadRequest):
        await running.set("default_profile", DefaultProfile(name="none such"), "root")
    await running.save_profile("gpu", Profile(image="gpu", groups=["physics"]), "root")
    with pytest.raises(BadRequest, match="everybody"):
        await running.set("default_profile", DefaultProfile(name="gpu"), "root")
    await running.save_profile("small", Profile(image="small"), "root")
    await running.set("default_profile", DefaultProfile(name="small"), "root")
    assert next(iter(running.profiles)) == "small"
    await running.delete_profile("datascience", "root")
    assert "datascience" not in running.profiles
    with pytest.raises(NotFound):
        await running.delete_profile("datascience", "root")


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 41, "-a", "ä", "a/b", "a\n"])
async def test_a_profile_cannot_be_called_anything(running: Running, name: str) -> None:
    with pytest.raises(BadRequest):
        await running.save_profile(name, Profile(), "root")


async def test_who_listens_hears_of_another_announcement(running: Running) -> None:
    heard: list[str] = []
    running.announced = lambda: heard.append(running.current.announcement.text)
    await running.set("announcement", Announcement(text="Closing at six"), "root")
    await running.set("culling", Culling(kernel_idle=None), "root")
    assert heard == ["Closing at six"]


def test_changes_are_told_without_the_values_of_variables() -> None:
    before = {"profile": {"image": "a", "environment": {"KEY": "old secret"}}}
    after = {"profile": {"image": "b", "environment": {"KEY": "new secret", "X": "third"}}}
    told = changes_between(before, after)
    assert (told["image from"], told["image to"]) == ("a", "b")
    assert "environment.KEY to" in told
    assert not {"old secret", "new secret", "third"} & set(told.values())
