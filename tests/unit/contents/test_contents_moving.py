"""Renaming, deleting, copying, and new things (hub.contents.moving, copying, trees, leftovers)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta

import pytest

from hub.contents import trees
from hub.contents.drafts import PREFIX
from hub.contents.models import Limits
from hub.contents.service import Contents
from hub.errors import BadRequest, Conflict, NotFound, TooLarge
from tests.unit.contents.conftest import Place, text, user

# rename


async def test_a_file_is_renamed(place: Place, contents: Contents) -> None:
    place.put("a.txt", "x")
    place.make_folder("d")
    model = await contents.rename("a.txt", "d/b.txt")
    assert (model.path, model.name) == ("d/b.txt", "b.txt")
    assert (place.home / "d" / "b.txt").read_text() == "x"
    assert not (place.home / "a.txt").exists()


async def test_a_folder_is_renamed_with_all_that_is_in_it(place: Place, contents: Contents) -> None:
    place.put("d/e/a.txt", "x")
    assert (await contents.rename("d", "f")).type == "directory"
    assert (place.home / "f" / "e" / "a.txt").read_text() == "x"


@pytest.mark.parametrize("taken", ["b.txt", "d"])
async def test_renaming_never_replaces_something(place: Place, contents: Contents, taken: str) -> None:
    place.put("a.txt", "a")
    place.put("b.txt", "b")
    place.make_folder("d")
    with pytest.raises(Conflict):
        await contents.rename("a.txt", taken)
    assert ((place.home / "a.txt").read_text(), (place.home / "b.txt").read_text()) == ("a", "b")


async def test_renaming_to_the_same_path_changes_nothing(place: Place, contents: Contents) -> None:
    place.put("a.txt", "a")
    assert (await contents.rename("a.txt", "/a.txt")).path == "a.txt"


@pytest.mark.parametrize(("old", "new"), [("no.txt", "b.txt"), ("a.txt", "no/b.txt"), ("a.txt", "b/../c.txt")])
async def test_renaming_what_is_not_there_or_to_nowhere_is_not_found(
    place: Place, contents: Contents, old: str, new: str
) -> None:
    place.put("a.txt", "a")
    with pytest.raises(NotFound):
        await contents.rename(old, new)


@pytest.mark.parametrize(("old", "new"), [("d", "d/e"), ("d", "d/f/g"), ("", "x"), ("d", "")])
async def test_a_folder_does_not_go_into_itself_nor_the_home_anywhere(
    place: Place, contents: Contents, old: str, new: str
) -> None:
    place.make_folder("d/f")
    with pytest.raises(BadRequest):
        await contents.rename(old, new)


async def test_a_renamed_link_stays_a_link(place: Place, contents: Contents) -> None:
    place.put("a.txt", "a")
    place.link("l.txt", "a.txt")
    await contents.rename("l.txt", "m.txt")
    assert (place.home / "m.txt").is_symlink()


# delete


async def test_a_file_and_an_empty_folder_are_deleted(place: Place, contents: Contents) -> None:
    place.put("a.txt")
    place.make_folder("d")
    await contents.delete("a.txt")
    await contents.delete("d")
    assert list(place.home.iterdir()) == []


async def test_a_folder_that_is_not_empty_is_refused_as_in_jupyter(place: Place, contents: Contents) -> None:
    place.put("d/a.txt")
    with pytest.raises(BadRequest, match="not empty"):
        await contents.delete("d")
    assert (place.home / "d" / "a.txt").exists()


async def test_leftover_checkpoints_do_not_make_a_folder_full(place: Place, contents: Contents) -> None:
    place.put("d/.ipynb_checkpoints/a-checkpoint.txt")
    await contents.delete("d")
    assert not (place.home / "d").exists()


async def test_full_folders_are_deleted_where_that_is_allowed(make_place: Callable[..., Place]) -> None:
    place = make_place(limits=Limits(delete_full_folders=True))
    place.put("d/e/f/a.txt")
    (place.home / "d" / os.fsdecode(b"\xff")).touch()
    await place.service.of(user(1)).delete("d")
    assert list(place.home.iterdir()) == []


async def test_nesting_without_end_is_refused(make_place: Callable[..., Place]) -> None:
    place = make_place(limits=Limits(delete_full_folders=True))
    deep = "/".join("d" * (trees.MAX_DEPTH + 3))
    place.make_folder(deep)
    contents = place.service.of(user(1))
    with pytest.raises(BadRequest):
        await contents.delete("d")
    with pytest.raises(BadRequest):
        await contents.copy("d", "")
    assert [path.name for path in place.home.iterdir()] == ["d"]


async def test_the_home_and_what_is_not_there_cannot_be_deleted(contents: Contents) -> None:
    with pytest.raises(BadRequest):
        await contents.delete("")
    with pytest.raises(NotFound):
        await contents.delete("a.txt")


# copy


async def test_a_copy_beside_the_file_gets_a_number(place: Place, contents: Contents) -> None:
    place.put("a.ipynb", "{ any bytes", mode=0o640)
    names = [(await contents.copy("a.ipynb", "")).path for _ in range(3)]
    assert names == ["a-Copy1.ipynb", "a-Copy2.ipynb", "a-Copy3.ipynb"]
    assert (place.home / "a-Copy2.ipynb").read_text() == "{ any bytes"
    assert (place.home / "a-Copy2.ipynb").stat().st_mode & 0o777 == 0o640


async def test_a_copy_into_another_folder_keeps_its_name(place: Place, contents: Contents) -> None:
    place.put("a.txt", "a")
    place.make_folder("d")
    assert (await contents.copy("a.txt", "d")).path == "d/a.txt"
    assert (await contents.copy("a.txt", "d")).path == "d/a-Copy1.txt"
    assert (await contents.copy("a.txt", "d/other.txt")).path == "d/other.txt"


async def test_ten_copies_at_once_get_ten_names(place: Place, contents: Contents) -> None:
    place.put("a.txt", "a")
    models = await asyncio.gather(*(contents.copy("a.txt", "") for _ in range(10)))
    assert len({model.path for model in models}) == 10


async def test_a_folder_is_copied_whole(place: Place, contents: Contents) -> None:
    place.put("d/e/a.sh", "a", mode=0o755)
    os.mkfifo(place.home / "d" / "fifo")
    assert (await contents.copy("d", "")).path == "d-Copy1"
    assert (place.home / "d-Copy1" / "e" / "a.sh").stat().st_mode & 0o777 == 0o755
    assert not (place.home / "d-Copy1" / "fifo").exists()


@pytest.mark.parametrize(("source", "into"), [("d", "d"), ("d", "d/e"), ("", "d")])
async def test_a_folder_is_not_copied_into_itself(place: Place, contents: Contents, source: str, into: str) -> None:
    place.make_folder("d/e")
    with pytest.raises(BadRequest):
        await contents.copy(source, into)


@pytest.mark.parametrize(("source", "into"), [("no.txt", ""), ("a.txt", "no/such/b.txt")])
async def test_copying_from_or_to_nowhere_is_not_found(
    place: Place, contents: Contents, source: str, into: str
) -> None:
    place.put("a.txt")
    with pytest.raises(NotFound):
        await contents.copy(source, into)


async def test_a_folder_too_large_to_be_copied_leaves_nothing(make_place: Callable[..., Place]) -> None:
    place = make_place(limits=Limits(copy_bytes=1000))
    for number in range(3):
        place.put(f"d/{number}", "x" * 400)
    with pytest.raises(TooLarge):
        await place.service.of(user(1)).copy("d", "")
    assert [path.name for path in place.home.iterdir()] == ["d"]


# untitled


async def test_new_things_are_named_in_turn(contents: Contents) -> None:
    made = [
        (await contents.new_untitled("", type, ext)).path
        for type, ext in [
            ("notebook", ""), ("", ".ipynb"), ("file", ".txt"), ("", ""), ("directory", ""), ("directory", ""),
        ]
    ]  # fmt: skip
    assert made == [
        "Untitled.ipynb", "Untitled1.ipynb", "untitled.txt", "untitled", "Untitled Folder", "Untitled Folder 1",
    ]  # fmt: skip
    assert (await contents.get("Untitled.ipynb")).format == "json"


async def test_twenty_new_notebooks_at_once_get_twenty_names(contents: Contents) -> None:
    models = await asyncio.gather(*(contents.new_untitled("", "notebook") for _ in range(20)))
    assert len({model.path for model in models}) == 20


async def test_new_things_need_a_folder_and_a_known_type(place: Place, contents: Contents) -> None:
    place.put("a.txt")
    for folder in ("no", "a.txt"):
        with pytest.raises(NotFound):
            await contents.new_untitled(folder)
    with pytest.raises(BadRequest):
        await contents.new_untitled("", "socket")
    with pytest.raises(BadRequest):
        await contents.new_untitled("", "file", "/../x")


# leftovers


async def test_drafts_that_nobody_has_written_for_a_day_are_removed(place: Place, contents: Contents) -> None:
    old, fresh = place.put(f"d/{PREFIX}old"), place.put(f"d/{PREFIX}fresh")
    folder = place.make_folder(f"d/{PREFIX}folder")
    now = place.clock.now().timestamp()
    for path in (old, folder):
        os.utime(path, (now - timedelta(days=2).total_seconds(),) * 2)
    os.utime(fresh, (now, now))
    assert (await contents.get("d")).content == []
    assert list((place.home / "d").iterdir()) == [fresh]


async def test_saving_beside_others_drafts_leaves_them(place: Place, contents: Contents) -> None:
    draft = place.put(f"{PREFIX}0123", "x")
    await contents.save("a.txt", text("a"))
    assert draft.exists()
