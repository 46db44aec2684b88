"""The pages of Notebook 7: files, a notebook, a text file, a console, a terminal."""

from __future__ import annotations

from typing import ClassVar

from hub.errors import NotFound
from hub.jupyter.front_page import FrontEndPage
from hub.jupyter.lab_page import front_end_page
from hub.jupyter.page_config import NOTEBOOK_STATIC_URL, notebook_config

FAVICONS_URL = "/static/favicons"


class NotebookPage(FrontEndPage):
    """One of the five. What a page shows is in its address, which the front end reads."""

    view: ClassVar[str]
    title: ClassVar[str]
    icon: ClassVar[str]
    has_classic_twin: ClassVar[bool] = True

    async def prepare(self) -> None:
        """See FrontEndPage; who comes from a page of the classic Notebook stays there.

        Its scripts know their own address only in part: a copy, a renamed notebook and a terminal are looked
        for where Notebook 7 is now.
        """
        await super().prepare()
        if self._finished or not self.has_classic_twin:
            return
        came_from, classic = self.request.headers.get("Referer", ""), self.base_url + "nbclassic/"
        if came_from.startswith(tuple(f"{scheme}://{self.request.host}{classic}" for scheme in ("http", "https"))):
            self.lead_to(classic + self.request.path.removeprefix(self.base_url))

    async def show(self, path: str = "") -> None:
        """Answer the page; `path` is the folder that the tree opens."""
        catalogue = await self.frontends.catalogue()
        self.open_workspace()
        serial = self.next_serial()
        config = notebook_config(catalogue, self.user, self.base_url, self.home, self.view, path, serial)
        head = f'<link rel="icon" type="image/x-icon" href="{FAVICONS_URL}/{self.icon}" class="favicon">'
        if catalogue.has_custom_css:
            head += f'<link rel="stylesheet" href="{self.base_url}custom/custom.css">'
        scripts = [f"{NOTEBOOK_STATIC_URL}/{script}" for script in catalogue.notebook_scripts]
        warning = self.services.warning
        self.set_header("Content-Type", "text/html; charset=utf-8")
        body = f' data-notebook="{self.view}"'
        self.finish(front_end_page(f"{self.title} - Jupyter Notebook", config, scripts, head, warning, body))

    async def type_of(self, path: str) -> str:
        """``file`` or ``directory``. Raises NotFound when there is nothing that the user may see."""
        found = await self.contents.find_type(path)
        if found is None:
            raise NotFound(f"There is no file or folder {path[:200]!r} in your home.")
        return found


class TreePage(NotebookPage):
    """``tree[/path]``."""

    view, title, icon = "tree", "Home", "favicon.ico"

    async def get(self, _name: str, path: str) -> None:
        """A folder; a file's address leads to the page, or the bytes, of the file."""
        path = path.strip("/")
        if await self.type_of(path) == "directory":
            await self.show(path)
        elif path.endswith(".ipynb"):
            self.lead_to(self.url("notebooks/" + path))
        else:
            self.lead_to_file(path, "edit/")


class NotebookDocumentPage(NotebookPage):
    """``notebooks/path``."""

    view, title, icon = "notebooks", "Notebook", "favicon-notebook.ico"

    async def get(self, _name: str, path: str) -> None:
        """The notebook; a folder's address leads to the tree."""
        path = path.strip("/")
        if await self.type_of(path) == "directory":
            self.lead_to(self.url("tree/" + path))
        else:
            await self.show()


class EditPage(NotebookDocumentPage):
    """``edit/path``."""

    view, title, icon = "edit", "Edit", "favicon-file.ico"


class ConsolePage(NotebookPage):
    """``consoles/path``."""

    view, title, icon = "consoles", "Console", "favicon-notebook.ico"
    has_classic_twin = False

    async def get(self, _name: str, _path: str) -> None:
        """The console that the address names, a new one if there is none."""
        await self.show()


class TerminalPage(ConsolePage):
    """``terminals/name``."""

    view, title, icon = "terminals", "Terminal", "favicon-terminal.ico"
    has_classic_twin = True
