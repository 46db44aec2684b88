"""The page that shows how a notebook changed since its checkpoint. Text only: nothing of a notebook can run here."""

from __future__ import annotations

from urllib.parse import quote

from hub.errors import BadRequest
from hub.http.user_handler import UserHandler
from hub.web.page import PageHandler, lab_path

MAX_PATH_CHARS = 4096


class NotebookDiffPage(UserHandler, PageHandler):
    """``/user/<name>/diff?path=…``; ``from`` and ``to`` are ``checkpoint`` or ``file``."""

    page = True

    async def get(self, _name: str) -> None:
        """Show it."""
        path = self.get_query_argument("path", "")[:MAX_PATH_CHARS].strip("/")
        if not path:
            raise BadRequest("The address does not say which notebook: …/diff?path=folder/notebook.ipynb")
        old, new = self.get_query_argument("from", "checkpoint"), self.get_query_argument("to", "file")
        comparison = await self.services.contents.of(self.identity.user).compare(path, old, new)
        self.show(
            "notebook_diff.html",
            path=path,
            old=_WORDS[old],
            new=_WORDS[new],
            comparison=comparison,
            open_url=f"{lab_path(self.identity.user)}/tree/{quote(path)}",
            turned_url=f"?path={quote(path, safe='')}&from={new}&to={old}",
        )


_WORDS = {"checkpoint": "the checkpoint", "file": "the file now"}
