"""Opening a Unix socket in a folder that somebody hostile can write to.

A workspace's run folder belongs to its user, who may replace a socket by a link to anything at any moment. So
the folder and then the name in it are opened without following links, what was opened is examined, and
the connection goes to exactly that inode, through ``/proc/self/fd/N``; a path is never used twice.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType


class SocketRefused(Exception):
    """What stands at the path must not be connected to; the message says why."""


class SocketMissing(SocketRefused):
    """Nothing is at the path (yet), or the folder is gone."""


@dataclass(slots=True)
class OpenedSocket:
    """A socket's inode, held open: `close` it after the last connection to `path`."""

    fd: int
    inode: tuple[int, int]

    @property
    def path(self) -> str:
        """A path of this process that leads to the inode and nowhere else."""
        return f"/proc/self/fd/{self.fd}"

    @property
    def endpoint(self) -> str:
        """The same for libzmq's connect."""
        return f"ipc://{self.path}"

    def close(self) -> None:
        """Let go of the inode. Closing twice is harmless."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> OpenedSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_socket(folder: Path, name: str, owner_uid: int) -> OpenedSocket:
    """Open the Unix socket `name` in `folder`, if it is one and belongs to `owner_uid`.

    `folder` is a path that this side made; `name` is a plain file name. The caller owns the result.
    Raises SocketMissing where nothing is, SocketRefused for a link, another kind of file or another owner.
    """
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise SocketRefused(f"{name!r} is not a plain file name")
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        folder_fd = os.open(folder, flags | os.O_DIRECTORY)
        try:
            fd = os.open(name, flags, dir_fd=folder_fd)
        finally:
            os.close(folder_fd)
    except FileNotFoundError as error:
        raise SocketMissing(f"there is no {name} in {folder}") from error
    except OSError as error:
        raise SocketRefused(f"{name} in {folder} cannot be opened: {error.strerror}") from error
    try:
        inode = _examine(fd, name, folder, owner_uid)
    except BaseException:
        os.close(fd)
        raise
    return OpenedSocket(fd, inode)


def _examine(fd: int, name: str, folder: Path, owner_uid: int) -> tuple[int, int]:
    found = os.fstat(fd)
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketRefused(f"{name} in {folder} is not a socket")
    if found.st_uid != owner_uid:
        raise SocketRefused(f"{name} in {folder} belongs to uid {found.st_uid}, not {owner_uid}")
    return found.st_dev, found.st_ino


def is_same_socket(folder: Path, name: str, opened: OpenedSocket) -> bool:
    """Whether the path still leads to the inode of `opened`: False once it was removed or replaced."""
    try:
        found = os.lstat(folder / name)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == opened.inode
