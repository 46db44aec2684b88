"""hub.spawn.folders: the data folder's layout."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.domain.ids import UserId, WorkspaceId
from hub.domain.users import Role, User
from hub.spawn.folders import Folders, clear_sockets, remove_tree, socket_path_too_long

USER = User(UserId("a" * 26), 7, "ada", Role.USER, datetime(2026, 1, 1, tzinfo=UTC))
WORKSPACE = WorkspaceId("b" * 26)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def folders(data_dir: Path) -> Folders:
    return Folders(data_dir, 200_000, 100)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_home_and_run_folder_are_private(folders: Folders) -> None:
    assert mode(folders.prepare_home(USER)) == 0o700
    assert mode(folders.prepare_run(USER, WORKSPACE)) == 0o700


@as_root
def test_home_and_run_folder_belong_to_the_users_own_uid(folders: Folders) -> None:
    for folder in (folders.prepare_home(USER), folders.prepare_run(USER, WORKSPACE)):
        assert (folder.stat().st_uid, folder.stat().st_gid) == (200_007, 100)


def test_a_probes_folders_belong_to_no_user_and_go_together(folders: Folders) -> None:
    run, home = folders.prepare_probe(WORKSPACE)
    assert home.parent == run and (mode(run), mode(home)) == (0o700, 0o700) and not list(home.iterdir())
    if os.geteuid() == 0:
        assert {run.stat().st_uid, home.stat().st_uid} == {200_000}, "users' numbers begin at 1"
    folders.remove_run(WORKSPACE)
    assert not run.exists()


def test_without_uids_everything_belongs_to_the_hub(folders: Folders) -> None:
    own = folders.without_uids()
    assert own.uid_of(USER) == os.geteuid()
    assert own.prepare_home(USER).stat().st_uid == os.geteuid()


@as_root
def test_a_home_of_another_owner_is_given_over_whole_but_not_what_its_links_point_at(folders: Folders) -> None:
    home = folders.without_uids().prepare_home(USER)
    outside = folders.data_dir / "outside"
    outside.write_text("x")
    (home / "sub").mkdir()
    (home / "sub" / "file").write_text("x")
    (home / "sub" / "link").symlink_to(outside)
    folders.prepare_home(USER)
    assert (home / "sub" / "file").stat().st_uid == 200_007
    assert (home / "sub" / "link").lstat().st_uid == 200_007
    assert outside.stat().st_uid == os.geteuid()


def test_preparing_again_keeps_what_is_there(folders: Folders) -> None:
    (folders.prepare_home(USER) / "notebook.ipynb").write_text("{}")
    (folders.prepare_run(USER, WORKSPACE) / "agent.sock").write_text("")
    assert (folders.prepare_home(USER) / "notebook.ipynb").exists()
    assert (folders.prepare_run(USER, WORKSPACE) / "agent.sock").exists()


def test_clearing_removes_sockets_and_whatever_stands_in_for_the_agents(folders: Folders) -> None:
    run = folders.prepare_run(USER, WORKSPACE)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(run / "kernel-1"))
    (run / "agent.sock").mkdir()
    (run / "journal").write_text("x")
    clear_sockets(run)
    assert [path.name for path in run.iterdir()] == ["journal"]


def test_removing_a_run_folder_follows_no_link_and_spares_the_home(folders: Folders) -> None:
    home, run = folders.prepare_home(USER), folders.prepare_run(USER, WORKSPACE)
    (home / "precious").write_text("x")
    (run / "link").symlink_to(home)
    folders.prepare_accounts(WORKSPACE, "root:x:0:0::/:/bin/sh\n", "root:x:0:\n")
    folders.remove_run(WORKSPACE)
    folders.remove_run(WORKSPACE)
    assert not run.exists() and not folders.accounts(WORKSPACE).exists()
    assert (home / "precious").exists()


def test_the_agents_copy_is_readable_for_everybody_and_made_once(folders: Folders) -> None:
    old_umask = os.umask(0o077)
    try:
        agent = folders.prepare_agent()
    finally:
        os.umask(old_umask)
    assert (agent / "__main__.py").is_file()
    assert {mode(path) for path in agent.rglob("*")} == {0o755, 0o644}
    assert folders.prepare_agent() == agent
    assert [path.name for path in agent.parent.iterdir()] == [agent.name]


def test_the_hubs_id_is_made_once(folders: Folders) -> None:
    first = folders.hub_id()
    assert len(first) == 16
    assert Folders(folders.data_dir, None, None).hub_id() == first


@pytest.mark.parametrize("identifier", ["", "..", "a/b", "../x", "a" * 65, "a\n", ".hidden"])
def test_what_is_no_identifier_never_becomes_a_path(folders: Folders, identifier: str) -> None:
    with pytest.raises(ValueError, match="identifier"):
        folders.home(UserId(identifier))
    with pytest.raises(ValueError, match="identifier"):
        folders.run(WorkspaceId(identifier))


def test_a_socket_of_107_bytes_fits_and_one_of_108_does_not() -> None:
    name = len("/00000000-0000-0000-0000-000000000000-5")
    assert not socket_path_too_long(Path("/" + "x" * (107 - name - 1)))
    assert socket_path_too_long(Path("/" + "x" * (108 - name - 1)))


def test_a_tree_of_thousands_of_levels_is_removed(data_dir: Path) -> None:
    deep = data_dir / "run"
    deep.mkdir()
    descriptor = os.open(deep, os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_DIRECTORY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    remove_tree(deep)
    assert not deep.exists()
