"""The pages under ``/user/<name>/``: JupyterLab, and the ways there."""

from __future__ import annotations

import itertools
from typing import ClassVar

from hub.jupyter.handler import JupyterHandler
from hub.jupyter.lab_page import lab_page, lab_policy
from hub.jupyter.page_config import STATIC_URL, page_config, parse_place

_serials = itertools.count()


class LabHandler(JupyterHandler):
    """JupyterLab. Nothing has to start for it."""

    page: ClassVar[bool | None] = True

    def content_security_policy(self) -> str:
        """See hub.jupyter.lab_page."""
        return lab_policy(self.request.host, self.services.settings.output_scripts)

    async def get(self, _name: str, address: str) -> None:
        """The page for ``lab…`` and ``doc…``; JupyterLab itself says so when there is no such address."""
        if not self.request.path.startswith(self.base_url):
            # Another spelling of the name: the cookie of the form token is for this one only.
            self.redirect(self.url(address))
            return
        catalogue = await self.frontends.catalogue()
        services = self.services
        if services.settings.start_workspace != "kernel":
            services.workspaces.ensure_soon(self.user)
        home = services.settings.profiles[services.settings.default_profile].home
        place = parse_place(address)
        config = page_config(catalogue, self.user, self.base_url, home, place, self.request.path, next(_serials))
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_status(200 if place is not None else 404)
        self.finish(lab_page(config, catalogue.entry_scripts, STATIC_URL, services.warning))


class HomeHandler(JupyterHandler):
    """``/user/<name>`` and ``/user/<name>/``: to JupyterLab."""

    page: ClassVar[bool | None] = True

    def get(self, _name: str) -> None:
        """Redirect."""
        self.redirect(self.base_url + "lab")


class LogOutHandler(JupyterHandler):
    """``/user/<name>/logout``: where JupyterLab's menu leads; the hub's page does it."""

    page: ClassVar[bool | None] = True

    def get(self, _name: str) -> None:
        """Redirect."""
        self.redirect("/hub/logout")
