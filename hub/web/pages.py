"""Pages that lead elsewhere: the start page and links that work for everybody."""

from __future__ import annotations

from hub.errors import NotFound
from hub.http.handler import Access
from hub.http.redirect import is_local
from hub.web.page import PageHandler, error_page, lab_path

__all__ = ["NothingToSpawn", "StartPage", "UserRedirect", "error_page"]


class StartPage(PageHandler):
    """``/``, ``/hub`` and ``/hub/``: the home page, or the sign-in page."""

    access = Access.PUBLIC

    def get(self) -> None:
        """Redirect."""
        self.redirect("/hub/home" if self.found_identity is not None else "/hub/login")


class NothingToSpawn(PageHandler):
    """``/hub/spawn/...``: where JupyterHub starts servers, and old links and JupyterLab's menus lead."""

    def get(self) -> None:
        """Redirect to the home page, which shows the container."""
        self.redirect("/hub/home")


class UserRedirect(PageHandler):
    """``/hub/user-redirect/<path>``: the same path below whoever follows the link, as courses hand out."""

    def get(self, path: str) -> None:
        """Redirect to ``/user/<name>/<path>``, query included."""
        prefix = lab_path(self.identity.user).removesuffix("lab")
        # The path as it was sent: what tornado decoded may hold a "/" that was no separator.
        sent = self.request.path.partition("/hub/user-redirect/")[2]
        target = prefix + (sent or "lab")
        if self.request.query:
            target += "?" + self.request.query
        if not is_local(target):
            raise NotFound("There is nothing at this address.")
        self.redirect(target)
