"""What a home takes on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hub.contents import usage
from hub.contents.beneath import Owner
from hub.contents.usage import usage_of


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    home = tmp_path / "home"
    (home / "work" / ".hidden").mkdir(parents=True)
    (home / "work" / "a.bin").write_bytes(b"x" * 100_000)
    (home / "work" / ".hidden" / "b.bin").write_bytes(b"x" * 50_000)
    with (home / "hole").open("wb") as hole:
        hole.truncate(10**12)
    (tmp_path / "outside").write_bytes(b"x" * 10**6)
    (home / "link").symlink_to(tmp_path / "outside")
    return Owner(home=home, uid=os.getuid(), gid=os.getgid(), impersonate=False)


def test_what_is_stored_is_counted_hidden_files_too_and_neither_holes_nor_links(owner: Owner) -> None:
    stored, files, is_whole = usage_of(owner)
    assert 150_000 <= stored < 400_000 and files == 6 and is_whole


def test_a_count_that_takes_too_long_is_given_up_and_says_so(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MAX_ENTRIES", 2)
    assert usage_of(owner)[1:] == (2, False)
