"""hub.people.departures: barred at once, restorable for a while, archived and gone then."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from hub.auth.recent import RecentIdentities
from hub.contents.models import Limits
from hub.contents.service import ContentsOfUsers
from hub.domain.users import Role, User
from hub.errors import Conflict, EngineSilent
from hub.people.departures import Departures, LeavingRules
from hub.spawn.folders import Folders
from hub.store.engine import Store
from proxy.kit.clock import ManualClock

GRACE, KEPT = timedelta(days=30), timedelta(days=180)


@dataclass
class Place:
    store: Store
    clock: ManualClock
    folders: Folders
    contents: ContentsOfUsers
    departures: Departures
    stopped: list[str] = field(default_factory=list)
    engine_silent: bool = False

    async def stop(self, user: User, reason: str, actor: str) -> None:
        if self.engine_silent:
            raise EngineSilent("The engine does not answer.")
        self.stopped.append(user.name)

    async def user(self, user: User) -> User | None:
        async with self.store.reading() as unit:
            return await unit.users.find(user.id)

    async def add(self, name: str, role: Role = Role.USER) -> User:
        async with self.store.unit() as unit:
            return await unit.users.add(name, role, self.clock.now())


@pytest.fixture
async def place(store: Store, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Place]:
    folders = Folders(tmp_path, None, None)
    contents = ContentsOfUsers(folders, tmp_path / "state", clock, Limits(), impersonate=False)
    made: list[Place] = []

    async def stop(user: User, reason: str, actor: str) -> None:
        await made[0].stop(user, reason, actor)

    rules = LeavingRules(GRACE, KEPT)
    departures = Departures(store, clock, RecentIdentities(clock), folders, contents, stop, rules)
    made.append(Place(store, clock, folders, contents, departures))
    yield made[0]
    await contents.close()


async def test_somebody_who_leaves_is_barred_at_once_and_the_name_is_free(place: Place) -> None:
    ada = await place.add("ada")
    marked = await place.departures.mark(ada, "root")
    assert marked.disabled_at is not None and marked.removed_at is not None
    assert place.stopped == ["ada"]
    other = await place.add("ada")
    assert other.id != ada.id
    assert place.departures.gone_at(marked) == marked.removed_at + GRACE


async def test_within_the_grace_one_is_restored_with_everything(place: Place) -> None:
    ada = await place.add("ada")
    await place.contents.of(ada).new_untitled("", ext=".txt")
    marked = await place.departures.mark(ada, "root")
    place.clock.advance(GRACE - timedelta(minutes=1))
    assert await place.departures.finish_due() == 0
    restored = await place.departures.restore(marked, "root")
    assert (restored.name, restored.disabled_at, restored.removed_at) == ("ada", None, None)
    assert (place.folders.home(ada.id) / "untitled.txt").exists()
    place.clock.advance(GRACE)
    assert await place.departures.finish_due() == 0


async def test_whose_name_was_given_away_is_restored_under_another(place: Place) -> None:
    marked = await place.departures.mark(await place.add("ada"), "root")
    await place.add("ada")
    with pytest.raises(Conflict):
        await place.departures.restore(marked, "root")
    assert (await place.departures.restore(marked, "root", name="ada2")).name == "ada2"


async def test_after_the_grace_the_files_are_an_archive_and_everything_else_is_gone(place: Place) -> None:
    ada = await place.add("ada")
    home = place.folders.home(ada.id)
    await place.contents.of(ada).new_untitled("", ext=".txt")
    (home / ".secret").write_text("hidden too")
    (home / "out").symlink_to("/etc/passwd")
    await place.departures.mark(ada, "root")
    place.clock.advance(GRACE)
    assert await place.departures.finish_due() == 1
    assert await place.user(ada) is None
    assert not home.exists()
    archive = place.departures.archives / f"{ada.id}.tar.gz"
    with tarfile.open(archive) as opened:
        assert sorted(opened.getnames()) == ["ada", "ada/.secret", "ada/untitled.txt"]
    assert archive.stat().st_mode & 0o77 == 0
    assert json.loads((place.departures.archives / f"{ada.id}.json").read_text())["name"] == "ada"
    async with place.store.reading() as unit:
        assert [event.action for event in await unit.audit.list(10)] == ["user.deleted", "user.removed"]


async def test_who_never_had_files_leaves_no_archive(place: Place) -> None:
    ada = await place.add("ada")
    await place.departures.mark(ada, "root")
    place.clock.advance(GRACE)
    assert await place.departures.finish_due() == 1
    assert not list(place.folders.data_dir.glob("archives/*"))


async def test_a_silent_engine_bars_but_deletes_nothing(place: Place) -> None:
    ada = await place.add("ada")
    place.engine_silent = True
    with pytest.raises(EngineSilent):
        await place.departures.mark(ada, "root")
    found = await place.user(ada)
    assert found is not None and found.disabled_at is not None and found.removed_at is None
    place.engine_silent = False
    await place.departures.mark(ada, "root")
    place.clock.advance(GRACE)
    place.engine_silent = True
    assert await place.departures.finish_due() == 0
    assert await place.user(ada) is not None


async def test_the_last_administrator_cannot_leave(place: Place) -> None:
    root = await place.add("root1", Role.ADMIN)
    with pytest.raises(Conflict, match="last administrator"):
        await place.departures.mark(root, "root")
    assert await place.user(root) == root


async def test_marking_twice_changes_nothing(place: Place) -> None:
    ada = await place.add("ada")
    marked = await place.departures.mark(ada, "root")
    place.clock.advance(timedelta(days=3))
    assert await place.departures.mark(ada, "root") == marked


async def test_archives_go_when_they_were_kept_for_long_enough(place: Place) -> None:
    place.departures.archives.mkdir()
    (place.departures.archives / "x.tar.gz").write_bytes(b"")
    now = place.clock.now().timestamp()
    os.utime(place.departures.archives / "x.tar.gz", (now, now))
    place.clock.advance(KEPT)
    await place.departures.finish_due()
    assert list(place.departures.archives.iterdir()) == [place.departures.archives / "x.tar.gz"]
    place.clock.advance(timedelta(days=1))
    await place.departures.finish_due()
    assert list(place.departures.archives.iterdir()) == []


async def test_who_is_restored_while_their_archive_is_made_is_not_deleted(place: Place) -> None:
    ada = await place.add("ada")
    await place.contents.of(ada).new_untitled("", ext=".txt")
    marked = await place.departures.mark(ada, "root")
    place.clock.advance(GRACE)
    stop = place.stop

    async def restored_meanwhile(user: User, reason: str, actor: str) -> None:
        await stop(user, reason, actor)
        await place.departures.restore(marked, "root")

    place.stop = restored_meanwhile  # type: ignore[method-assign]
    assert await place.departures.finish_due() == 0
    found = await place.user(ada)
    assert found is not None and found.name == "ada"
    assert (place.folders.home(ada.id) / "untitled.txt").exists()


async def test_who_was_disabled_before_is_so_when_restored(place: Place) -> None:
    ada = await place.add("ada")
    async with place.store.unit() as unit:
        await unit.users.save(replace(ada, disabled_at=place.clock.now()))
    place.clock.advance(timedelta(days=1))
    marked = await place.departures.mark(ada, "root")
    restored = await place.departures.restore(marked, "root")
    assert restored.disabled_at is not None


async def test_folders_that_a_hub_left_when_it_ended_in_the_midst_go_with_the_next_round(place: Place) -> None:
    ada, ben = await place.add("ada"), await place.add("ben")
    for user in (ada, ben):
        place.folders.prepare_home(user)
        place.departures._intend_removal(user.id)
    async with place.store.unit() as unit:
        await unit.users.delete(ada.id)
    await place.departures.finish_due()
    assert not place.folders.home(ada.id).exists(), "nobody owns it"
    assert place.folders.home(ben.id).is_dir(), "who was restored keeps everything"
    place.departures._remove_folders(ben.id)
    assert place.departures._intended_removals() == []
