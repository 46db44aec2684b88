"""hub.contents.syscalls: the calls themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hub.contents import drafts, syscalls
from hub.contents.beneath import Folder
from hub.contents.syscalls import KernelTooOld, openat2_beneath, rename_new, require_openat2


def test_this_kernel_has_openat2() -> None:
    require_openat2()


def test_a_kernel_without_openat2_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "_OPENAT2", 999_999)
    with pytest.raises(KernelTooOld, match=r"Linux 5\.6 or newer"):
        require_openat2()


def test_descriptors_are_not_inherited(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with Folder(os.open(tmp_path, os.O_RDONLY)) as folder:
        fd = openat2_beneath(folder.fd, b"a", os.O_RDONLY | os.O_CLOEXEC)
        assert not os.get_inheritable(fd)
        os.close(fd)


def test_rename_new_never_replaces(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with Folder(os.open(tmp_path, os.O_RDONLY)) as folder:
        with pytest.raises(FileExistsError):
            rename_new(folder.fd, b"a", folder.fd, b"b")
        rename_new(folder.fd, b"a", folder.fd, b"c")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"b": "b", "c": "a"}


def test_a_file_system_without_that_is_looked_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(drafts, "rename_new", unsupported)
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with Folder(os.open(tmp_path, os.O_RDONLY)) as folder:
        with pytest.raises(FileExistsError):
            drafts.rename_without_loss(folder, "a", folder, "b")
        drafts.rename_without_loss(folder, "a", folder, "c")
    assert (tmp_path / "c").read_text() == "a"
