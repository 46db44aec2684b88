"""File access happens as the user, in that thread alone, and without any capability (hub.contents.identity)."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub.contents import syscalls
from hub.contents.identity import acting_as
from hub.contents.service import Contents
from hub.errors import Forbidden
from tests.conftest import missing
from tests.unit.contents.conftest import IS_ROOT, Place, text, user

UID, GID = 200_001, 100


@pytest.fixture(autouse=True)
def _root() -> None:
    if not IS_ROOT:
        missing("the right to act as another user", "run the tests as root")


def in_a_thread(work: object) -> object:
    with ThreadPoolExecutor(1, initializer=syscalls.leave_groups) as pool:
        return pool.submit(work).result()  # type: ignore[arg-type]


async def test_what_the_user_may_not_read_stays_unread(place: Place, contents: Contents) -> None:
    for mode in (0o600, 0o640, 0o660):
        file = place.home / f"{mode:o}.txt"
        file.write_text("root's")
        file.chmod(mode)
        os.chown(file, 0, 0)
        with pytest.raises(Forbidden):
            await contents.get(file.name)
        with pytest.raises(Forbidden):
            await contents.save(file.name, text("x"))
        assert file.read_text() == "root's"


async def test_a_folder_of_root_in_the_home_cannot_be_changed(place: Place, contents: Contents) -> None:
    folder = place.home / "d"
    folder.mkdir(mode=0o755)
    (folder / "a.txt").write_text("x")
    for call in (
        contents.save("d/b.txt", text("x")),
        contents.save("d/a.txt", text("x")),
        contents.delete("d/a.txt"),
        contents.rename("d/a.txt", "a.txt"),
        contents.create_checkpoint("d/a.txt"),
        contents.new_untitled("d"),
    ):
        with pytest.raises(Forbidden):
            await call
    assert (await contents.get("d/a.txt")).content == "x"
    assert not (await contents.get("d/a.txt")).writable
    assert await contents.list_checkpoints("d/a.txt") == []


def test_a_thread_takes_on_the_identity_and_gives_it_back(data_dir: Path) -> None:
    data_dir.chmod(0o777)

    def work() -> tuple[object, ...]:
        before = syscalls.file_identity(), syscalls.capabilities()
        with acting_as(UID, GID):
            during = syscalls.file_identity()
            (data_dir / "theirs").touch()
        (data_dir / "ours").touch()
        return before == (syscalls.file_identity(), syscalls.capabilities()), during

    assert in_a_thread(work) == (True, (UID, GID))
    assert (data_dir / "theirs").stat().st_uid == UID
    assert (data_dir / "ours").stat().st_uid == 0


def test_the_identity_is_given_back_after_an_error() -> None:
    def work() -> object:
        with pytest.raises(ZeroDivisionError), acting_as(UID, GID):
            raise ZeroDivisionError
        return syscalls.file_identity()

    assert in_a_thread(work) == (0, 0)


def test_no_capability_and_no_group_is_left_within() -> None:
    def work() -> dict[str, str]:
        with acting_as(UID, GID):
            # Opened by the thread itself; /proc is readable to everybody.
            status = Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text()
        return dict(line.split(":\t", 1) for line in status.splitlines())

    status = in_a_thread(work)
    assert isinstance(status, dict)
    assert int(status["CapEff"], 16) == 0
    assert status["Groups"].strip() == ""
    assert status["Uid"].split() == ["0", "0", "0", str(UID)]
    assert status["Gid"].split() == ["0", "0", "0", str(GID)]


def test_other_threads_stay_what_they_are() -> None:
    def work() -> tuple[int, int]:
        with acting_as(UID, GID), ThreadPoolExecutor(1) as other:
            running = main_identity()
            other.submit(lambda: None).result()
        return running

    def main_identity() -> tuple[int, int]:
        status = Path(f"/proc/self/task/{main}/status").read_text()
        ids = {line.split(":")[0]: line.split()[-1] for line in status.splitlines() if line.startswith(("Uid", "Gid"))}
        return int(ids["Uid"]), int(ids["Gid"])

    main = threading.get_native_id()
    assert in_a_thread(work) == (0, 0)


def test_the_main_thread_never_takes_on_an_identity() -> None:
    with pytest.raises(RuntimeError), acting_as(UID, GID):
        pass


async def test_many_users_at_once_each_get_their_own_identity(place: Place) -> None:
    both = [(place.service.of(user(number)), home) for number, home in ((1, place.home), (10, place.sibling))]
    await asyncio.gather(*(c.save(f"{n}.txt", text("x")) for n in range(15) for c, _ in both))
    for number, (_, home) in zip((1, 10), both, strict=True):
        assert {path.stat().st_uid for path in home.iterdir()} == {200_000 + number}
        assert len(list(home.iterdir())) == 15
