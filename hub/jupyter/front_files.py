"""Addresses under ``/user/<name>/`` at which front ends look for files that are the same for everybody.

What a package brings is served at one address for all users (by the proxy, with long caching): these lead there.
"""

from __future__ import annotations

import mimetypes

from hub.errors import NotFound
from hub.jupyter.classic_page import NBEXTENSIONS_URL, STATIC_URL
from hub.jupyter.front_page import FrontEndPage
from hub.jupyter.handler import JupyterHandler
from hub.jupyter.installed_files import find_beneath
from hub.jupyter.notebook_pages import FAVICONS_URL


class CustomFile(JupyterHandler):
    """``custom/custom.css``, ``custom/custom.js``, …: an administrator's, else the package's empty ones.

    Never out of a home: what runs in a user's kernel could write it, and it would run as the user's page.
    """

    async def get(self, _name: str, path: str) -> None:
        """The file."""
        folders = (await self.frontends.catalogue()).custom_folders
        file = await self.frontends.run(find_beneath, folders, path)
        if file is None:
            raise NotFound("There is no such file.")
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self.set_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.set_header("Cache-Control", "private, max-age=300")
        self.finish(await self.frontends.run(file.read_bytes))


class SharedFile(FrontEndPage):
    """``static/…`` and ``nbextensions/…``."""

    def get(self, _name: str, kind: str) -> None:
        """Redirect to where the proxy serves it."""
        rest = self.request.path.split("/", 4)[4]
        favicon = rest.partition("favicons/")[2] if kind == "static" and rest.startswith("favicons/") else ""
        self.set_header("Cache-Control", "private, max-age=3600")
        if kind == "nbextensions":
            self.lead_to(f"{NBEXTENSIONS_URL}/{rest}")
        else:
            self.lead_to(f"{FAVICONS_URL}/{favicon}" if favicon else f"{STATIC_URL}/{rest}")
