"""``directories/``: a folder as one archive, as the JupyterLab extension `jupyter-archive` asks for it.

Its front end works without its server part: it opens ``directories/<path>?archiveFormat=…&followSymlinks=…``, with a
random ``archiveToken`` and ``downloadHidden`` that mean nothing here (hidden files are not shown, nor packed).
"""

from __future__ import annotations

from hub.errors import BadRequest
from hub.jupyter.files import SANDBOX_POLICY, attachment, check_embeddable
from hub.jupyter.handler import JupyterHandler
from hub.jupyter.turns import Turns

_turns = Turns(16, 2, 1.0, "You are downloading two folders already; wait until one of them has arrived.")


class ArchiveHandler(JupyterHandler):
    """A folder as one archive."""

    def content_security_policy(self) -> str:
        """No origin of ours for what users put into files."""
        return SANDBOX_POLICY

    async def get(self, _name: str, path: str) -> None:
        """The archive, made while it is sent, at the client's pace."""
        await self.write_archive(path.strip("/"), self.query("archiveFormat") or "zip")

    async def write_archive(self, path: str, format_name: str) -> None:
        """Answer with an archive of the folder at `path`."""
        check_embeddable(self)
        links = self.query("followSymlinks", "true")
        if links not in {"true", "false"}:
            raise BadRequest("followSymlinks must be true or false.")
        async with (
            _turns.one(self.user.id),
            await self.contents.open_archive(path, self.user.name, format_name, links == "true") as archive,
        ):
            self.set_header("Content-Type", archive.content_type)
            self.set_header("Content-Disposition", attachment(archive.filename))
            self.set_header("Cache-Control", "private, no-store")
            if self.request.method == "HEAD":
                return
            async for piece in archive.pieces():
                self.write(piece)
                await self.flush()


class ExtractHandler(JupyterHandler):
    """``extract-archive/``: the extension's other request, which the hub does not do."""

    async def get(self, _name: str, _path: str) -> None:
        """Say what to do instead, where the extension looks for it."""
        reason = "This hub does not unpack archives. Use a terminal (unzip, tar) or a notebook."
        self.write_json({"message": reason, "reason": reason}, 400)
