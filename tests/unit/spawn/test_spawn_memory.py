"""hub.spawn.memory, against folders that look like a machine's control groups."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from hub.spawn import memory

ID = "0123456789abcdef" * 4
MIB = 1024**2


class Machine:
    """A machine with one frozen container of 100 MiB, of which its kernel can have `spare` bytes.

    `path` is the container's control group as its process 42 has it. `asked` is what was asked for.
    """

    def __init__(self, root: Path, path: str = f"/system.slice/docker-{ID}.scope", spare: int = 40 * MIB) -> None:
        self.proc, self.cgroups = root / "proc", root / "cgroup"
        self.folder = self.cgroups / path.removesuffix("/inner").strip("/")
        self.folder.mkdir(parents=True)
        (self.proc / "42").mkdir(parents=True)
        (self.proc / "42" / "cgroup").write_text(f"12:freezer:/docker/{ID}\n0::{path}\n")
        (self.cgroups / "cgroup.controllers").write_text("cpu io memory pids\n")
        (self.folder / "memory.reclaim").touch()
        self.current, self.spare = 100 * MIB, spare
        self.asked: list[int] = []
        self.show()

    def show(self, *, frozen: bool = True) -> None:
        (self.folder / "memory.current").write_text(f"{self.current}\n")
        (self.folder / "cgroup.events").write_text(f"populated 1\nfrozen {int(frozen)}\n")

    def ask(self, folder: Path, size_bytes: int) -> None:
        assert folder == self.folder
        self.asked.append(size_bytes)
        given = min(size_bytes, self.spare)
        self.current, self.spare = self.current - given, self.spare - given
        self.show()
        if given < size_bytes:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    def reclaim(self, pid: int = 42, container_id: str = ID) -> int:
        return memory.reclaim(pid, container_id, proc=self.proc, cgroups=self.cgroups, ask=self.ask)


@pytest.mark.parametrize("path", [f"/system.slice/docker-{ID}.scope", f"/docker/{ID}", f"/docker/{ID}/inner"])
def test_all_that_can_be_had_is_asked_for_and_counted(tmp_path: Path, path: str) -> None:
    machine = Machine(tmp_path, path)
    assert machine.reclaim() == 40 * MIB
    assert machine.asked == [16 * MIB] * 3
    machine = Machine(tmp_path / "other", path, spare=1000 * MIB)
    assert machine.reclaim() == 100 * MIB
    assert machine.asked == [16 * MIB] * 6 + [4 * MIB]


def test_a_container_that_goes_on_keeps_what_it_has(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    def thawed_meanwhile(folder: Path, size_bytes: int) -> None:
        machine.ask(folder, size_bytes)
        machine.show(frozen=False)

    parts = {"proc": machine.proc, "cgroups": machine.cgroups}
    assert memory.reclaim(42, ID, **parts, ask=thawed_meanwhile) == 16 * MIB
    assert machine.reclaim() == 0 and machine.asked == [16 * MIB]


def test_a_slow_machine_is_not_asked_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path)
    monkeypatch.setattr(memory, "RECLAIM_SECONDS", 0.0)
    assert machine.reclaim() == 0 and machine.asked == []


@pytest.mark.parametrize(
    "path",
    ["/", "/user.slice/session-1.scope", f"/docker/{ID[:-1]}0", f"/../../docker/{ID}", f"/../docker-{ID}.scope"],
)
def test_a_process_that_is_not_the_containers_is_nobody_to_take_from(tmp_path: Path, path: str) -> None:
    """Its number was given away anew, or is that of another machine's process."""
    machine = Machine(tmp_path / "a" / "machine", path)
    assert machine.reclaim() == 0 and machine.asked == []


def test_what_is_not_known_is_left_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.reclaim(pid=43) == machine.reclaim(pid=0) == machine.reclaim(container_id="") == 0
    (machine.folder / "memory.current").write_text("much\n")
    assert machine.reclaim() == 0
    (machine.proc / "42" / "cgroup").write_text(f"9:memory:/docker/{ID}\n")
    assert machine.reclaim() == 0 and machine.asked == []


def test_version_1_is_left_alone_and_says_so(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert memory.can_reclaim(machine.cgroups)
    (machine.cgroups / "cgroup.controllers").write_text("cpu io pids\n")
    (machine.folder / "memory.reclaim").unlink()
    assert machine.reclaim() == 0 and machine.asked == []
    assert not memory.can_reclaim(machine.cgroups)
    (machine.cgroups / "cgroup.controllers").unlink()
    assert not memory.can_reclaim(machine.cgroups)


def test_the_kernel_is_asked_in_bytes_and_what_it_refuses_is_nothing_given(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    memory.ask_kernel(machine.folder, 16 * MIB)
    assert (machine.folder / "memory.reclaim").read_bytes() == b"16777216"

    def refused(folder: Path, size_bytes: int) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    assert memory.reclaim(42, ID, proc=machine.proc, cgroups=machine.cgroups, ask=refused) == 0
