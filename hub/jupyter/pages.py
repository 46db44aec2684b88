"""The pages under ``/user/<name>/``: JupyterLab, and the ways there and to the other front ends."""

from __future__ import annotations

from typing import ClassVar

from hub.jupyter.front_page import FrontEndPage
from hub.jupyter.handler import JupyterHandler
from hub.jupyter.lab_page import lab_page
from hub.jupyter.page_config import STATIC_URL, lab_config, parse_place


class LabHandler(FrontEndPage):
    """JupyterLab."""

    async def get(self, _name: str, address: str) -> None:
        """The page for ``lab…`` and ``doc…``; JupyterLab itself says so when there is no such address."""
        catalogue = await self.frontends.catalogue()
        self.open_workspace()
        place, serial = parse_place(address), self.next_serial()
        config = lab_config(catalogue, self.user, self.base_url, self.home, place, self.request.path, serial)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_status(200 if place is not None else 404)
        self.finish(lab_page(config, catalogue.entry_scripts, STATIC_URL, self.services.warning))


class HomeHandler(JupyterHandler):
    """``/user/<name>`` and ``/user/<name>/``: to JupyterLab."""

    page: ClassVar[bool | None] = True

    def get(self, _name: str) -> None:
        """Redirect."""
        self.redirect(self.base_url + "lab")


class LogOutHandler(JupyterHandler):
    """``/user/<name>/logout``: where the front ends' menus lead; the hub's page does it."""

    page: ClassVar[bool | None] = True

    def get(self, _name: str) -> None:
        """Redirect."""
        self.redirect("/hub/logout")


class RetroHandler(FrontEndPage):
    """``retro/…``: addresses of RetroLab, from which Notebook 7 was made; courses still link to them."""

    def get(self, _name: str, _address: str) -> None:
        """Redirect to the same page of Notebook 7."""
        sent = self.request.path.split("/", 4)
        rest = sent[4] if len(sent) > 4 else ""
        self.lead_to(self.base_url + (rest or "tree"))
