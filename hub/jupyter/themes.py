"""Theme files of JupyterLab, kept in memory: there are few, they are small, and every page needs one."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from hub.errors import NotFound
from hub.jupyter.catalogue import Catalogue
from hub.jupyter.installed_files import find_beneath

MAX_KEPT = 256
_LOCAL_URL = re.compile(rb"""url\(\s*(['"]?)(?!['"]?(?:/|#|[a-zA-Z][a-zA-Z0-9+.-]*:))([^'")]+)\1\s*\)""")


@dataclass(frozen=True, slots=True)
class ThemeFile:
    """A file's bytes and type. In style sheets, relative addresses have been made absolute."""

    data: bytes
    content_type: str


class Themes:
    """Theme files by the front end's address of themes and the path below it."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def get(self, catalogue: Catalogue, path: str, themes_url: str) -> ThemeFile:
        """One file. Blocks on the disk at its first use. Raises NotFound."""
        data = self._files.get(path)
        if data is None:
            data = _find(catalogue, path)
            if len(self._files) < MAX_KEPT:
                self._files[path] = data
        if path.endswith(".css"):
            folder = f"{themes_url}/{PurePosixPath(path).parent}"
            return ThemeFile(rewrite(data, folder), "text/css; charset=utf-8")
        guessed = mimetypes.guess_type(path)[0]
        return ThemeFile(data, guessed or "application/octet-stream")


def rewrite(style: bytes, folder_url: str) -> bytes:
    """A style sheet whose relative addresses begin with `folder_url`, so that it may be included anywhere."""
    return _LOCAL_URL.sub(lambda m: b"url('" + folder_url.encode() + b"/" + m[2].strip() + b"')", style)


def _find(catalogue: Catalogue, path: str) -> bytes:
    file = find_beneath(catalogue.theme_folders, path)
    if file is None:
        raise NotFound("There is no such theme file.")
    return file.read_bytes()
