"""hub.contents.copy_out: a home copied to where it may be spoilt, within bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hub.contents import copy_out
from hub.contents.beneath import Owner
from hub.contents.copy_out import read_out
from hub.contents.paths import parse_path
from hub.errors import BadRequest, HubError, NotFound, TooLarge


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    home = tmp_path / "home"
    (home / "work" / "deep").mkdir(parents=True)
    (home / ".local").mkdir()
    (home / ".cache").mkdir()
    (home / "work" / "a.ipynb").write_text("a")
    (home / "work" / "deep" / "b.txt").write_text("b")
    (home / ".local" / "module.py").write_text("m")
    (home / ".cache" / "big").write_text("c")
    (home / "top.txt").write_text("t")
    (home / "link").symlink_to("/etc/passwd")
    os.mkfifo(home / "pipe")
    return Owner(home, os.geteuid(), os.getegid(), impersonate=False)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}


def test_the_whole_home_is_copied_but_what_programs_fill_again(owner: Owner, target: Path) -> None:
    copy_out.copy_out(owner, parse_path("work"), target)
    assert files(target) == {"work/a.ipynb", "work/deep/b.txt", ".local/module.py", "top.txt", "link"}
    assert (target / "link").readlink() == Path("/etc/passwd")
    (target / "work" / "a.ipynb").write_text("spoilt")
    assert (owner.home / "work" / "a.ipynb").read_text() == "a"


def test_of_a_home_that_is_too_large_the_folder_is_copied_to_where_it_was(
    owner: Owner, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_out, "COPIED_BYTES", 10)
    (owner.home / "huge").write_bytes(bytes(100))
    copy_out.copy_out(owner, parse_path("work"), target)
    assert files(target) == {"work/a.ipynb", "work/deep/b.txt"}


def test_what_is_too_large_all_the_same_is_refused_with_the_bound(
    owner: Owner, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_out, "COPIED_ENTRIES", 1)
    for folder in ("work", ""):
        with pytest.raises(TooLarge, match="256 MiB"):
            copy_out.copy_out(owner, parse_path(folder), target)


def test_what_came_of_it_is_read_never_through_a_link_that_leads_out(owner: Owner, target: Path) -> None:
    (target / "result").write_text("x" * 10)
    assert read_out(owner, target, "result", 10) == b"x" * 10
    with pytest.raises(TooLarge):
        read_out(owner, target, "result", 9)
    (target / "out").symlink_to("/etc/passwd")
    os.mkfifo(target / "pipe")
    with pytest.raises(HubError):
        read_out(owner, target, "out", 10**6)
    with pytest.raises(BadRequest):
        read_out(owner, target, "pipe", 10**6)
    with pytest.raises(NotFound):
        read_out(owner, target, "nothing", 10**6)
