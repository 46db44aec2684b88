"""The base of the administrators' pages."""

from __future__ import annotations

from hub.http.handler import Access
from hub.web.page import PageHandler

_DONE = {
    "added": "The user was added and can sign in.",
    "deleted": "The user was deleted.",
    "stopped": "The container was stopped.",
    "changed": "Done.",
}


class AdminPage(PageHandler):
    """Base of the administrators' pages."""

    access = Access.ADMIN

    def done(self) -> str:
        """What the page that led here has done, in words."""
        return _DONE.get(self.get_query_argument("done", ""), "")
