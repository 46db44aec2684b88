"""Files of installed packages and of administrators, found by an untrusted path."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath


def find_beneath(folders: Iterable[str], path: str) -> Path | None:
    """The file at `path` in the first of `folders` that has it, links resolved; None if none has. Blocks."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        return None
    for folder in folders:
        root = Path(folder).resolve()
        file = root.joinpath(*parts)
        try:
            if file.is_file() and file.resolve().is_relative_to(root):
                return file
        except OSError:
            continue  # a name that no file can have
    return None
