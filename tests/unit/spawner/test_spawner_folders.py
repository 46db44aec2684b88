"""hub.spawner: its own folder, the record of users, the label of its containers, and homes that are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hub.errors import SpawnerRefused
from hub.spawn.folders import Folders
from hub.spawner.ground import check, make_private
from hub.spawner.owners import Owners
from hub.spawner.service import Refusals, adopt_hub_id
from tests.contract.spawner_worlds import fake_world, rules


def test_the_first_number_of_a_user_stays_whatever_is_said_later(data_dir: Path) -> None:
    owners = Owners(data_dir)
    owners.require("ada", 1)
    owners.require("ada", 1)
    owners.close()
    again = Owners(data_dir)
    for user, number in (("ada", 2), ("eve", 1)):
        with pytest.raises(SpawnerRefused, match="is not this user's"):
            again.require(user, number)
    assert (again.number_of("ada"), again.number_of("eve")) == (1, None)
    again.require("eve", 2)
    again.close()
    assert (data_dir / "users.db").stat().st_mode & 0o077 == 0


def test_the_spawners_folder_is_its_own(data_dir: Path) -> None:
    folder = data_dir / "spawner"
    make_private(folder, os.geteuid(), os.getegid())
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o770)
    with pytest.raises(SpawnerRefused, match="must be the spawner's own"):
        make_private(folder, os.geteuid(), os.getegid())


def test_a_hub_of_another_uid_may_look_for_the_socket_and_no_more(data_dir: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another group")
    make_private(data_dir / "spawner", 990, 991)
    found = (data_dir / "spawner").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, 991, 0o710)


def test_the_label_of_before_is_taken_over_once_and_not_believed_later(data_dir: Path) -> None:
    given = rules(data_dir, "an/image:1")
    make_private(given.folder, given.hub_uid, given.hub_gid)
    (data_dir / "hub-id").write_text("0123456789abcdef\n")
    own = Folders(given.folder, None, None)
    assert adopt_hub_id(given, own) == "0123456789abcdef"
    (data_dir / "hub-id").write_text("fedcba9876543210\n")
    assert adopt_hub_id(given, own) == "0123456789abcdef"
    assert (data_dir / "hub-id").read_text() == "0123456789abcdef\n"


@pytest.mark.parametrize("which", ["homes", "run"])
def test_a_folder_with_a_link_on_its_way_is_refused(data_dir: Path, which: str) -> None:
    spec = fake_world(data_dir).spec()
    check(spec, data_dir)
    (data_dir / which).rename(data_dir / "elsewhere")
    (data_dir / which).symlink_to(data_dir / "elsewhere")
    with pytest.raises(SpawnerRefused, match="is not a folder of the data folder"):
        check(spec, data_dir)


def test_refusals_are_counted_where_they_are_too_many_to_be_logged() -> None:
    refusals = Refusals()
    assert sum(refusals.words(5.0, "x") is not None for _ in range(250)) == 100
    assert refusals.words(15.0, "x") == "x (150 refusals before it were not logged)"
    assert refusals.words(16.0, "x") == "x"
