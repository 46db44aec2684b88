"""proxy.kit.sockets and file_limit: what is opened in a folder that somebody hostile can write to."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.kit.file_limit import raise_file_limit
from proxy.kit.sockets import SocketMissing, SocketRefused, is_same_socket, open_socket


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kh") as name:
        yield Path(name)


def bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def test_a_socket_of_the_owner_is_opened_and_can_be_connected_to(folder: Path) -> None:
    with bind(folder / "s") as listener, open_socket(folder, "s", os.getuid()) as opened:
        assert opened.endpoint == f"ipc://{opened.path}"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(opened.path)
            listener.accept()[0].close()


def test_the_connection_goes_to_the_inode_that_was_examined_even_if_the_name_is_swapped(folder: Path) -> None:
    with bind(folder / "s") as listener, open_socket(folder, "s", os.getuid()) as opened:
        (folder / "s").rename(folder / "moved")
        with bind(folder / "evil") as evil, socket.socket(socket.AF_UNIX) as client:
            (folder / "s").symlink_to("evil")
            client.connect(opened.path)
            listener.accept()[0].close()
            evil.setblocking(False)
            with pytest.raises(BlockingIOError):
                evil.accept()


def test_nothing_there_is_missing(folder: Path) -> None:
    with pytest.raises(SocketMissing):
        open_socket(folder, "s", os.getuid())
    with pytest.raises(SocketMissing):
        open_socket(folder / "gone", "s", os.getuid())


def test_a_link_to_a_socket_is_refused(folder: Path) -> None:
    with bind(folder / "real"):
        (folder / "s").symlink_to("real")
        with pytest.raises(SocketRefused, match="not a socket"):
            open_socket(folder, "s", os.getuid())


def test_a_folder_that_is_a_link_is_refused(folder: Path) -> None:
    (folder / "real").mkdir()
    with bind(folder / "real" / "s"):
        (folder / "link").symlink_to("real")
        with pytest.raises(SocketRefused):
            open_socket(folder / "link", "s", os.getuid())


@pytest.mark.parametrize("make", [lambda path: path.touch(), lambda path: path.mkdir(), lambda path: os.mkfifo(path)])
def test_other_kinds_of_files_are_refused(folder: Path, make: object) -> None:
    make(folder / "s")  # type: ignore[operator]
    with pytest.raises(SocketRefused, match="not a socket"):
        open_socket(folder, "s", os.getuid())


def test_a_socket_of_another_owner_is_refused(folder: Path) -> None:
    with bind(folder / "s"), pytest.raises(SocketRefused, match="belongs to uid"):
        open_socket(folder, "s", os.getuid() + 1)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../s", "/etc/passwd", "a\0b"])
def test_a_name_that_is_a_path_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(SocketRefused, match="plain file name"):
        open_socket(folder, name, os.getuid())


def test_refusals_leave_no_descriptor_behind(folder: Path) -> None:
    (folder / "s").touch()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(SocketRefused):
            open_socket(folder, "s", os.getuid())
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_socket_that_was_replaced_is_noticed(folder: Path) -> None:
    with bind(folder / "s"), open_socket(folder, "s", os.getuid()) as opened:
        assert is_same_socket(folder, "s", opened)
        (folder / "s").unlink()
        assert not is_same_socket(folder, "s", opened)
        with bind(folder / "s"):
            assert not is_same_socket(folder, "s", opened)


def test_the_file_limit_is_raised_and_never_lowered() -> None:
    soft = raise_file_limit()
    assert raise_file_limit(16) == soft == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
