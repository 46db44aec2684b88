"""What a home takes on the disk. Blocking, bounded in entries and time; links are not followed, hidden files count."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from hub.contents.beneath import Folder, Owner
from hub.contents.paths import parse_path
from hub.contents.trees import MAX_DEPTH

MAX_ENTRIES = 1_000_000
MAX_SECONDS = 20.0


@dataclass(slots=True)
class Usage:
    """A count under way. `is_whole` becomes False when it is given up."""

    stored_bytes: int = 0
    files: int = 0
    is_whole: bool = True
    ends_at: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    def add_folder(self, folder: Folder, depth: int = 0) -> None:
        """Count everything in a folder."""
        with os.scandir(folder.fd) as entries:
            for entry in entries:
                if self.files >= MAX_ENTRIES or depth >= MAX_DEPTH or time.monotonic() > self.ends_at:
                    self.is_whole = False
                    return
                self._add(folder, entry, depth)

    def _add(self, folder: Folder, entry: os.DirEntry[str], depth: int) -> None:
        try:
            found = entry.stat(follow_symlinks=False)
            self.stored_bytes += found.st_blocks * 512
            self.files += 1
            if entry.is_dir(follow_symlinks=False):
                with folder.open_folder(entry.name) as inner:
                    self.add_folder(inner, depth + 1)
        except OSError:
            return  # deleted meanwhile, or not ours to read


def usage_of(owner: Owner) -> tuple[int, int, bool]:
    """Bytes on the disk, files and folders, and whether that is all of it."""
    usage = Usage()
    with owner.at_home(parse_path("")) as home, home.open_folder(parse_path("")) as top:
        usage.add_folder(top)
    return usage.stored_bytes, usage.files, usage.is_whole
