"""The page "Results you missed": what ran while nobody watched and found no place in its notebook."""

from __future__ import annotations

import json
from urllib.parse import quote

from hub.domain.missed import KEPT_FOR
from hub.errors import HubError
from hub.web.page import PageHandler

_ADDRESS = "/hub/home/missed"
_DONE = {"deleted": "It is deleted.", "emptied": "All of them are deleted."}
MOST_TOGETHER = 100
"""Results in one download of all: the newest."""


class MissedPage(PageHandler):
    """``/hub/home/missed``."""

    active = "home"

    async def get(self) -> None:
        """List them."""
        await self.show_missed(_DONE.get(self.get_query_argument("done", ""), ""))

    async def show_missed(self, done: str = "", error: HubError | None = None) -> None:
        """The page, with what was done or what was wrong with a form."""
        user, results = self.identity.user, self.services.results
        self.show(
            "missed.html",
            error.status if error else 200,
            done=done,
            problem=error.message if error else "",
            items=await results.missed.list(user),
            waiting=results.waiting(user),
            days=KEPT_FOR.days,
        )


class MissedDownload(PageHandler):
    """``/hub/home/missed/<id>``: one of them as a notebook."""

    page = False

    async def get(self, missed_id: str) -> None:
        """The file. Raises NotFound."""
        missed, data = await self.services.results.missed.notebook(self.identity.user, missed_id)
        stem = missed.path.rpartition("/")[2].removesuffix(".ipynb") or "notebook"
        self._send(data, f"{stem}-missed.ipynb")

    def _send(self, data: bytes, name: str) -> None:
        self.set_header("Content-Type", "application/x-ipynb+json")
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}")
        self.finish(data)


class AllMissed(MissedDownload):
    """``/hub/home/missed/all``: all of them in one notebook, oldest first."""

    async def get(self, *_args: str) -> None:
        """The file."""
        user, missed = self.identity.user, self.services.results.missed
        cells = []
        for number, each in enumerate(reversed((await missed.list(user))[:MOST_TOGETHER])):
            said = f"From **{_plain(each.path)}**, {each.ran_at:%Y-%m-%d %H:%M} UTC. {_plain(each.reason)}"
            cells.append({"cell_type": "markdown", "id": f"about-{number}", "metadata": {}, "source": said})
            _, data = await missed.notebook(user, each.id)
            cells += [{**cell, "id": f"missed-{number}"} for cell in json.loads(data)["cells"]]
        notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        self._send(json.dumps(notebook, indent=1).encode(), "missed.ipynb")


class DeleteMissed(MissedPage):
    """``/hub/home/missed/delete``."""

    async def get(self) -> None:
        """The form is on the page."""
        self.redirect(_ADDRESS)

    async def post(self) -> None:
        """Delete one."""
        try:
            await self.services.results.missed.delete(self.identity.user, self.field("item", 64))
        except HubError as error:
            await self.show_missed(error=error)
            return
        self.redirect(f"{_ADDRESS}?done=deleted")


class EmptyMissed(MissedPage):
    """``/hub/home/missed/empty``."""

    async def get(self) -> None:
        """The form is on the page."""
        self.redirect(_ADDRESS)

    async def post(self) -> None:
        """Delete all."""
        await self.services.results.missed.delete_all(self.identity.user)
        self.redirect(f"{_ADDRESS}?done=emptied")


def _plain(text: str) -> str:
    """Text for Markdown, without what it would take for markup."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>()#+-.!|" else char for char in text)
