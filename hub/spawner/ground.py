"""Whether folders are what they must be: real folders, not links, and of the right uid.

Homes and run folders are made by the hub. It may be hostile here, and so may be the code in the home: a container must
not be given what a link leads to, nor the folder of another user. All these calls block for a moment.
"""

from __future__ import annotations

import os
from pathlib import Path

from hub.errors import SpawnerRefused
from hub.spawn.protocol import WorkspaceSpec

_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def check(spec: WorkspaceSpec, data_dir: Path) -> None:
    """Raise SpawnerRefused unless the container's folders are folders of its uid, below the data folder."""
    folders = [spec.home_folder, spec.run_folder]
    if spec.scratch_folder is not None:
        folders += [spec.scratch_folder / "upper", spec.scratch_folder / "work"]
    for folder in folders:
        _check_folder(data_dir, folder.relative_to(data_dir), spec.uid)


def make_private(folder: Path, hub_uid: int, hub_gid: int) -> None:
    """Make the spawner's own folder; only the hub may look for the socket in it.

    Raises SpawnerRefused when somebody else could write there.
    """
    other = hub_uid != os.geteuid()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat(follow_symlinks=False)
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise SpawnerRefused(
            f"{folder} belongs to uid {found.st_uid} or can be written by others: it must be the spawner's own"
        )
    if other:
        os.chown(folder, -1, hub_gid)
    folder.chmod(0o710 if other else 0o700)


def _check_folder(data_dir: Path, path: Path, uid: int) -> None:
    descriptor = os.open(data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in path.parts:
            deeper = os.open(name, _FLAGS, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        owner = os.fstat(descriptor).st_uid
    except OSError as error:
        raise SpawnerRefused(f"{path} is not a folder of the data folder ({error.strerror})") from error
    finally:
        os.close(descriptor)
    if owner != uid:
        raise SpawnerRefused(f"{path} belongs to uid {owner}, not to the container's uid {uid}")
