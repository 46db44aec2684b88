"""Checkpoints (hub.contents.checkpoints)."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from hub.contents.service import Contents
from hub.errors import BadRequest, NotFound
from tests.unit.contents.conftest import Place, text


async def test_a_checkpoint_is_kept_where_jupyter_keeps_it(place: Place, contents: Contents) -> None:
    file = place.put("d/a.txt", "one")
    os.utime(file, (1_000_000, 1_000_000))
    made = await contents.create_checkpoint("d/a.txt")
    assert (made.id, made.last_modified) == ("checkpoint", datetime.fromtimestamp(1_000_000, UTC))
    kept = place.home / "d" / ".ipynb_checkpoints" / "a-checkpoint.txt"
    assert kept.read_text() == "one"
    assert (kept.stat().st_uid, kept.parent.stat().st_uid) == (place.uid, place.uid)
    assert await contents.list_checkpoints("d/a.txt") == [made]


async def test_there_is_one_checkpoint_the_newest(place: Place, contents: Contents) -> None:
    file = place.put("a.txt", "one")
    await contents.create_checkpoint("a.txt")
    file.write_text("two")
    await contents.create_checkpoint("a.txt")
    assert len(await contents.list_checkpoints("a.txt")) == 1
    file.write_text("three")
    await contents.restore_checkpoint("a.txt", "checkpoint")
    assert file.read_text() == "two"
    assert place.leftovers() == []


async def test_a_restored_file_keeps_its_mode(place: Place, contents: Contents) -> None:
    file = place.put("a.sh", "one", mode=0o750)
    await contents.create_checkpoint("a.sh")
    await contents.save("a.sh", text("two"))
    await contents.restore_checkpoint("a.sh", "checkpoint")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("one", 0o750)


async def test_a_deleted_file_comes_back_from_its_checkpoint(place: Place, contents: Contents) -> None:
    file = place.put("a.txt", "one")
    await contents.create_checkpoint("a.txt")
    file.unlink()
    await contents.restore_checkpoint("a.txt", "checkpoint")
    assert file.read_text() == "one"


async def test_listing_makes_no_folder(place: Place, contents: Contents) -> None:
    place.put("a.txt", "one")
    assert await contents.list_checkpoints("a.txt") == []
    assert await contents.list_checkpoints("no/such.txt") == []
    assert not (place.home / ".ipynb_checkpoints").exists()


async def test_what_is_not_there_cannot_be_kept_restored_or_deleted(place: Place, contents: Contents) -> None:
    place.put("a.txt", "one")
    with pytest.raises(NotFound):
        await contents.create_checkpoint("b.txt")
    for path in ("a.txt", "b.txt"):
        with pytest.raises(NotFound):
            await contents.restore_checkpoint(path, "checkpoint")
        with pytest.raises(NotFound):
            await contents.delete_checkpoint(path, "checkpoint")


async def test_a_folder_has_no_checkpoint(place: Place, contents: Contents) -> None:
    place.make_folder("d")
    with pytest.raises(BadRequest):
        await contents.create_checkpoint("d")


async def test_a_checkpoint_can_be_deleted(place: Place, contents: Contents) -> None:
    place.put("a.txt", "one")
    await contents.create_checkpoint("a.txt")
    await contents.delete_checkpoint("a.txt", "checkpoint")
    assert await contents.list_checkpoints("a.txt") == []


async def test_renaming_takes_the_checkpoint_along(place: Place, contents: Contents) -> None:
    place.put("a.txt", "one")
    place.make_folder("d")
    await contents.create_checkpoint("a.txt")
    await contents.rename("a.txt", "b.txt")
    assert len(await contents.list_checkpoints("b.txt")) == 1
    await contents.rename("b.txt", "d/c.txt")
    assert len(await contents.list_checkpoints("d/c.txt")) == 1
    assert await contents.list_checkpoints("b.txt") == []


async def test_renaming_a_folder_takes_its_checkpoints_along(place: Place, contents: Contents) -> None:
    place.put("d/a.txt", "one")
    await contents.create_checkpoint("d/a.txt")
    await contents.rename("d", "e")
    assert len(await contents.list_checkpoints("e/a.txt")) == 1


async def test_deleting_takes_the_checkpoint_along(place: Place, contents: Contents) -> None:
    place.put("a.txt", "one")
    await contents.create_checkpoint("a.txt")
    await contents.delete("a.txt")
    assert await contents.list_checkpoints("a.txt") == []


async def test_another_files_old_checkpoint_does_not_stand_in_the_way(place: Place, contents: Contents) -> None:
    place.put("a.txt", "a")
    place.put("b.txt", "b")
    await contents.create_checkpoint("a.txt")
    await contents.create_checkpoint("b.txt")
    (place.home / "b.txt").unlink()
    await contents.rename("a.txt", "b.txt")
    await contents.restore_checkpoint("b.txt", "checkpoint")
    assert (place.home / "b.txt").read_text() == "a"
