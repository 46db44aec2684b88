"""The page of what a user deleted, and the ways back."""

from __future__ import annotations

from urllib.parse import quote

from hub.contents.trash_service import Trash
from hub.errors import HubError
from hub.web.page import PageHandler

_ADDRESS = "/hub/home/trash"
_DONE = {"deleted": "It is deleted for good.", "emptied": "Your trash is empty."}


class TrashPage(PageHandler):
    """``/hub/home/trash``."""

    active = "home"

    @property
    def trash(self) -> Trash:
        """The user's trash."""
        return self.services.contents.of(self.identity.user).trash

    async def get(self) -> None:
        """List it."""
        restored = self.get_query_argument("restored", "")[:4096]
        done = f"“{restored}” is back." if restored else _DONE.get(self.get_query_argument("done", ""), "")
        await self.show_trash(done)

    async def show_trash(self, done: str = "", error: HubError | None = None) -> None:
        """The page, with what was done or what was wrong with a form."""
        trash = self.trash
        listed = await trash.list()
        self.show(
            "trash.html",
            error.status if error else 200,
            done=done,
            problem=error.message if error else "",
            items=listed.items,
            more=listed.more,
            days=trash.days,
        )


class RestoreTrashed(TrashPage):
    """``/hub/home/trash/restore``."""

    async def get(self) -> None:
        """The form is on the page."""
        self.redirect(_ADDRESS)

    async def post(self) -> None:
        """Bring something back."""
        try:
            path = await self.trash.restore(self.field("item"))
        except HubError as error:
            await self.show_trash(error=error)
            return
        self.services.frontends.events.contents(self.identity.user.id, "create", path)
        self.redirect(f"{_ADDRESS}?restored={quote(path, safe='')}")


class DeleteTrashed(TrashPage):
    """``/hub/home/trash/delete``."""

    async def get(self) -> None:
        """The form is on the page."""
        self.redirect(_ADDRESS)

    async def post(self) -> None:
        """Delete something for good."""
        try:
            await self.trash.delete(self.field("item"))
        except HubError as error:
            await self.show_trash(error=error)
            return
        self.redirect(f"{_ADDRESS}?done=deleted")


class EmptyTrash(TrashPage):
    """``/hub/home/trash/empty``."""

    async def get(self) -> None:
        """The form is on the page."""
        self.redirect(_ADDRESS)

    async def post(self) -> None:
        """Delete everything for good."""
        try:
            await self.trash.empty()
        except HubError as error:
            await self.show_trash(error=error)
            return
        self.redirect(f"{_ADDRESS}?done=emptied")
