"""A full disk, and a hub that is killed while it saves: the old bytes or the new ones, never a mix."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.contents.models import Saved, SaveRequest
from hub.contents.service import Contents
from hub.errors import NoSpace
from tests.conftest import missing
from tests.unit.contents.conftest import IS_ROOT, Place, notebook, raw, text, user

DISK_BYTES = 1024 * 1024
KILLS = 50
SAVED_BYTES = 5_000_000


@pytest.fixture
def tiny(tmp_path: Path, make_place: Callable[..., Place]) -> Iterator[Place]:
    """Homes on a file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True) if IS_ROOT else None
    if done is None or done.returncode != 0:
        missing("the right to mount a tmpfs", "run the tests as root, outside of containers that forbid it")
    try:
        yield make_place(disk / "homes")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_a_full_disk_refuses_the_save_and_keeps_the_old_file(tiny: Place) -> None:
    contents = tiny.service.of(user(1))
    file = tiny.put("a.txt", "old" * 1000)
    with pytest.raises(NoSpace) as caught:
        await contents.save("a.txt", text("x" * 2 * DISK_BYTES))
    assert caught.value.status == 507
    assert file.read_text() == "old" * 1000
    assert tiny.leftovers() == []
    await contents.save("a.txt", text("small"))
    assert file.read_text() == "small"


async def test_a_full_disk_refuses_a_notebook_and_keeps_the_old_one(tiny: Place) -> None:
    contents = tiny.service.of(user(1))
    small = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    await contents.save("a.ipynb", notebook(small))
    before = (tiny.home / "a.ipynb").read_bytes()
    with pytest.raises(NoSpace):
        await contents.save("a.ipynb", notebook({**small, "metadata": {"x": "x" * 2 * DISK_BYTES}}))
    assert (tiny.home / "a.ipynb").read_bytes() == before
    assert tiny.leftovers() == []


async def test_a_full_disk_gives_back_what_copies_checkpoints_and_uploads_took(tiny: Place) -> None:
    contents = tiny.service.of(user(1))
    tiny.put("d/a.bin", b"x" * 600_000)
    for call in (contents.copy("d/a.bin", ""), contents.copy("d", ""), contents.create_checkpoint("d/a.bin")):
        with pytest.raises(NoSpace):
            await call
    await send(contents, 1)
    await send(contents, 2)
    with pytest.raises(NoSpace):
        for chunk in range(3, 10):
            await send(contents, chunk)
    assert tiny.leftovers() == []
    assert [path.name for path in tiny.home.iterdir()] == ["d"]


async def test_a_disk_without_inodes_is_full_too(tiny: Place) -> None:
    contents = tiny.service.of(user(1))
    subprocess.run(["mount", "-o", "remount,nr_inodes=20", str(tiny.homes.folder.parent)], check=True)
    tiny.put("a.txt", "old")
    with pytest.raises(NoSpace):
        for number in range(30):
            await contents.save(f"{number}.txt", text("x"))
    with pytest.raises(NoSpace):
        await contents.save("a.txt", text("new"))
    assert (tiny.home / "a.txt").read_text() == "old"


async def send(contents: Contents, chunk: int) -> Saved:
    request = SaveRequest(type="file", format="text", content=raw("x" * 100_000), chunk=chunk)
    return await contents.save("up.bin", request)


SAVER = """
import os, sys
from pathlib import Path
from hub.contents.beneath import Owner
from hub.contents.drafts import write_whole
from hub.contents.paths import parse_path
home, size = Path(sys.argv[1]), int(sys.argv[2])
owner, path = Owner(home, os.geteuid(), os.getegid(), impersonate=False), parse_path("a.bin")
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        while True:
            for letter in (b"A", b"B"):
                with owner.at_home(path) as opened, opened.target(path) as place:
                    write_whole(place, [letter * size])
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("dead", flush=True)
"""


def test_a_save_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    file = tmp_path / "a.bin"
    file.write_bytes(b"A" * SAVED_BYTES)
    seen = set()
    chance = random.Random(1)
    with subprocess.Popen(
        [sys.executable, "-c", SAVER, str(tmp_path), str(SAVED_BYTES)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as saver:
        assert saver.stdin is not None
        assert saver.stdout is not None
        for _ in range(KILLS):
            saver.stdin.write("go\n")
            saver.stdin.flush()
            pid = int(saver.stdout.readline())
            time.sleep(chance.uniform(0.001, 0.06))  # not a wait for anything: the moment of death is the input
            os.kill(pid, signal.SIGKILL)
            assert saver.stdout.readline() == "dead\n"
            data = file.read_bytes()
            assert data in (b"A" * SAVED_BYTES, b"B" * SAVED_BYTES)
            seen.add(data[:1])
        saver.stdin.close()
    assert seen == {b"A", b"B"}
    assert all(path.name.startswith(".~kernelhub-") for path in tmp_path.iterdir() if path != file)
