"""Deleting into the trash, and the ways back (hub.contents.trash, trash_info, trash_service)."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.contents import beneath, trash
from hub.contents.models import Limits
from hub.contents.paths import ApiPath
from hub.contents.service import Contents, ContentsOfUsers
from hub.contents.trash_info import NOT_KNOWN, TrashInfo, TrashRules, info_text, read_info
from hub.errors import BadRequest, Conflict, HubError, NotFound
from proxy.kit.clock import ManualClock
from tests.unit.contents.conftest import Place, user

RULES = TrashRules(("/home/jovyan", "/root"), 30)


@pytest.fixture
async def contents(place: Place, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Contents]:
    service = ContentsOfUsers(place.homes, tmp_path / "state", clock, Limits(delete_full_folders=True), trash=RULES)
    yield service.of(user(1))
    await service.close()


def bin_of(place: Place) -> Path:
    return place.home / ".local/share/Trash"


async def only_item(contents: Contents) -> trash.Trashed:
    (item,) = (await contents.trash.list()).items
    return item


async def test_what_is_deleted_can_be_brought_back(place: Place, contents: Contents, clock: ManualClock) -> None:
    file = place.put("köln/größe 1.txt", "content", mode=0o600)
    await contents.delete("köln/größe 1.txt")
    assert not file.exists()
    item = await only_item(contents)
    assert (item.name, item.folder, item.size_bytes, item.is_folder) == ("größe 1.txt", "köln", 7, False)
    assert abs(item.deleted_at - clock.now()) < timedelta(seconds=1)
    assert await contents.trash.restore(item.id) == "köln/größe 1.txt"
    assert file.read_text() == "content"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await contents.trash.list()).items == []
    assert list((bin_of(place) / "info").iterdir()) == []


async def test_the_trash_is_laid_out_as_other_tools_expect_it(place: Place, contents: Contents) -> None:
    place.put("a b/ü.txt")
    await contents.delete("a b/ü.txt")
    assert (bin_of(place) / "files/ü.txt").exists()
    info = (bin_of(place) / "info/ü.txt.trashinfo").read_text()
    assert info.splitlines()[:2] == ["[Trash Info]", "Path=/home/jovyan/a%20b/%C3%BC.txt"]
    for folder in (bin_of(place), bin_of(place) / "files", place.home / ".local"):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.stat().st_uid == place.uid


async def test_folders_go_whole_and_come_back_whole(place: Place, contents: Contents) -> None:
    place.put("a/b/c.txt", "x" * 10)
    place.put("a/.ipynb_checkpoints/n-checkpoint.ipynb", "y" * 5)
    await contents.delete("a")
    item = await only_item(contents)
    assert (item.is_folder, item.size_bytes, item.folder) == (True, 15, "")
    await contents.trash.restore(item.id)
    assert (place.home / "a/b/c.txt").read_text() == "x" * 10
    assert (place.home / "a/.ipynb_checkpoints/n-checkpoint.ipynb").exists()


async def test_the_checkpoint_goes_along_and_comes_back(place: Place, contents: Contents) -> None:
    place.put("n.ipynb", "new")
    kept = place.put(".ipynb_checkpoints/n-checkpoint.ipynb", "old")
    await contents.delete("n.ipynb")
    assert not kept.exists()
    item = await only_item(contents)
    await contents.trash.restore(item.id)
    assert kept.read_text() == "old"
    await contents.delete("n.ipynb")
    await contents.trash.delete(item.id)
    assert [file for file in bin_of(place).rglob("*") if file.is_file()] == []


async def test_a_second_file_of_the_name_takes_nothing_away(place: Place, contents: Contents) -> None:
    for number in range(3):
        place.put("a.tar.gz", str(number))
        await contents.delete("a.tar.gz")
    items = (await contents.trash.list()).items
    assert {item.id for item in items} == {"a.tar.gz", "a.2.tar.gz", "a.3.tar.gz"}
    assert {item.name for item in items} == {"a.tar.gz"}
    paths = [await contents.trash.restore(id) for id in ("a.tar.gz", "a.2.tar.gz", "a.3.tar.gz")]
    assert paths == ["a.tar.gz", "a (restored).tar.gz", "a (restored 2).tar.gz"]
    assert [(place.home / path).read_text() for path in paths] == ["0", "1", "2"]


async def test_a_folder_that_is_gone_is_made_again(place: Place, contents: Contents) -> None:
    place.put("a/b/c.txt", "x")
    await contents.delete("a/b/c.txt")
    await contents.delete("a")
    await contents.trash.delete("a")
    assert await contents.trash.restore("c.txt") == "a/b/c.txt"


async def test_where_the_old_place_cannot_be_the_home_is_the_place(place: Place, contents: Contents) -> None:
    place.put("a/c.txt", "x")
    await contents.delete("a/c.txt")
    (place.home / "a").rmdir()
    place.put("a", "a file now")
    assert await contents.trash.restore("c.txt") == "c.txt"


async def test_a_link_is_deleted_and_not_what_it_leads_to(place: Place, contents: Contents) -> None:
    target = place.put("target.txt", "x")
    place.link("link", "target.txt")
    await contents.delete("link")
    assert target.exists() and (bin_of(place) / "files/link").is_symlink()
    await contents.trash.restore("link")
    assert (place.home / "link").readlink() == Path("target.txt")


async def test_deleting_for_good_and_emptying(place: Place, contents: Contents) -> None:
    for name in ("a", "b", "c/d/e"):
        place.put(name)
        await contents.delete(name.split("/")[0])
    await contents.trash.delete("a")
    assert {item.id for item in (await contents.trash.list()).items} == {"b", "c"}
    odd = os.fsencode(bin_of(place) / "files") + b"/\xff\xfe"
    for path in (odd, odd + b"/\xff"):
        Path(os.fsdecode(path)).mkdir()
        os.chown(path, place.uid, place.homes.gid)
    place.link(".local/share/Trash/files/out", place.secret)
    await contents.trash.empty()
    assert list((bin_of(place) / "files").iterdir()) == list((bin_of(place) / "info").iterdir()) == []
    assert place.secret.exists()


async def test_old_things_go_by_themselves_and_young_ones_stay(
    place: Place, contents: Contents, clock: ManualClock
) -> None:
    place.put("old")
    await contents.delete("old")
    clock.advance(timedelta(days=20))
    place.put("young")
    await contents.delete("young")
    assert await contents.trash.expire() == 0
    clock.advance(timedelta(days=11))
    assert await contents.trash.expire() == 1
    assert [item.id for item in (await contents.trash.list()).items] == ["young"]


async def test_looking_for_old_things_makes_no_home(place: Place, contents: Contents) -> None:
    place.home.rmdir()
    assert await contents.trash.expire() == 0
    assert not place.home.exists()
    assert await contents.trash.expire() == 0
    assert (await contents.trash.list()).items == []


@pytest.mark.parametrize(
    "item_id", ["", ".", "..", "../../../x", "files/x", "a/../b", ".ipynb_checkpoints", "x\0y", "no"]
)
async def test_only_what_is_in_the_trash_can_be_named(place: Place, contents: Contents, item_id: str) -> None:
    place.put("a")
    await contents.delete("a")
    for act in (contents.trash.restore, contents.trash.delete):
        with pytest.raises((NotFound, BadRequest)):
            await act(item_id)
    assert (bin_of(place) / "files/a").exists()


@pytest.mark.parametrize("link", [".local", ".local/share", ".local/share/Trash"])
async def test_a_trash_that_is_a_link_out_of_the_home_is_not_used(
    place: Place, contents: Contents, link: str, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "files").mkdir(parents=True)
    (outside / "info").mkdir()
    (place.home / link).parent.mkdir(parents=True, exist_ok=True)
    if link != ".local":
        place.give(place.home / ".local")
    place.link(link, outside)
    file = place.put("a")
    with pytest.raises(HubError):
        await contents.delete("a")
    assert file.exists()
    assert list((outside / "files").iterdir()) == []
    with pytest.raises(HubError):
        await contents.trash.list()


async def test_a_trash_that_is_swapped_for_a_link_all_the_time_lets_nothing_out(
    place: Place, contents: Contents, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    for folder in (outside / "files", outside / "info"):
        folder.mkdir(parents=True)
    outside.chmod(0o777)
    place.put("first")
    await contents.delete("first")
    share, stop, libc = place.home / ".local/share", threading.Event(), ctypes.CDLL(None)
    (share / "other").symlink_to(outside)

    def swap() -> None:
        while not stop.is_set():
            libc.renameat2(-100, bytes(share / "Trash"), -100, bytes(share / "other"), 2)  # RENAME_EXCHANGE

    swapping = threading.Thread(target=swap)
    swapping.start()
    deleted = 0
    try:
        for number in range(100):
            place.put(f"{number}")
            with suppress(HubError):
                await contents.delete(f"{number}")
                deleted += 1
    finally:
        stop.set()
        swapping.join()
    if (share / "Trash").is_symlink():
        libc.renameat2(-100, bytes(share / "Trash"), -100, bytes(share / "other"), 2)
    assert list((outside / "files").iterdir()) == list((outside / "info").iterdir()) == []
    assert len((await contents.trash.list()).items) == deleted + 1


async def test_a_file_in_the_place_of_the_trash_is_said(place: Place, contents: Contents) -> None:
    place.put(".local/share/Trash", "not a folder")
    place.put("a")
    with pytest.raises(Conflict, match="trash cannot be used"):
        await contents.delete("a")
    assert (place.home / "a").exists()


@pytest.mark.parametrize(
    "path", ["/etc/cron.d/x", "/home/jovyan/../../x", "/home/jovyan", "%00", "/home/jovyan/%2e%2e/x", "%FF/x", ""]
)
async def test_a_way_back_never_leads_out_of_the_home(place: Place, contents: Contents, path: str) -> None:
    place.put("a", "mine")
    await contents.delete("a")
    place.put(".local/share/Trash/info/a.trashinfo", f"[Trash Info]\nPath={path}\nDeletionDate=nonsense\n")
    item = await only_item(contents)
    back = await contents.trash.restore(item.id)
    assert (place.home / back).read_text() == "mine"
    assert (place.home / back).resolve().is_relative_to(place.home.resolve())


async def test_what_other_tools_deleted_is_listed_and_restored(place: Place, contents: Contents) -> None:
    place.put(".local/share/Trash/files/x.txt", "x")
    place.put(
        ".local/share/Trash/info/x.txt.trashinfo",
        "[Trash Info]\nPath=/root/d/x.txt\nDeletionDate=2026-01-02T03:04:05\n",
    )
    place.put(".local/share/Trash/files/orphan", "y")
    items = {item.id: item for item in (await contents.trash.list()).items}
    assert items["x.txt"].folder == "d"
    assert items["x.txt"].deleted_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert items["orphan"].folder is None
    assert await contents.trash.restore("x.txt") == "d/x.txt"


async def test_a_full_disk_lets_delete(place: Place, contents: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("first")
    await contents.delete("first")
    file = place.put("a", "x")

    def full(folder: beneath.Folder, name: str, flags: int = os.O_RDONLY, mode: int = 0) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "full")
        return real(folder, name, flags, mode)

    real = beneath.Folder.open_file
    monkeypatch.setattr(beneath.Folder, "open_file", full)
    await contents.delete("a")
    assert not file.exists()
    assert await contents.trash.restore("a") == "a"


async def test_a_disk_without_room_for_a_name_deletes_for_good(
    place: Place, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EDQUOT, "full")

    monkeypatch.setattr(beneath.Folder, "make_folder", full)
    file = place.put("a", "x")
    await contents.delete("a")
    assert not file.exists()


async def test_long_names_leave_room_for_the_note(place: Place, contents: Contents) -> None:
    name = "ü" * 124 + ".ipynb"
    place.put(name)
    await contents.delete(name)
    item = await only_item(contents)
    assert item.name == name and len(item.id.encode()) <= 245
    assert await contents.trash.restore(item.id) == name


async def test_where_there_is_no_trash_deleting_is_for_good(make_place: object, place: Place) -> None:
    file = place.put("a")
    contents = place.service.of(user(1))
    await contents.delete("a")
    assert not file.exists() and not bin_of(place).exists()
    with pytest.raises(NotFound):
        _ = contents.trash


@given(st.lists(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=20), min_size=1))
def test_a_note_says_what_was_noted(parts: list[str]) -> None:
    origin = ApiPath(tuple(part for part in parts if part not in (".", "..")) or ("x",))
    moment = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert read_info(info_text(origin, moment, RULES), RULES) == TrashInfo(origin, moment)


@given(st.binary(max_size=300))
def test_any_note_can_be_read(data: bytes) -> None:
    read_info(data, RULES)
    assert read_info(b"", RULES) == NOT_KNOWN
