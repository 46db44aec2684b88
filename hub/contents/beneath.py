"""Files beneath the home and nowhere else, by descriptors.

Every walk begins at the home's descriptor and is one openat2 call, which the kernel keeps beneath the home
whatever the user renames meanwhile (SECURITY 2.3). What follows works on single names in an open folder, and
never follows a link there. So no path is looked up twice, and nothing that was checked can change under us.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hub.contents.identity import acting_as
from hub.contents.paths import ApiPath
from hub.contents.refusals import refusing
from hub.contents.stats import may_write
from hub.contents.syscalls import openat2_beneath
from hub.errors import BadRequest, NotFound

# O_NONBLOCK: opening a FIFO must not wait for its other end. O_NOCTTY: no terminal becomes ours.
_SAFE = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_LINKS = 20


class Folder:
    """An open folder. Its methods take names, not paths, and follow no links. Closing it is the opener's duty.

    Names whose bytes are not UTF-8 have surrogates in them, as `names` gives them.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def find(self, name: str) -> os.stat_result | None:
        """What `name` is (itself, if it is a link), or None when there is nothing."""
        try:
            return os.stat(_raw(name), dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open_file(self, name: str, flags: int = os.O_RDONLY, mode: int = 0) -> int:
        """Open a regular file, never through a link. The caller owns the descriptor.

        Raises OSError (ELOOP for a link), and BadRequest when it is something other than a regular file.
        """
        fd = os.open(_raw(name), flags | _SAFE | os.O_NOFOLLOW, mode, dir_fd=self.fd)
        return _regular(fd, name)

    def open_folder(self, name: str) -> Folder:
        """Open a folder in this one, never through a link."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | _SAFE
        return Folder(os.open(_raw(name), flags, dir_fd=self.fd))

    def make_folder(self, name: str, mode: int = 0o755) -> None:
        """Make a folder with exactly this mode, whatever the umask. Raises FileExistsError.

        It is on the disk then: what is saved in it later must not go with its name.
        """
        os.mkdir(_raw(name), mode, dir_fd=self.fd)
        with self.open_folder(name) as made:
            os.fchmod(made.fd, mode)
            made.sync()
        self.sync()

    def remove_file(self, name: str) -> None:
        """Remove a file or a link."""
        os.unlink(_raw(name), dir_fd=self.fd)

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        os.rmdir(_raw(name), dir_fd=self.fd)

    def names(self) -> list[str]:
        """All names in it, hidden ones too; bytes that are not UTF-8 as surrogates."""
        with os.scandir(self.fd) as entries:
            return [entry.name for entry in entries]

    def read_link(self, name: str) -> bytes:
        """Where a link points."""
        return os.readlink(_raw(name), dir_fd=self.fd)

    def sync(self) -> None:
        """Wait until the names in this folder are on the disk."""
        os.fsync(self.fd)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an open folder, whether or not there is something of that name."""

    folder: Folder
    name: str


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose files: where they are, and as whom they are accessed when `impersonate` is set.

    `make_home` makes the home where there is none yet, and gives it to `uid`; None: a missing home stays missing.
    """

    home: Path
    uid: int
    gid: int
    impersonate: bool
    make_home: Callable[[], object] | None = None

    @contextmanager
    def at_home(self, path: object) -> Iterator[Home]:
        """Open the home, as the hub; then, within the block, act as the user.

        Only file access belongs into the block: an import there would happen with the user's rights.
        Errors of the operating system become the hub's, about `path`.
        """
        with ExitStack() as stack:
            stack.enter_context(refusing(path))
            fd = self._open_home()
            stack.callback(os.close, fd)
            if self.impersonate:
                stack.enter_context(acting_as(self.uid, self.gid))
            yield Home(fd, self)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Act as the user within the block, on what is open already; see `at_home`."""
        with ExitStack() as stack:
            if self.impersonate:
                stack.enter_context(acting_as(self.uid, self.gid))
            yield

    def _open_home(self) -> int:
        """The home's descriptor. The first use of anybody's files makes the home: a container may come later."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(self.home, flags)
        except FileNotFoundError:
            if self.make_home is None:
                raise
            self.make_home()
            return os.open(self.home, flags)

    def may_write(self, found: os.stat_result) -> bool:
        """Whether the mode bits let the owner write what was found."""
        return may_write(found, self.uid, self.gid)


class Home:
    """The open home of `owner`, where every walk begins. It does not own the descriptor."""

    def __init__(self, fd: int, owner: Owner) -> None:
        self._fd = fd
        self.owner = owner

    def kept(self, stack: ExitStack) -> Home:
        """The same home for longer than the block of `Owner.at_home`: until the stack is closed."""
        fd = os.dup(self._fd)
        stack.callback(os.close, fd)
        return Home(fd, self.owner)

    def open_file(self, path: ApiPath) -> int:
        """Open a regular file for reading, through links that stay beneath. The caller owns the descriptor.

        Raises OSError, and BadRequest when it is a folder, FIFO, socket or device.
        """
        return _regular(openat2_beneath(self._fd, path.raw, os.O_RDONLY | _SAFE), str(path))

    def open_folder(self, path: ApiPath) -> Folder:
        """Open a folder, through links that stay beneath. Raises NotFound when there is none."""
        try:
            return Folder(self._open_folder(path.raw))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"No such directory: {path}") from error

    def stat(self, path: ApiPath) -> os.stat_result:
        """What is at `path`, at the end of all links. Opens nothing, so a FIFO or device notices nothing."""
        fd = openat2_beneath(self._fd, path.raw, os.O_PATH | os.O_CLOEXEC)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def find(self, path: ApiPath) -> os.stat_result | None:
        """As `stat`, but None when there is nothing there, or nothing that may be reached."""
        try:
            return self.stat(path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EXDEV, errno.ELOOP, errno.EACCES):
                return None
            raise

    @contextmanager
    def place(self, path: ApiPath) -> Iterator[Place]:
        """The name at `path` in its folder: the link itself, where it is one. Raises BadRequest for the home."""
        if not path.parts:
            raise BadRequest("This cannot be done to your home folder itself.")
        with self.open_folder(path.parent) as folder:
            yield Place(folder, path.name)

    @contextmanager
    def target(self, path: ApiPath) -> Iterator[Place]:
        """As `place`, but where a link at `path` leads to: what is to be written when the user saves there.

        Raises OSError with EXDEV for a link that leads out of the home, ELOOP for one that leads in circles.
        """
        with ExitStack() as stack:
            place = stack.enter_context(self.place(path))
            folder_path = path.parent.raw
            for _ in range(_MOST_LINKS):
                found = place.folder.find(place.name)
                if found is None or not stat.S_ISLNK(found.st_mode):
                    yield place
                    return
                link = place.folder.read_link(place.name)
                way = link if link.startswith(b"/") else folder_path + b"/" + link
                folder_path, _, name = way.rstrip(b"/").rpartition(b"/")
                if name in (b"", b".", b".."):
                    raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
                folder = stack.enter_context(Folder(self._open_folder(folder_path or b"/")))
                place = Place(folder, _text(name))
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _open_folder(self, raw: bytes) -> int:
        return openat2_beneath(self._fd, raw, os.O_RDONLY | os.O_DIRECTORY | _SAFE)


def _regular(fd: int, shown: str) -> int:
    """The descriptor, if it is of a regular file; else it is closed and BadRequest raised."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    raise BadRequest(f"{shown} is a folder." if stat.S_ISDIR(mode) else f"{shown} is not a regular file.")


def _raw(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ)) from error
