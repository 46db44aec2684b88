"""What was answered 2xx survives a power cut: a pessimist's disk keeps only what was synced, in that order."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub.contents import drafts
from hub.contents.models import SaveRequest
from hub.contents.service import Contents, ContentsOfUsers
from hub.contents.trash_info import TrashRules
from hub.errors import Conflict
from hub.spawn.folders import Folders
from tests.unit.contents.conftest import Place, notebook, raw, text, user


class Pessimist:
    """Follows the calls to the operating system: which bytes and which names would be lost if the power went now."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dirty: set[int] = set()
        self.unsynced: set[tuple[int, bytes]] = set()
        self.renamed_dirty: list[str] = []
        self.syncs = 0
        for name in ("write", "ftruncate"):
            monkeypatch.setattr(os, name, self._writing(getattr(os, name)))
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._syncing(getattr(os, name)))
        monkeypatch.setattr(os, "open", self._opening(os.open))
        monkeypatch.setattr(os, "mkdir", self._making(os.mkdir))
        monkeypatch.setattr(os, "rename", self._renaming(os.rename))
        monkeypatch.setattr(drafts, "rename_new", self._renaming_new(drafts.rename_new))

    def lost(self, home: Path) -> list[str]:
        """What is in the home and would not be, or not whole, after a power cut."""
        found = []
        for file in [home, *home.rglob("*")]:
            if file.name.startswith(drafts.PREFIX) or file.is_symlink():
                continue
            if (file.parent.stat().st_ino, os.fsencode(file.name)) in self.unsynced:
                found.append(f"the name {file.relative_to(home.parent)}")
            if file.is_file() and file.stat().st_ino in self.dirty:
                found.append(f"the bytes of {file.relative_to(home.parent)}")
        return found

    def _writing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def write(fd: int, data: Any) -> Any:
            self.dirty.add(os.fstat(fd).st_ino)
            return call(fd, data)

        return write

    def _syncing(self, call: Callable[[int], None]) -> Callable[[int], None]:
        def sync(fd: int) -> None:
            call(fd)
            self.syncs += 1
            found = os.fstat(fd)
            self.dirty.discard(found.st_ino)
            if stat.S_ISDIR(found.st_mode):
                self.unsynced = {each for each in self.unsynced if each[0] != found.st_ino}

        return sync

    def _opening(self, call: Callable[..., int]) -> Callable[..., int]:
        def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            fd = call(path, flags, mode, dir_fd=dir_fd)
            if flags & os.O_CREAT and flags & os.O_EXCL:
                self._named(path, dir_fd)
            return fd

        return open_

    def _making(self, call: Callable[..., None]) -> Callable[..., None]:
        def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
            call(path, mode, dir_fd=dir_fd)
            self._named(path, dir_fd)

        return mkdir

    def _renaming(self, call: Callable[..., None]) -> Callable[..., None]:
        def rename(old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
            self._moved(old, new, src_dir_fd, dst_dir_fd)
            call(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        return rename

    def _renaming_new(self, call: Callable[..., None]) -> Callable[..., None]:
        def rename_new(old_fd: int, old: bytes, new_fd: int, new: bytes) -> None:
            call(old_fd, old, new_fd, new)
            self._moved(new, new, new_fd, new_fd)

        return rename_new

    def _moved(self, old: Any, new: Any, old_fd: int | None, new_fd: int | None) -> None:
        found = os.stat(old, dir_fd=old_fd, follow_symlinks=False)
        if stat.S_ISREG(found.st_mode) and found.st_ino in self.dirty:
            self.renamed_dirty.append(os.fsdecode(new))
        self._named(new, new_fd)

    def _named(self, path: Any, dir_fd: int | None) -> None:
        folder, _, name = os.fsencode(path).rpartition(b"/")
        inode = os.fstat(dir_fd).st_ino if dir_fd is not None else Path(os.fsdecode(folder) or ".").stat().st_ino
        self.unsynced.add((inode, name))


@pytest.fixture
async def contents(place: Place, tmp_path: Path) -> AsyncIterator[Contents]:
    """Of a hub that keeps a trash."""
    service = ContentsOfUsers(
        place.homes, tmp_path / "state", place.clock, trash=TrashRules(homes=("/home/jovyan",), days=30)
    )
    yield service.of(user(1))
    await service.close()


@pytest.fixture
def pessimist(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pessimist]:
    yield Pessimist(monkeypatch)


BOOK: dict[str, Any] = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
PAIRED = {**BOOK, "metadata": {"jupytext": {"formats": "ipynb,scripts//py:percent"}}}


async def save_large(contents: Contents) -> None:
    request = {"type": "file", "format": "text", "content": "x" * (5 * 1024**2)}
    await contents.save_large("large.txt", await contents.spool().add(msgspec.json.encode(request)))


async def upload(contents: Contents) -> None:
    for chunk in (1, 2, -1):
        request = SaveRequest(type="file", format="text", content=raw(f"chunk {chunk}"), chunk=chunk)
        await contents.save("uploaded.txt", request)


async def copy_a_folder(contents: Contents) -> None:
    await contents.copy("folder", "")


async def delete_and_restore(contents: Contents) -> None:
    await contents.delete("old.ipynb")
    [item] = (await contents.trash.list()).items
    await contents.trash.restore(item.id)


async def checkpoint_and_restore(contents: Contents) -> None:
    checkpoint = await contents.create_checkpoint("old.txt")
    await contents.restore_checkpoint("old.txt", checkpoint.id)


WAYS: dict[str, Callable[[Contents], Awaitable[object]]] = {
    "a new file": lambda contents: contents.save("new.txt", text("new")),
    "a file that was there": lambda contents: contents.save("old.txt", text("new")),
    "a notebook with its first checkpoint": lambda contents: contents.save("new.ipynb", notebook(BOOK)),
    "a paired notebook whose text has a folder of its own": lambda c: c.save("pair.ipynb", notebook(PAIRED)),
    "a large file": save_large,
    "an upload in chunks": upload,
    "a new folder": lambda contents: contents.save("made", SaveRequest(type="directory")),
    "an untitled folder": lambda contents: contents.new_untitled("", "directory"),
    "an untitled notebook": lambda contents: contents.new_untitled("", "notebook"),
    "a rename": lambda contents: contents.rename("old.ipynb", "folder/renamed.ipynb"),
    "a copy": lambda contents: contents.copy("old.txt", "folder"),
    "a copied folder": copy_a_folder,
    "a deletion into the trash": lambda contents: contents.delete("old.ipynb"),
    "a deletion taken back": delete_and_restore,
    "a checkpoint restored": checkpoint_and_restore,
}


@pytest.mark.parametrize("way", WAYS)
async def test_what_was_answered_survives_a_power_cut(
    place: Place, contents: Contents, pessimist: Pessimist, way: str
) -> None:
    place.put("old.txt", "old")
    await contents.save("old.ipynb", notebook(BOOK))
    await contents.save("folder", SaveRequest(type="directory"))
    for name in ("folder/a.txt", "folder/b.txt"):
        await contents.save(name, text("x"))
    await contents.save("folder/deep", SaveRequest(type="directory"))
    await contents.save("folder/deep/c.txt", text("x"))
    before = pessimist.syncs
    await WAYS[way](contents)
    assert pessimist.lost(place.home) == []
    assert pessimist.renamed_dirty == [], "the name must not come before the bytes"
    assert pessimist.syncs > before


async def test_the_first_file_of_a_user_survives_with_the_home_it_lies_in(
    place: Place, pessimist: Pessimist, tmp_path: Path
) -> None:
    folders = Folders(tmp_path / "data", None, None)
    folders.prepare_home(user(1))
    assert pessimist.lost(folders.home(user(1).id).parent) == []


async def test_an_upload_that_a_dying_hub_left_in_the_midst_of_a_chunk_goes_on_without_what_was_not_counted(
    place: Place, contents: Contents
) -> None:
    await contents.save("a.txt", SaveRequest(type="file", format="text", content=raw("one "), chunk=1))
    [draft] = place.leftovers()
    with draft.open("a") as file:
        file.write("half of the sec")
    await contents.save("a.txt", SaveRequest(type="file", format="text", content=raw("second "), chunk=2))
    await contents.save("a.txt", SaveRequest(type="file", format="text", content=raw("third"), chunk=-1))
    assert (place.home / "a.txt").read_text() == "one second third"


async def test_an_upload_of_which_a_power_cut_took_bytes_is_refused(place: Place, contents: Contents) -> None:
    await contents.save("a.txt", SaveRequest(type="file", format="text", content=raw("one "), chunk=1))
    [draft] = place.leftovers()
    os.truncate(draft, 2)
    with pytest.raises(Conflict, match="interrupted"):
        await contents.save("a.txt", SaveRequest(type="file", format="text", content=raw("two"), chunk=-1))
    assert not (place.home / "a.txt").exists()
