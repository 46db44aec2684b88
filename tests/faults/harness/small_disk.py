"""A small file system in a file, mounted where something shall run out of room."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import missing

MIB = 1024 * 1024
FILLER = ".filler"


class SmallDisk:
    """A mounted file system. `fill` takes all its room, `free` gives it back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave no room for anybody: not one block."""
        with (self.folder / FILLER).open("ab", buffering=0) as filler:
            piece = MIB
            while piece:
                try:
                    filler.write(b"x" * piece)
                except OSError:
                    piece //= 4
            os.fsync(filler.fileno())

    def free(self) -> None:
        """Make room."""
        (self.folder / FILLER).unlink()


@contextmanager
def small_disk(folder: Path, size_bytes: int = 64 * MIB) -> Iterator[SmallDisk]:
    """An ext4 file system of `size_bytes`, mounted at `folder` for a block. Needs root and a loop device."""
    if os.geteuid() != 0:
        missing("root", "run the tests as root: a file system has to be mounted")
    with tempfile.NamedTemporaryFile(prefix="kh-disk-", dir="/tmp") as image:
        os.truncate(image.name, size_bytes)
        # No reserve: root, too, finds it full.
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", "4096", image.name], check=True, capture_output=True)
        folder.mkdir(parents=True, exist_ok=True)
        mounted = subprocess.run(["mount", "-o", "loop", image.name, folder], capture_output=True, text=True)
        if mounted.returncode != 0:
            missing("a loop device", f"this machine cannot mount one: {mounted.stderr.strip()}")
        try:
            (folder / "lost+found").rmdir()
            yield SmallDisk(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
