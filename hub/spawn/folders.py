"""The data folder's layout, and the folders a workspace needs: the one place that knows either.

    <data>/homes/<user id>/           the user's home, 0700, owned by the user's uid
    <data>/run/<workspace id>/        sockets and journals of one workspace, 0700, owned by the user's uid
    <data>/accounts/<workspace id>/   passwd and group of one container, read-only inside
    <data>/agent/<version>/           a copy of hub/agent, read-only inside
    <data>/lab/<user id>/             JupyterLab's settings and workspaces (never in the home: hostile ground)
    <data>/images/<hash>/<user id>/   kernelspecs, remembered per image and user; those of the image itself in image/
    <data>/results/<user id>/         outputs on their way into notebooks, and those that found none (hub.results)
    <data>/scratch/<workspace id>/    what a verification's container writes instead of the home; goes with it
    <data>/hubs/                      a locked file for each hub that lives (`hub.workspaces.living_hubs`)
    <data>/removals/<user id>         whose folders are to go, whatever happens (`hub.people.departures`)
    <data>/hub-id                     the label on this hub's containers

Homes and run folders are writable by people's code, so nothing below follows a link inside them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import secrets
import shutil
import stat
import subprocess
import threading
import time
from pathlib import Path

from hub.agent import install
from hub.crash_points import Point, reached
from hub.domain.ids import UserId, WorkspaceId
from hub.domain.users import User
from proxy.contract.agent import AGENT_SOCKET, KERNEL_SOCKETS

MAX_SOCKET_PATH_BYTES = 107
"""A Unix socket's address holds this many bytes (`sun_path`, with its closing zero)."""

_LONGEST_SOCKET_NAME = len("00000000-0000-0000-0000-000000000000-") + len(str(max(KERNEL_SOCKETS.values())))
_making = threading.Lock()
"""Two threads may need the same new folder at once: its first container's, and its first file's."""
_DRAFT = ".new-"
DRAFT_SECONDS = 120.0
"""A folder is made within a moment; one that is unnamed for so long has nobody who makes it."""
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}\Z")


