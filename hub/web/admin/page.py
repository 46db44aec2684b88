"""The base of the administrators' pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hub.domain.scopes import Scope
from hub.http.handler import Access
from hub.web.page import PageHandler

_DONE = {
    "added": "The user was added and can sign in.",
    "deleted": "Deleted for good.",
    "removed": "Deleted. Until the day that is shown they can be restored with everything of theirs.",
    "restored": "Restored; they can sign in again.",
    "stopped": "The container was stopped.",
    "changed": "Done.",
    "kernel-stopped": "The kernel was stopped.",
    "kernel-interrupted": "The kernel was interrupted.",
    "kernel-restarted": "The kernel was restarted.",
    "message-sent": "Your message is shown to them now.",
    "view-closed": "The view is closed.",
}


class AdminPage(PageHandler):
    """Base of the administrators' pages."""

    access = Access.ADMIN
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.ADMIN_UI

    def done(self) -> str:
        """What the page that led here has done, in words."""
        return _DONE.get(self.get_query_argument("done", ""), "")

    def why_stopped(self) -> str:
        """What the user reads when somebody in charge of them stops what runs."""
        return "stopped by an administrator" if self.identity.is_admin else "stopped by an owner of your group"
