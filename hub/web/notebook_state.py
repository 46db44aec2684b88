"""The page of one notebook: whether it gives anew what is in its file, and what its kernel's memory hides."""

from __future__ import annotations

from urllib.parse import quote

from hub.errors import HubError
from hub.http.user_handler import UserHandler
from hub.runs.hidden_state import HiddenState
from hub.runs.verifications import Badge
from hub.web.page import PageHandler, lab_path

MAX_PATH_CHARS = 1000


class NotebookStatePage(UserHandler, PageHandler):
    """``/user/<name>/state?path=…``."""

    page = True

    async def get(self, _name: str) -> None:
        """Show both; while a verification runs, htmx asks for its part alone."""
        path = self.get_query_argument("path", "")[:MAX_PATH_CHARS].strip("/")
        badge = await self.services.verifications.badge(self.identity.user, path)
        if self.request.headers.get("HX-Request") == "true":
            self.show("_notebook_badge.html", path=path, badge=badge, again=self._address(path))
        else:
            await self._show(path, badge)

    async def post(self, _name: str) -> None:
        """Begin to verify it."""
        path = self.field("path", MAX_PATH_CHARS).strip("/")
        try:
            await self.services.verifications.start(self.identity.user, path, None, None)
        except HubError as error:
            badge = await self.services.verifications.badge(self.identity.user, path)
            await self._show(path, badge, error)
        else:
            self.redirect(self._address(path), status=303)

    async def _show(self, path: str, badge: Badge, error: HubError | None = None) -> None:
        hidden: HiddenState | None = None
        problem = ""
        try:
            hidden = await self.services.hidden_states.look(self.identity.user, path)
        except HubError as refusal:
            problem = refusal.message
        self.show(
            "notebook_state.html",
            200 if error is None else error.status,
            path=path,
            badge=badge,
            hidden=hidden,
            problem=problem,
            refused="" if error is None else error.message,
            again=self._address(path),
            open_url=f"{lab_path(self.identity.user)}/tree/{quote(path)}",
        )

    def _address(self, path: str) -> str:
        return f"{self.base_url}state?path={quote(path, safe='')}"
