"""Nothing outside the home is ever read, listed, written or removed, whatever is in the home (SECURITY 2.3)."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from hub.contents.models import Limits, Model
from hub.contents.service import Contents
from hub.errors import BadRequest, Forbidden, HubError, NotFound
from tests.conftest import missing
from tests.unit.contents.conftest import IS_ROOT, SECRET, Place, notebook, text, user

RACE_SECONDS = 1.5
EMPTY = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def links_out(place: Place) -> list[str | Path]:
    """Targets of links that lead out of the home."""
    return [
        "/etc/passwd",
        place.secret,
        place.sibling / "theirs.txt",
        "../u10/theirs.txt",
        "../../kernelhub.db",
        "../u1/../u10/theirs.txt",
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
        "/proc/self/cwd",
        "/",
        "..",
    ]


@pytest.fixture
def outside(place: Place) -> Iterator[None]:
    """What is outside is there before, and exactly the same afterwards."""
    theirs = place.sibling / "theirs.txt"
    theirs.write_text(SECRET)
    theirs.chmod(0o666)
    place.sibling.chmod(0o777)

    def state() -> object:
        return sorted(place.sibling.rglob("*")), theirs.stat().st_mtime_ns, place.secret.stat().st_mtime_ns

    before = state()
    yield
    assert state() == before
    assert theirs.read_text() == place.secret.read_text() == SECRET


async def refused(call: Awaitable[object]) -> None:
    with pytest.raises((NotFound, BadRequest, Forbidden)) as caught:
        await call
    assert SECRET not in str(caught.value)


@pytest.mark.usefixtures("outside")
async def test_links_that_lead_out_are_closed_to_every_operation(place: Place, contents: Contents) -> None:
    place.put("mine.txt", "mine")
    for number, target in enumerate(links_out(place)):
        name = f"link{number}.txt"
        link = place.link(name, target)
        for call in (
            contents.get(name),
            contents.get(name, content=False),
            contents.get(name, content=False, hash=True),
            contents.get(f"{name}/theirs.txt"),
            contents.open_raw(name),
            contents.save(name, text("overwritten")),
            contents.save(f"{name}/new.txt", text("new")),
            contents.new_untitled(name),
            contents.create_checkpoint(name),
            contents.copy(f"{name}/theirs.txt", ""),
            contents.rename("mine.txt", f"{name}/x.txt"),
            contents.rename(f"{name}/theirs.txt", "x.txt"),
            contents.delete(f"{name}/theirs.txt"),
        ):
            await refused(call)
        assert await contents.find_type(name) is None
        assert await contents.list_checkpoints(name) == []
        assert name not in [model.name for model in listing(await contents.get(""))]
        await contents.delete(name)  # the link goes, what it leads to stays
        assert not link.is_symlink()
    assert place.leftovers() == []


@pytest.mark.usefixtures("outside")
async def test_a_copied_folder_holds_no_foreign_byte(place: Place, contents: Contents) -> None:
    place.make_folder("d")
    place.link("d/out.txt", place.secret)
    place.link("d/folder", place.sibling)
    await contents.copy("d", "")
    assert (place.home / "d-Copy1" / "out.txt").readlink() == place.secret
    await refused(contents.get("d-Copy1/out.txt"))


async def test_a_folder_is_deleted_without_what_its_links_lead_to(make_place: Callable[..., Place]) -> None:
    place = make_place(limits=Limits(delete_full_folders=True))
    place.put("keep/kept.txt", "kept")
    place.make_folder("d/inner")
    for name, target in (("out", place.sibling), ("in", place.home / "keep"), ("file", place.secret)):
        place.link(f"d/inner/{name}", target)
    await place.service.of(user(1)).delete("d")
    assert not (place.home / "d").exists()
    assert (place.home / "keep" / "kept.txt").read_text() == "kept"
    assert place.secret.read_text() == SECRET
    assert place.sibling.is_dir()


async def test_links_that_stay_inside_work(place: Place, contents: Contents) -> None:
    place.put("d/real.txt", "inside")
    place.link("to-file.txt", "d/real.txt")
    place.link("to-folder", "d")
    place.link("d/up.txt", "../d/real.txt")
    place.link("d/chain.txt", "up.txt")
    for path in ("to-file.txt", "to-folder/real.txt", "d/up.txt", "to-folder/chain.txt"):
        assert (await contents.get(path)).content == "inside"
    names = {model.path: model.type for model in listing(await contents.get(""))}
    assert names == {"d": "directory", "to-file.txt": "file", "to-folder": "directory"}


async def test_a_save_through_an_inner_link_keeps_the_link(place: Place, contents: Contents) -> None:
    real = place.put("d/real.txt", "old")
    place.link("d/up.txt", "../d/real.txt")
    link = place.link("link.txt", "d/up.txt")
    await contents.save("link.txt", text("new"))
    assert link.is_symlink()
    assert real.read_text() == "new"


async def test_a_link_in_a_circle_is_refused(place: Place, contents: Contents) -> None:
    place.link("a.txt", "b.txt")
    place.link("b.txt", "a.txt")
    await refused(contents.get("a.txt"))
    await refused(contents.save("a.txt", text("x")))
    assert listing(await contents.get("")) == []


@pytest.mark.parametrize("path", ["../u10/theirs.txt", "d/../../u10/theirs.txt", "/../u10", "..", "\0"])
@pytest.mark.usefixtures("outside")
async def test_dots_do_not_lead_to_siblings(contents: Contents, path: str) -> None:
    for call in (
        lambda: contents.get(path),
        lambda: contents.save(path, text("x")),
        lambda: contents.delete(path),
        lambda: contents.rename(path, "mine.txt"),
        lambda: contents.copy(path, ""),
    ):
        with pytest.raises(NotFound):
            await call()


async def test_fifos_sockets_and_devices_are_refused_at_once(place: Place, contents: Contents) -> None:
    os.mkfifo(place.home / "fifo")
    place.give(place.home / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(place.home / "socket"))
        place.give(place.home / "socket")
        names = ["fifo", "socket"]
        if IS_ROOT:
            os.mknod(place.home / "device", 0o20666, os.makedev(1, 3))
            names.append("device")
        async with asyncio.timeout(15):
            for name in names:
                for call in (
                    contents.get(name),
                    contents.open_raw(name),
                    contents.save(name, text("x")),
                    contents.create_checkpoint(name),
                    contents.copy(name, ""),
                ):
                    await refused(call)
                assert await contents.find_type(name) is None
            assert listing(await contents.get("")) == []


async def test_a_sparse_file_of_10_gb_costs_no_memory(place: Place, contents: Contents) -> None:
    with (place.home / "sparse.bin").open("wb") as file:
        file.truncate(10 * 1024**3)
    place.give(place.home / "sparse.bin")
    async with asyncio.timeout(15):
        with pytest.raises(HubError) as caught:
            await contents.get("sparse.bin")
        model = await contents.get("sparse.bin", content=False, hash=True)
    assert caught.value.status == 413
    assert (model.size, model.hash) == (10 * 1024**3, None)


async def test_a_checkpoints_folder_that_is_a_link_is_not_used(place: Place, contents: Contents) -> None:
    place.put("a.txt", "mine")
    place.make_folder("elsewhere")
    for target in ("elsewhere", str(place.sibling)):
        link = place.link(".ipynb_checkpoints", target)
        assert await contents.list_checkpoints("a.txt") == []
        with pytest.raises(Forbidden):
            await contents.create_checkpoint("a.txt")
        await contents.save("new.ipynb", notebook(EMPTY))
        await contents.delete("new.ipynb")
        link.unlink()
    assert list((place.home / "elsewhere").iterdir()) == []


async def test_a_checkpoint_that_is_a_link_is_not_read(place: Place, contents: Contents) -> None:
    place.put("a.txt", "mine")
    place.make_folder(".ipynb_checkpoints")
    place.link(".ipynb_checkpoints/a-checkpoint.txt", place.secret)
    assert await contents.list_checkpoints("a.txt") == []
    with pytest.raises(NotFound):
        await contents.restore_checkpoint("a.txt", "checkpoint")
    assert (place.home / "a.txt").read_text() == "mine"


@pytest.mark.parametrize("id", ["../a", "checkpoint/../../x", "", "other"])
async def test_a_checkpoint_id_is_never_a_path(place: Place, contents: Contents, id: str) -> None:
    place.put("a.txt", "mine")
    await contents.create_checkpoint("a.txt")
    with pytest.raises(NotFound):
        await contents.restore_checkpoint("a.txt", id)
    with pytest.raises(NotFound):
        await contents.delete_checkpoint("a.txt", id)


async def test_names_that_are_not_utf8_or_have_line_breaks_do_no_harm(place: Place, contents: Contents) -> None:
    (place.home / os.fsdecode(b"bad-\xff\xfe.txt")).write_text("x")
    (place.home / "line\nbreak.txt").write_text("x")
    place.put("snow☃man 雪.txt", "x")
    model = await contents.get("")
    assert sorted(m.name for m in listing(model)) == ["line\nbreak.txt", "snow☃man 雪.txt"]
    msgspec.json.encode(model)
    assert (await contents.get("line\nbreak.txt")).content == "x"


async def test_a_hard_link_to_a_foreign_file_gives_only_what_the_user_could_read(
    place: Place, contents: Contents
) -> None:
    theirs = place.sibling / "theirs.txt"
    theirs.write_text(SECRET)
    theirs.chmod(0o600)
    if not IS_ROOT:
        missing("files of another user", "run the tests as root")
    os.link(theirs, place.home / "hard.txt")  # the kernel's protected_hardlinks would not even allow that
    await refused(contents.get("hard.txt"))
    await refused(contents.save("hard.txt", text("x")))
    assert theirs.read_text() == SECRET


@contextmanager
def swapping(first: Path, second: Path) -> Iterator[None]:
    """Exchange two names in a tight loop, from another process, as a kernel could."""
    program = """
