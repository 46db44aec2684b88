"""``files/``: the bytes of a file, for downloads and for what a page embeds.

Whatever a file says it is, it cannot act on the hub: the sandbox policy gives it an origin of its own, and
another site cannot embed it (CVE-2023-40170: the contents of files must not leak to pages elsewhere).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlsplit

from hub.auth.identity import Credential
from hub.contents.raw import RawFile
from hub.http.csrf import check_token
from hub.http.user_handler import UserHandler
from hub.jupyter.handler import JupyterHandler

SANDBOX_POLICY = "frame-ancestors 'self'; sandbox allow-scripts"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int


class Unsatisfiable(Exception):
    """A range that begins behind the file's end."""


def parse_range(header: str, size: int) -> Span | None:
    """The part asked for by a Range header (RFC 9110, 14.1.2); None means the whole file.

    Several ranges, other units and nonsense are ignored, as the RFC allows. Raises Unsatisfiable.
    """
    match = _RANGE.match(header.strip())
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0:
            raise Unsatisfiable
        return Span(max(0, size - int(last)), size)
    start, stop = int(first), min(int(last) + 1, size) if last else size
    if start >= size:
        raise Unsatisfiable
    return Span(start, stop) if start < stop else None


def check_embeddable(handler: UserHandler) -> None:
    """Raise Forbidden unless the hub's own page, or the user by hand, asks for a user's bytes.

    Fetch Metadata says so where the browser sends it; else a Referer of this host, or the form token as
    header or ``_xsrf`` parameter. API tokens are never sent by mistake.
    """
    if handler.identity.credential is Credential.TOKEN:
        return
    handler.refuse_cross_site()
    headers = handler.request.headers
    if "Sec-Fetch-Site" in headers:
        return
    if _host_of(headers.get("Referer", "")) == handler.request.host.lower():
        return
    check_token(handler.identity.xsrf, headers.get("X-XSRFToken") or handler.get_query_argument("_xsrf", None))


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return ""


def attachment(filename: str) -> str:
    """The Content-Disposition that makes a browser save the answer under this name (RFC 6266)."""
    return f"attachment; filename*=utf-8''{quote(filename, safe='')}"


class FilesHandler(JupyterHandler):
    """The bytes of one file, or of a part of it."""

    def content_security_policy(self) -> str:
        """No origin of ours for what users put into files."""
        return SANDBOX_POLICY

    async def get(self, _name: str, path: str) -> None:
        """The bytes, streamed at the client's pace."""
        check_embeddable(self)
        if archive_format := self.query("archive"):
            folder = self.url("directories", path.strip("/"))
            self.redirect(f"{folder}?archiveFormat={quote(archive_format, safe='')}")
            return
        async with await self.contents.open_raw(path.strip("/")) as raw:
            if raw.name.endswith(".ipynb") and await self._strips(path.strip("/")):
                await self._send_stripped(raw, path.strip("/"))
                return
            self._describe(raw)
            if self._is_known(raw.modified_at):
                self.set_status(304)
                return
            try:
                span = parse_range(self.request.headers.get("Range", ""), raw.size_bytes)
            except Unsatisfiable:
                self.set_status(416)
                self.set_header("Content-Range", f"bytes */{raw.size_bytes}")
                return
            await self._send(raw, span)

    async def _strips(self, path: str) -> bool:
        """Whether outputs are left out: ``?strip`` says so, else for downloads what was chosen for the notebook."""
        if self.query("strip"):
            return self.flag("strip", "0")
        return bool(self.query("download")) and (await self.contents.choices(path)).strip in ("save", "download")

    async def _send_stripped(self, raw: RawFile, path: str) -> None:
        """The notebook without its outputs: whole, whatever range is asked for."""
        self.set_header("Content-Type", raw.content_type)
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("Content-Disposition", attachment(raw.name))
        stripped = await self.contents.without_outputs(path)
        if isinstance(stripped, bytes):
            self.finish(stripped)
            return
        async with stripped:
            await self._send(stripped, None)

    def _describe(self, raw: RawFile) -> None:
        self.set_header("Content-Type", raw.content_type)
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Last-Modified", raw.modified_at)
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("Etag", self._etag(raw.modified_at, raw.size_bytes))
        if raw.name.endswith(".ipynb") or self.query("download"):
            self.set_header("Content-Disposition", attachment(raw.name))

    def _etag(self, modified_at: datetime, size: int) -> str:
        return f'"{int(modified_at.timestamp() * 1_000_000):x}-{size:x}"'

    def _is_known(self, modified_at: datetime) -> bool:
        known = self.request.headers.get("If-None-Match", "")
        return bool(known) and self._headers.get("Etag", "") in known

    async def _send(self, raw: RawFile, span: Span | None) -> None:
        if span is not None:
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {span.start}-{span.stop - 1}/{raw.size_bytes}")
        whole = span or Span(0, raw.size_bytes)
        self.set_header("Content-Length", str(whole.stop - whole.start))
        if self.request.method == "HEAD":
            return
        async for chunk in raw.chunks(whole.start, whole.stop):
            self.write(chunk)
            await self.flush()
