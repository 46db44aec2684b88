"""``nbconvert``: a notebook as HTML, Markdown, a script or PDF, made by child processes.

They work on a stranger's text, so they have no files, no network, little memory and little time, and only so many
run at once. PDF is HTML that a browser prints (`hub.jupyter.print_pdf`), where the administrator has one.
"""

from __future__ import annotations

import functools
import os
import stat
import sys
from pathlib import Path, PurePosixPath

import msgspec

from hub.config import Settings
from hub.contents.models import Model
from hub.errors import BadRequest, HubError, NotebookInvalid, NotFound
from hub.jupyter.child import BARE_ENVIRONMENT, MAX_OUTPUT_BYTES, TooMuchOutput, run_module
from hub.jupyter.files import SANDBOX_POLICY, attachment, check_embeddable
from hub.jupyter.handler import JupyterHandler, LargeBodyHandler
from hub.jupyter.turns import Turns

EXPORT_SECONDS = 60.0
WAIT_SECONDS = 30.0
MAX_NOTEBOOK_BYTES = 64 * 1024**2
NOTEBOOK_INVALID = 3
"""The status with which the child ends where the notebook is at fault; its last line says where."""
_KEPT = ("JUPYTER_PATH", "JUPYTER_DATA_DIR")  # where an administrator's templates are
PDF = "pdf"
PDF_NAMES = frozenset({PDF, "webpdf"})
_turns = Turns(2, 1, WAIT_SECONDS, "Too many notebooks are being exported.")


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


class Printing(msgspec.Struct, frozen=True):
    """The first line for the child that prints; the page follows. `uid`, `gid`: whom to work as, None: the hub's."""

    browser: str
    uid: int | None
    gid: int | None


class Exported(msgspec.Struct, frozen=True):
    """The first line of the child's output; the bytes follow."""

    extension: str
    mime_type: str


class ExportFormatsHandler(JupyterHandler):
    """``api/nbconvert``: the formats there are."""

    async def get(self, _name: str) -> None:
        """With their MIME types."""
        formats = dict((await self.frontends.catalogue()).export_formats)
        if self.services.settings.export_browser is not None:
            formats[PDF] = "application/pdf"
        self.write_json({name: {"output_mimetype": mime_type} for name, mime_type in formats.items()})


class _ExportHandler(JupyterHandler):
    def content_security_policy(self) -> str:
        """No origin of ours for what users put into notebooks (CVE-2026-44727)."""
        return SANDBOX_POLICY

    async def write_export(self, export_format: str, notebook: bytes, name: str) -> None:
        """Convert, and answer with the result: with ``download=true`` to be saved."""
        browser = self.services.settings.export_browser
        is_pdf = export_format in PDF_NAMES and browser is not None
        if not is_pdf and export_format not in (await self.frontends.catalogue()).export_formats:
            raise NotFound(f"No exporter for format: {export_format[:40]}")
        if len(notebook) > MAX_NOTEBOOK_BYTES:
            raise BadRequest("This notebook is too large to be exported.")
        title = PurePosixPath(name).stem
        uid = self.services.settings.base_uid + self.user.number if can_give_up_root() else None
        sanitize = self.query("sanitize_html").lower() == "true"
        asked = Asked(PDF if is_pdf else export_format, title, uid, sanitize)
        async with _turns.one(self.user.id):
            exported, data = await export(asked, notebook)
            if is_pdf and browser is not None:
                exported, data = Exported(".pdf", "application/pdf"), await self._print(browser, data)
        if self.query("download").lower() == "true":
            self.set_header("Content-Disposition", attachment(title + exported.extension))
        charset = "" if is_pdf else "; charset=utf-8"
        self.set_header("Content-Type", f"{exported.mime_type or 'text/plain'}{charset}")
        self.finish(data)

    async def _print(self, browser: Path, page: bytes) -> bytes:
        """The page as a PDF. The browser never runs as root: its own sandbox refuses that."""
        settings = self.services.settings
        as_user = os.geteuid() == 0
        uid, gid = (settings.base_uid + self.user.number, settings.base_gid) if as_user else (None, None)
        return await print_pdf(Printing(str(browser), uid, gid), page)


class ExportFileHandler(_ExportHandler):
    """``nbconvert/<format>/<path>``: a notebook of the user's."""

    async def get(self, _name: str, export_format: str, path: str) -> None:
        """Converted."""
        check_embeddable(self)
        found = await self.contents.get(path.strip("/"), content=False)
        if (found.size or 0) > MAX_NOTEBOOK_BYTES:
            raise BadRequest("This notebook is too large to be exported.")
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
    """Convert a notebook in a child process. Raises ExportFailed, NotebookInvalid."""
    head, _, data = (await _run_child("hub.jupyter.export_notebook", asked, notebook)).partition(b"\n")
    return msgspec.json.decode(head, type=Exported), data


async def print_pdf(asked: Printing, page: bytes) -> bytes:
    """Print a page in a child process. Raises ExportFailed."""
    return await _run_child("hub.jupyter.print_pdf", asked, page)


async def _run_child(module: str, asked: msgspec.Struct, given: bytes) -> bytes:
    environment = {**BARE_ENVIRONMENT, **{name: os.environ[name] for name in _KEPT if name in os.environ}}
    stdin = msgspec.json.encode(asked) + b"\n" + given
    try:
        ended = await run_module(module, stdin=stdin, seconds=EXPORT_SECONDS, environment=environment)
    except TimeoutError as error:
        raise ExportFailed(f"nbconvert failed: it took longer than {EXPORT_SECONDS:.0f} seconds.") from error
    except TooMuchOutput as error:
        most = MAX_OUTPUT_BYTES // 1024**2
        raise ExportFailed(f"nbconvert failed: its result was larger than {most} MiB.") from error
    said = ended.complaints.splitlines()
    if ended.status == NOTEBOOK_INVALID:
        place = f" at {said[-1][:100]}" if said and said[-1] else ""
        raise NotebookInvalid(f"This notebook cannot be exported: it does not keep to the notebook format{place}.")
    if ended.status != 0:
        raise ExportFailed(f"nbconvert failed: {said[-1][:300] if said else 'it ended without a word'}")
    return ended.output
