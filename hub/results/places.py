"""Where journals are, and the hub's own folder of what it keeps for users. Blocking.

    <data>/run/<workspace id>/journal-…                    while the workspace's run folder is there
    <data>/results/<user id>/journals/<kernel id>/         taken from a run folder that was about to be removed
    <data>/results/<user id>/missed/<id>.ipynb             results that found no notebook

The folders are the hub's alone; a journal that was taken stays what it is, hostile.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from hub.domain.ids import KernelId, UserId, WorkspaceId
from hub.spawn.folders import Folders, remove_tree
from proxy.kit.journal import Journal, list_journals
from proxy.kit.journal_format import parse_segment_name

MOST_ENTRIES = 20_000
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}\Z")


class ResultFolders:
    """Journals and kept results on the disk."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def run(self, workspace_id: WorkspaceId) -> Path:
        """The folder of a workspace that may run."""
        return self._folders.run(workspace_id)

    def taken(self, user_id: UserId, kernel_id: KernelId) -> Path:
        """The folder of a kernel's journal that was taken out of a run folder."""
        return self._folders.results(user_id) / "journals" / _checked(kernel_id)

    def take(self, workspace_id: WorkspaceId, user_id: UserId, kernel_id: KernelId) -> bool:
        """Move a kernel's journal out of a run folder that is about to be removed; whether there was one.

        Raises OSError; what was moved until then is in its new place, and the next time goes on.
        """
        try:
            source = os.open(self.run(workspace_id), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            names = [entry.name for _, entry in zip(range(MOST_ENTRIES), os.scandir(source), strict=False)]
            mine = [name for name in names if (parse_segment_name(name) or ("", 0))[0] == kernel_id]
            if not mine:
                return False
            folder = self.taken(user_id, kernel_id)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                for name in mine:
                    os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
                os.fsync(target)
            finally:
                os.close(target)
        finally:
            os.close(source)
        return True

    def remove_journal(self, journal: Journal, user_id: UserId, kernel_id: KernelId) -> None:
        """Remove a journal of which everything is settled, wherever it is. Raises OSError."""
        journal.remove()
        taken = self.taken(user_id, kernel_id)
        if taken.exists():
            remove_tree(taken)

    def listed(self, workspace_id: WorkspaceId) -> set[str]:
        """The kernels of which there are journals in a run folder. Raises OSError."""
        folder = self.run(workspace_id)
        return set(list_journals(folder, folder.lstat().st_uid))

    def remove_from(self, workspace_id: WorkspaceId, kernels: set[str]) -> None:
        """Remove these kernels' journals from a run folder. Raises OSError."""
        folder = self.run(workspace_id)
        for kernel_id in kernels:
            Journal(folder, kernel_id, folder.lstat().st_uid).remove()

    def keep(self, user_id: UserId, missed_id: str, data: bytes) -> None:
        """Write the notebook of a missed result, wholly or not at all. Raises OSError."""
        file = self._missed(user_id, missed_id)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_name(f".{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            draft.replace(file)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise

    def kept(self, user_id: UserId, missed_id: str) -> bytes | None:
        """The notebook of a missed result, None if it is not there."""
        try:
            return self._missed(user_id, missed_id).read_bytes()
        except FileNotFoundError:
            return None

    def drop(self, user_id: UserId, missed_id: str) -> None:
        """Delete the notebook of a missed result."""
        self._missed(user_id, missed_id).unlink(missing_ok=True)

    def _missed(self, user_id: UserId, missed_id: str) -> Path:
        return self._folders.results(user_id) / "missed" / f"{_checked(missed_id)}.ipynb"


def _checked(identifier: str) -> str:
    if not _ID.match(identifier):
        raise ValueError(f"{identifier!r} is not an identifier, so it cannot be part of a path")
    return identifier
