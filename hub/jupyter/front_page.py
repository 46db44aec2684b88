"""The base of the pages that front ends start in, whichever it is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import ClassVar

from hub.domain.scopes import Scope
from hub.errors import NotFound
from hub.http.redirect import is_local
from hub.jupyter.handler import JupyterHandler
from hub.jupyter.lab_page import lab_policy

_serials = itertools.count()


class FrontEndPage(JupyterHandler):
    """A page of a front end. Nothing has to start for it."""

    page: ClassVar[bool | None] = True
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.JUPYTER

    def content_security_policy(self) -> str:
        """See hub.jupyter.lab_page."""
        return lab_policy(self.request.host, self.services.settings.output_scripts)

    async def prepare(self) -> None:
        """See UserHandler; another spelling of the name leads to the user's own, for which the cookies are."""
        await super().prepare()
        if self.request.method != "OPTIONS" and not self.request.path.startswith(self.base_url):
            self.lead_to(self.base_url + self.request.path.split("/", 3)[3])

    @property
    def home(self) -> str:
        """The user's home inside the container."""
        running = self.services.running
        return running.profiles[running.default_profile].home

    def next_serial(self) -> int:
        """A number that no other page of this process has."""
        return next(_serials)

    def open_workspace(self) -> None:
        """Start the container in the background where the hub is set up so."""
        if self.services.settings.start_workspace != "kernel":
            self.services.workspaces.ensure_soon(self.user)

    def lead_to_file(self, path: str, editor: str) -> None:
        """Redirect to a file's bytes; who follows a link of another site, to the page `editor` of the file.

        Another site may not make a browser fetch a user's bytes (hub.jupyter.files), and courses have such links.
        """
        site = self.request.headers.get("Sec-Fetch-Site")
        folder = "files/" if site in {None, "same-origin", "none"} else editor
        self.lead_to(self.url(folder + path))

    def lead_to(self, path: str) -> None:
        """Redirect to a path of this hub, the query kept. Raises NotFound when it is none."""
        target = f"{path}?{self.request.query}" if self.request.query else path
        if not is_local(target):
            raise NotFound("There is nothing at this address.")
        self.redirect(target)
