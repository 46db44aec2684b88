"""The addresses of the classic Notebook: ``nbclassic/tree``, ``notebooks``, ``edit``, ``terminals``."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from hub.errors import NotFound
from hub.jupyter.classic_page import (
    classic_page,
    classic_policy,
    edit_values,
    notebook_values,
    terminal_values,
    tree_values,
)
from hub.jupyter.front_page import FrontEndPage


class ClassicPage(FrontEndPage):
    """Base of the four."""

    def set_default_headers(self) -> None:
        """See HubHandler; every answer's inline scripts have a nonce of their own."""
        self.nonce = secrets.token_urlsafe(16)
        super().set_default_headers()

    def content_security_policy(self) -> str:
        """See hub.jupyter.classic_page."""
        return classic_policy(self.request.host, self.services.settings.output_scripts, self.nonce)

    async def show(self, template: str, values: Mapping[str, Any]) -> None:
        """Answer a page."""
        catalogue = await self.frontends.catalogue()
        self.open_workspace()
        page = await self.frontends.run(
            classic_page, template, catalogue, self.base_url, self.nonce, self.services.warning, values
        )
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(page)

    async def type_of(self, path: str) -> str:
        """``file`` or ``directory``. Raises NotFound when there is nothing that the user may see."""
        found = await self.contents.find_type(path)
        if found is None:
            raise NotFound(f"There is no file or folder {path[:200]!r} in your home.")
        return found


class ClassicTree(ClassicPage):
    """``nbclassic`` and ``nbclassic/tree[/path]``."""

    async def get(self, _name: str, path: str) -> None:
        """A folder; a file's address leads to the page, or the bytes, of the file."""
        path = path.strip("/")
        if await self.type_of(path) == "directory":
            await self.show("tree.html", tree_values(self.base_url, path, self.home))
        elif path.endswith(".ipynb"):
            self.lead_to(self.url("nbclassic/notebooks/" + path))
        else:
            self.lead_to_file(path, "nbclassic/edit/")


class ClassicNotebook(ClassicPage):
    """``nbclassic/notebooks/path``."""

    async def get(self, _name: str, path: str) -> None:
        """A notebook; a folder's address leads to the tree, another file's to its bytes."""
        path = path.strip("/")
        if await self.type_of(path) == "directory":
            self.lead_to(self.url("nbclassic/tree/" + path))
        elif not path.endswith(".ipynb"):
            self.lead_to_file(path, "nbclassic/edit/")
        else:
            await self.show("notebook.html", notebook_values(await self.frontends.catalogue(), path))


class ClassicEdit(ClassicPage):
    """``nbclassic/edit/path``."""

    async def get(self, _name: str, path: str) -> None:
        """A text file; a folder's address leads to the tree."""
        path = path.strip("/")
        if await self.type_of(path) == "directory":
            self.lead_to(self.url("nbclassic/tree/" + path))
        else:
            await self.show("edit.html", edit_values(path))


class ClassicTerminal(ClassicPage):
    """``nbclassic/terminals/name``."""

    async def get(self, _name: str, terminal: str) -> None:
        """A terminal that runs. Opening one is a request of its own: a link changes nothing."""
        await self.services.terminals.get(self.user, terminal)
        await self.show("terminal.html", terminal_values(terminal))


class ClassicHome(FrontEndPage):
    """``nbclassic``."""

    def get(self, _name: str) -> None:
        """Redirect."""
        self.lead_to(self.base_url + "nbclassic/tree")
