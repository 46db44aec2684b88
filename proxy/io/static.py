"""Serves the files of front ends: hashed names for a year, the rest by ETag, compressed once.

The roots are folders of installed packages, trusted; the paths asked for are not. A compressed copy is made in
a thread at the first request that could use it (which is answered uncompressed meanwhile) and kept on disk.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import mimetypes
import os
import re
import stat
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tornado.iostream import StreamClosedError

from proxy.errors import Refused
from proxy.io.handler import PlainHandler

log = logging.getLogger(__name__)

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
CHUNK_BYTES = 256 * 1024
COMPRESS_FROM_BYTES = 1024
COMPRESS_LEVEL = 7
_HASHED = re.compile(r"(?:^|[./_-])[0-9a-f]{16,64}\.[A-Za-z0-9.]+$")
_HASH = re.compile(r"[0-9a-f]{16,128}")
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".eot": "application/vnd.ms-fontobject",
    ".ico": "image/x-icon",
}
_COMPRESSIBLE = re.compile(r"text/|application/(json|wasm|vnd.ms-fontobject)|image/svg|font/ttf")


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file that may be served."""

    path: Path
    size: int
    modified_ns: int

    @property
    def content_type(self) -> str:
        """By the name's ending."""
        suffix = self.path.suffix.lower()
        return _TYPES.get(suffix) or mimetypes.guess_type(self.path.name)[0] or "application/octet-stream"

    @property
    def tag(self) -> str:
        """Changes whenever the file does."""
        text = f"{self.path}\0{self.modified_ns}\0{self.size}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class StaticFiles:
    """Files beneath `roots` (public prefix to its folders, in order), with compressed copies in `cache`, if given.

    Resource handling: owns one thread until `close`.
    """

    def __init__(self, roots: Mapping[str, Sequence[Path]], cache: Path | None) -> None:
        # The longest prefix first, so that a root may lie within another's prefix.
        self._roots = sorted(((p.rstrip("/") + "/", r) for p, r in roots.items()), key=lambda e: -len(e[0]))
        self._cache = cache
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gzip")
        self._compressing: set[Path] = set()

    @property
    def prefixes(self) -> list[str]:
        """The public prefixes, each with a slash at its end."""
        return [prefix for prefix, _ in self._roots]

    def find(self, path: str) -> StaticFile | None:
        """The file for a raw request path, or None: no such file, or not one that may be served."""
        for prefix, folders in self._roots:
            if path.startswith(prefix):
                name = unquote(path[len(prefix) :])
                return next(filter(None, (self._find_beneath(folder, name) for folder in folders)), None)
        return None

    def compressed(self, file: StaticFile) -> StaticFile | None:
        """The compressed copy, if it is worth one and it is made already; otherwise it is being made now."""
        if self._cache is None or file.size < COMPRESS_FROM_BYTES or not _COMPRESSIBLE.match(file.content_type):
            return None
        copy = self._cache / f"{file.tag}.gz"
        try:
            found = copy.stat()
        except FileNotFoundError:
            self._compress_soon(file, copy)
            return None
        if found.st_size >= file.size:
            return None
        return StaticFile(copy, found.st_size, found.st_mtime_ns)

    def close(self) -> None:
        """End the thread; what it works on is given up."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _find_beneath(root: Path, name: str) -> StaticFile | None:
        parts = name.split("/")
        if "\0" in name or any(p in ("", ".", "..") or p.startswith(".") or "\\" in p for p in parts):
            return None
        try:
            real = root.joinpath(*parts).resolve(strict=True)
            if not real.is_relative_to(root.resolve()):
                return None
            found = real.stat()
        except (OSError, RuntimeError):
            return None
        return StaticFile(real, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None

    def _compress_soon(self, file: StaticFile, copy: Path) -> None:
        if copy in self._compressing:
            return
        self._compressing.add(copy)
        future = asyncio.get_running_loop().run_in_executor(self._thread, _compress, file.path, copy)
        future.add_done_callback(lambda done: self._compressed(copy, done))

    def _compressed(self, copy: Path, done: asyncio.Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            log.warning("no compressed copy: %s", error)
            return  # stays in the set: it is not tried at every request
        self._compressing.discard(copy)


def _compress(source: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    draft = copy.with_suffix(f".{os.getpid()}.draft")
    draft.write_bytes(gzip.compress(source.read_bytes(), COMPRESS_LEVEL, mtime=0))
    draft.replace(copy)


class StaticHandler(PlainHandler):
    """GET and HEAD of a static file."""

    def initialize(self, files: StaticFiles) -> None:
        """Take the collaborators."""
        self._files = files

    async def get(self) -> None:
        """Serve, or say 304 or 404."""
        file = self._files.find(self.request.path)
        if file is None:
            self.refuse(Refused(404, "static.not_found", "There is no such file."))
            return
        copy = self._files.compressed(file) if self._takes_gzip() else None
        self.set_header("Content-Type", file.content_type)
        self.set_header("Cache-Control", IMMUTABLE if self._is_hashed() else REVALIDATE)
        self.set_header("Vary", "Accept-Encoding")
        self.set_header("ETag", f'"{file.tag}{"-gz" if copy else ""}"')
        if (known := self._known_tag(file)) is not None:
            self.set_header("ETag", known)
            self.set_status(304)
            await self.finish()
            return
        if copy:
            self.set_header("Content-Encoding", "gzip")
        await self._send(copy or file)

    head = get

    async def _send(self, file: StaticFile) -> None:
        self.set_header("Content-Length", str(file.size))
        if self.request.method == "HEAD":
            await self.finish()
            return
        left = file.size
        try:
            with file.path.open("rb") as source:
                while left and (piece := source.read(min(CHUNK_BYTES, left))):
                    left -= len(piece)
                    self.write(piece)
                    await self.flush()
            await self.finish()
        except StreamClosedError:
            return

    def _is_hashed(self) -> bool:
        return bool(_HASHED.search(self.request.path) or _HASH.fullmatch(self.get_query_argument("v", "")))

    def _takes_gzip(self) -> bool:
        accepted = self.request.headers.get("Accept-Encoding", "").lower().split(",")
        names = {entry.partition(";")[0].strip(): entry.replace(" ", "") for entry in accepted}
        return "gzip" in names and not names["gzip"].endswith(";q=0")

    def _known_tag(self, file: StaticFile) -> str | None:
        """The tag of the form of this file, compressed or not, that the client has already."""
        told = self.request.headers.get("If-None-Match", "").split(",")
        tags = {tag.strip().removeprefix("W/") for tag in told}
        return next((tag for tag in (f'"{file.tag}"', f'"{file.tag}-gz"') if tag in tags), None)