import ctypes, sys
libc = ctypes.CDLL(None)
a, b = (p.encode() for p in sys.argv[1:])
print(flush=True)
while True:
    libc.renameat2(-100, a, -100, b, 2)
"""
    child = subprocess.Popen([sys.executable, "-c", program, first, second], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        yield
    finally:
        child.kill()
        child.communicate()


@pytest.mark.usefixtures("outside")
async def test_a_file_swapped_for_a_link_in_a_tight_loop_never_leaks(place: Place, contents: Contents) -> None:
    place.put("a.txt", "mine")
    place.link("b.txt", place.secret)
    seen = await race(place.home / "a.txt", place.home / "b.txt", lambda: contents.get("a.txt"))
    assert seen == {"mine"}


@pytest.mark.usefixtures("outside")
async def test_a_folder_swapped_for_a_link_in_a_tight_loop_never_leaks(place: Place, contents: Contents) -> None:
    place.put("d/theirs.txt", "mine")
    place.link("e", place.sibling)
    read = await race(place.home / "d", place.home / "e", lambda: contents.get("d/theirs.txt"))
    assert read == {"mine"}


@pytest.mark.usefixtures("outside")
async def test_saves_copies_and_deletions_under_a_swapped_folder_stay_inside(place: Place, contents: Contents) -> None:
    place.put("d/theirs.txt", "mine")
    place.link("e", place.sibling)

    async def change() -> None:
        await contents.save("d/new.txt", text("new"))
        await contents.create_checkpoint("d/new.txt")
        await contents.rename("d/new.txt", "d/newer.txt")
        await contents.delete("d/newer.txt")
        await contents.copy("d", "")

    await race(place.home / "d", place.home / "e", change)


async def race(first: Path, second: Path, call: Callable[[], Awaitable[object]]) -> set[object]:
    """Do `call` again and again while the names are exchanged; the contents that were seen."""
    seen: set[object] = set()
    done = refusals = 0
    stop = threading.Event()
    timer = threading.Timer(RACE_SECONDS, stop.set)
    timer.start()
    with swapping(first, second):
        while not stop.is_set():
            try:
                result = await call()
            except HubError:
                refusals += 1
                continue
            done += 1
            seen.add(getattr(result, "content", None))
    assert refusals > 5
    return seen


def listing(model: Model) -> list[Model]:
    assert isinstance(model.content, list)
    return model.content


async def test_the_first_use_of_somebodys_files_makes_the_home(place: Place) -> None:
    newcomer = user(7)
    home = place.homes.home(newcomer.id)
    assert not home.exists()
    model = await place.service.of(newcomer).get("")
    assert model.type == "directory"
    found = home.stat()
    assert (found.st_uid, found.st_mode & 0o777) == (place.homes.uid_of(newcomer), 0o700)
