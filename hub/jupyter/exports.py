"""``nbconvert``: a notebook as HTML, Markdown or a script, made by a child process.

The child (`hub.jupyter.export_notebook`) works on a stranger's text, so it has no files, little memory and
little time, and as many of them run at once as there are slots.
"""

from __future__ import annotations

import asyncio
import functools
import os
import stat
import sys
from pathlib import Path, PurePosixPath

import msgspec

from hub.config import Settings
from hub.contents.models import Model
from hub.errors import BadRequest, HubError, NotFound, TooManyRequests
from hub.jupyter.child import run_module
from hub.jupyter.files import SANDBOX_POLICY, attachment, check_embeddable
from hub.jupyter.handler import JupyterHandler, LargeBodyHandler

EXPORT_SECONDS = 60.0
WAIT_SECONDS = 30.0
MAX_NOTEBOOK_BYTES = 64 * 1024**2
MAX_OUTPUT_BYTES = 256 * 1024**2
_slots = asyncio.Semaphore(2)


class ExportFailed(HubError):
    """nbconvert could not do it; the message says why, as far as it is known."""

    code = "export.failed"


class Asked(msgspec.Struct, frozen=True):
    """The first line of the child's input; the notebook follows.

    `uid` is the user to work as, None for the hub's own. `sanitize` takes scripts out of HTML.
    """

    format: str
    title: str
    uid: int | None = None
    sanitize: bool = False


class Exported(msgspec.Struct, frozen=True):
    """The first line of the child's output; the bytes follow."""

    extension: str
    mime_type: str


class ExportFormatsHandler(JupyterHandler):
    """``api/nbconvert``: the formats there are."""

    async def get(self, _name: str) -> None:
        """With their MIME types."""
        formats = (await self.frontends.catalogue()).export_formats
        self.write_json({name: {"output_mimetype": mime_type} for name, mime_type in formats.items()})


class _ExportHandler(JupyterHandler):
    def content_security_policy(self) -> str:
        """No origin of ours for what users put into notebooks (CVE-2026-44727)."""
        return SANDBOX_POLICY

    async def write_export(self, export_format: str, notebook: bytes, name: str) -> None:
        """Convert, and answer with the result: with ``download=true`` to be saved."""
        if export_format not in (await self.frontends.catalogue()).export_formats:
            raise NotFound(f"No exporter for format: {export_format[:40]}")
        if len(notebook) > MAX_NOTEBOOK_BYTES:
            raise BadRequest("This notebook is too large to be exported.")
        title = PurePosixPath(name).stem
        uid = self.services.settings.base_uid + self.user.number if can_give_up_root() else None
        sanitize = self.query("sanitize_html").lower() == "true"
        exported, data = await export(Asked(export_format, title, uid, sanitize), notebook)
        if self.query("download").lower() == "true":
            self.set_header("Content-Disposition", attachment(title + exported.extension))
        self.set_header("Content-Type", f"{exported.mime_type or 'text/plain'}; charset=utf-8")
        self.finish(data)


class ExportFileHandler(_ExportHandler):
    """``nbconvert/<format>/<path>``: a notebook of the user's."""

    async def get(self, _name: str, export_format: str, path: str) -> None:
        """Converted."""
        check_embeddable(self)
        model: Model = await self.contents.get(path.strip("/"))
        if model.type != "notebook" or not isinstance(model.content, msgspec.Raw):
            raise BadRequest("Only notebooks can be exported.")
        await self.write_export(export_format, bytes(model.content), model.name)


class ExportBodyHandler(LargeBodyHandler, _ExportHandler):
    """``nbconvert/<format>``: a notebook in the request's body."""

    @classmethod
    def body_limit(cls, settings: Settings) -> int:
        """A notebook with its outputs."""
        return MAX_NOTEBOOK_BYTES

    async def post(self, _name: str, export_format: str) -> None:
        """Converted."""
        body = self.body(dict[str, msgspec.Raw])
        if "content" not in body:
            raise BadRequest("The body must have the notebook as content.")
        await self.write_export(export_format, bytes(body["content"]), "notebook.ipynb")


@functools.cache
def can_give_up_root() -> bool:
    """Whether the child can work as another user: the hub is root, and others may read its Python.

    (An interpreter in root's own home is for trying out; there the child keeps the hub's user.)
    """
    places = {Path(sys.prefix).resolve(), Path(sys.executable).resolve(), Path(__file__).resolve()}
    folders = {folder for place in places for folder in place.parents}
    return os.geteuid() == 0 and all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)


async def export(asked: Asked, notebook: bytes) -> tuple[Exported, bytes]:
    """Run the child.

    Raises ExportFailed, and TooManyRequests when others' exports keep all slots busy.
    """
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await _slots.acquire()
    except TimeoutError as error:
        raise TooManyRequests("Too many notebooks are being exported.", 10) from error
    try:
        return await _run_child(msgspec.json.encode(asked) + b"\n" + notebook)
    finally:
        _slots.release()


async def _run_child(given: bytes) -> tuple[Exported, bytes]:
    try:
        ended = await run_module("hub.jupyter.export_notebook", stdin=given, seconds=EXPORT_SECONDS)
    except TimeoutError as error:
        raise ExportFailed(f"nbconvert failed: it took longer than {EXPORT_SECONDS:.0f} seconds.") from error
    head, _, data = ended.output.partition(b"\n")
    if ended.status != 0 or len(data) > MAX_OUTPUT_BYTES:
        said = ended.complaints.splitlines()
        raise ExportFailed(f"nbconvert failed: {said[-1][:300] if said else 'its result was too large'}")
    return msgspec.json.decode(head, type=Exported), data
