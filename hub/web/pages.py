"""Pages that lead elsewhere: the start page and links that work for everybody."""

from __future__ import annotations

from urllib.parse import quote

from hub.errors import NotFound
from hub.http.handler import Access
from hub.http.redirect import is_local, safe_redirect
from hub.web.page import PageHandler, error_page, lab_path

__all__ = ["NothingToSpawn", "OldUserLink", "ShortUserRedirect", "StartPage", "UserRedirect", "error_page"]


class StartPage(PageHandler):
    """``/``, ``/hub`` and ``/hub/``: the home page, or the sign-in page."""

    access = Access.PUBLIC

    def get(self) -> None:
        """Redirect; to the target of ``?next=`` if there is one, by way of the sign-in page where that is needed."""
        wanted = safe_redirect(self.get_query_argument("next", ""), "")
        if self.found_identity is not None:
            self.redirect(wanted or "/hub/home")
        else:
            self.redirect(f"/hub/login?next={quote(wanted, safe='/')}" if wanted else "/hub/login")


class NothingToSpawn(PageHandler):
    """``/hub/spawn/...``: where JupyterHub starts servers, and old links and JupyterLab's menus lead."""

    def get(self) -> None:
        """Redirect to the home page, which shows the container, or to the target of ``?next=``."""
        self.redirect(safe_redirect(self.get_query_argument("next", ""), "/hub/home"))


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
        lead_to(self, target)


class ShortUserRedirect(PageHandler):
    """``/user-redirect/<path>``: the same without ``/hub``, as some links have it.

    Public, so that the sign-in page is given the long form as the place to go on to.
    """

    access = Access.PUBLIC

    def get(self) -> None:
        """Redirect to ``/hub/user-redirect/<path>``, query included."""
        lead_to(self, "/hub" + (self.request.uri or ""))


class OldUserLink(PageHandler):
    """``/hub/user/<name>/<path>``: where JupyterHub showed a server that was not running; links still lead here."""

    access = Access.PUBLIC

    def get(self) -> None:
        """Redirect to ``/user/<name>/<path>``, query included."""
        lead_to(self, (self.request.uri or "").removeprefix("/hub"))


def lead_to(handler: PageHandler, target: str) -> None:
    """Redirect to a path of this hub. Raises NotFound for anything else."""
    if not is_local(target):
        raise NotFound("There is nothing at this address.")
    handler.redirect(target)