class Folders:
    """Where things are below `data_dir`. What begins with ``prepare_`` or ``remove_`` blocks.

    A hub run as root gives each user an own uid, `base_uid` plus the user's number, and the group `base_gid`.
    Elsewhere, or where `base_uid` is None (local processes), everything belongs to the hub's own uid.
    """

    def __init__(self, data_dir: Path, base_uid: int | None, base_gid: int | None) -> None:
        self.data_dir = data_dir.absolute()
        own_uids = os.geteuid() == 0 and base_uid is not None
        self._base_uid = base_uid if own_uids else None
        self._gid = base_gid if own_uids and base_gid is not None else os.getegid()

    def without_uids(self) -> Folders:
        """The same layout with everything owned by the hub's own uid."""
        return Folders(self.data_dir, None, None)

    @property
    def gid(self) -> int:
        """The group of homes and containers."""
        return self._gid

    def uid_of(self, user: User) -> int:
        """The uid that owns the user's home and runs the user's code."""
        return os.geteuid() if self._base_uid is None else self._base_uid + user.number

    def number_of(self, uid: int) -> int | None:
        """The number of the user with this uid; None where users have no uids of their own."""
        return None if self._base_uid is None else uid - self._base_uid

    def home(self, user_id: UserId) -> Path:
        """The user's home."""
        return self.data_dir / "homes" / _checked(user_id)

    def run(self, workspace_id: WorkspaceId) -> Path:
        """The folder of a workspace's sockets."""
        return self.data_dir / "run" / _checked(workspace_id)

    def agent_socket(self, workspace_id: WorkspaceId) -> Path:
        """Where the workspace's agent listens."""
        return self.run(workspace_id) / AGENT_SOCKET

    def scratch(self, workspace_id: WorkspaceId) -> Path:
        """The folder for what a throw-away container writes."""
        return self.data_dir / "scratch" / _checked(workspace_id)

    def accounts(self, workspace_id: WorkspaceId) -> Path:
        """The folder of the container's passwd and group files."""
        return self.data_dir / "accounts" / _checked(workspace_id)

    def lab(self, user_id: UserId) -> Path:
        """The folder of the user's JupyterLab settings and workspaces."""
        return self.data_dir / "lab" / _checked(user_id)

    def results(self, user_id: UserId) -> Path:
        """The folder of what cells of the user's printed and found no notebook yet (hub.results.places)."""
        return self.data_dir / "results" / _checked(user_id)

    @property
    def images(self) -> Path:
        """The folder of what is known about images."""
        return self.data_dir / "images"

    def prepare_home(self, user: User) -> Path:
        """Make the user's home if there is none, and give it to the user's uid. Raises OSError.

        A home of another owner (the spawner was changed, say) is given over with all that is in it.
        """
        return self._prepare_owned(self.home(user.id), self.uid_of(user))

    def prepare_run(self, user: User, workspace_id: WorkspaceId) -> Path:
        """Make the workspace's run folder if there is none. Raises OSError.

        What is in it stays: the workspace may run already. Spawners clear it of stale sockets before a start.
        """
        return self._prepare_owned(self.run(workspace_id), self.uid_of(user))

    def prepare_probe(self, workspace_id: WorkspaceId) -> tuple[Path, Path]:
        """Make the run folder of a container that nobody's code runs in, and an empty home inside it. Raises OSError.

        `remove_run` removes both. They belong to `probe_uid`.
        """
        run = self._prepare_owned(self.run(workspace_id), self.probe_uid)
        home = run / "home"
        self._make_owned(home, self.probe_uid)
        return run, home

    @property
    def probe_uid(self) -> int:
        """A uid that no user has: users' numbers begin at 1."""
        return os.geteuid() if self._base_uid is None else self._base_uid

    def prepare_scratch(self, user: User, workspace_id: WorkspaceId, *names: str) -> Path:
        """Make the folder of a throw-away container, which is the hub's, with folders of the user's in it."""
        folder = self.scratch(workspace_id)
        _make_folder(self.data_dir, 0o700)
        _make_folder(folder.parent, 0o711)
        _make_folder(folder, 0o711)
        for name in names:
            self._make_owned(folder / name, self.uid_of(user))
        return folder

    def remove_scratch(self, workspace_id: WorkspaceId) -> None:
        """Remove the folder of a throw-away container that is gone. One that is not there is fine. Raises OSError."""
        remove_tree(self.scratch(workspace_id))

    def prepare_agent(self) -> Path:
        """The folder of a copy of hub/agent, made if this version's is missing. Raises OSError."""
        folder = self.data_dir / "agent" / _agent_version()
        if folder.is_dir():
            return folder
        _make_folder(self.data_dir, 0o700)
        _make_folder(folder.parent, 0o755)
        draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        install.install(draft)
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        try:
            draft.rename(folder)
        except OSError:
            shutil.rmtree(draft)
            if not folder.is_dir():
                raise
        return folder

    def prepare_accounts(self, workspace_id: WorkspaceId, passwd: str, group: str) -> Path:
        """Write the container's passwd and group files; give their folder. Raises OSError."""
        folder = self.accounts(workspace_id)
        _make_folder(self.data_dir, 0o700)
        _make_folder(folder.parent, 0o755)
        _make_folder(folder, 0o755)
        for name, content in {"passwd": passwd, "group": group}.items():
            (folder / name).write_text(content)
            (folder / name).chmod(0o644)
        return folder

    def remove_run(self, workspace_id: WorkspaceId) -> None:
        """Remove what a stopped workspace leaves behind; the home stays. What is not there is fine. Raises OSError."""
        reached(Point.RUN_FOLDER_REMOVE_BEFORE)
        remove_tree(self.run(workspace_id))
        reached(Point.RUN_FOLDER_REMOVE_HALF)
        remove_tree(self.accounts(workspace_id))
        reached(Point.RUN_FOLDER_REMOVE_AFTER)

    def list_runs(self) -> list[WorkspaceId]:
        """The workspaces that have a run folder, or what else `remove_run` would remove. Raises OSError."""
        names: set[str] = set()
        for folder in ("run", "accounts"):
            with contextlib.suppress(FileNotFoundError), os.scandir(self.data_dir / folder) as entries:
                names.update(entry.name for entry in entries if _ID.match(entry.name))
        return sorted(map(WorkspaceId, names))

    def remove_stale_drafts(self) -> int:
        """Remove folders that a hub was making when it ended: empty ones, still without their name. How many."""
        oldest, gone = time.time() - DRAFT_SECONDS, 0
        for folder in ("run", "homes", "scratch"):
            for draft in (self.data_dir / folder).glob(f"{_DRAFT}*"):
                with contextlib.suppress(OSError):
                    if draft.stat(follow_symlinks=False).st_mtime < oldest:
                        draft.rmdir()
                        gone += 1
        return gone

    def hub_id(self) -> str:
        """The identity of this hub, made once: the value of its containers' label. Raises OSError."""
        path = self.data_dir / "hub-id"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text().strip()
        _make_folder(self.data_dir, 0o700)
        draft = path.with_name(f".hub-id.{secrets.token_hex(4)}")
        draft.write_text(secrets.token_hex(8) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
        return path.read_text().strip()

    def _prepare_owned(self, folder: Path, uid: int) -> Path:
        _make_folder(self.data_dir, 0o700)
        _make_folder(folder.parent, 0o711)
        with _making:
            if not folder.exists():
                self._make_owned(folder, uid)
        owner = folder.stat(follow_symlinks=False)
        if os.geteuid() == 0 and (owner.st_uid, owner.st_gid) != (uid, self._gid):
            _give(folder, uid, self._gid)
        return folder

    def _make_owned(self, folder: Path, uid: int) -> None:
        """Make a folder that has its owner from the first moment at which others can see it."""
        draft = folder.with_name(f"{_DRAFT}{secrets.token_hex(8)}")
        draft.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(draft, uid, self._gid)
        reached(Point.RUN_FOLDER_DRAFT)
        draft.rename(folder)
        _sync(folder.parent)  # what is saved in a home must not go with the home's own name
        reached(Point.RUN_FOLDER_MADE)


def socket_path_too_long(run_folder: Path) -> bool:
    """Whether a kernel's socket in this folder has no address; local processes bind by the full path."""
    return len(os.fsencode(run_folder)) + 1 + _LONGEST_SOCKET_NAME > MAX_SOCKET_PATH_BYTES


def remove_tree(folder: Path) -> None:
    """Remove a folder that hostile code could write, with all that is in it. One that is not there is fine.

    rm(1) and not shutil.rmtree, which recurses and gives up on a tree of some thousand levels. Raises OSError.
    """
    done = subprocess.run(["/bin/rm", "-rf", "--one-file-system", "--", folder], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{folder} could not be removed: {done.stderr.strip()[:300]}")


def clear_sockets(run_folder: Path) -> None:
    """Remove the sockets of a workspace that does not run: a new one is a sign of life. Raises OSError."""
    for entry in os.scandir(run_folder):
        if entry.name == AGENT_SOCKET and entry.is_dir(follow_symlinks=False):
            remove_tree(Path(entry.path))
        elif entry.name == AGENT_SOCKET or stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
            Path(entry.path).unlink()


def _checked(identifier: str) -> str:
    if not _ID.match(identifier):
        raise ValueError(f"{identifier!r} is not an identifier, so it cannot be part of a path")
    return identifier


def _make_folder(folder: Path, mode: int) -> None:
    """Make a folder with exactly this mode, whatever the umask; one that exists is left alone."""
    if not folder.is_dir():
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        folder.chmod(mode)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give(folder: Path, uid: int, gid: int) -> None:
    """Change the owner of a folder and everything beneath, through descriptors, following no link."""
    for _path, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(folder, uid, gid, follow_symlinks=False)


@functools.cache
def _agent_version() -> str:
    """The version of the agent that this process has: files changed under a running hub are not picked up."""
    return install.version()
