"""``/hub/admin/registrations``: people who asked for an account, and what administrators decide about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hub.domain.scopes import Scope
from hub.errors import BadRequest, Conflict, HubError, NotFound
from hub.web.admin.page import AdminPage

SHOWN = 100
_DONE = {"approve": "The account was made; they can sign in now.", "refuse": "The request was refused."}


class RegistrationsPage(AdminPage):
    """Who waits."""

    active = "registrations"
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.ADMIN_USERS

    async def get(self) -> None:
        """The list, those who have waited longest first."""
        await self.show_waiting(_DONE.get(self.get_query_argument("done", ""), ""))

    async def show_waiting(self, done: str = "", error: HubError | None = None) -> None:
        """The page, with what was done or went wrong."""
        registrations = self.services.registrations
        self.show(
            "registrations.html",
            error.status if error else 200,
            done=done,
            problem=error.message if error else "",
            wishes=await registrations.list(limit=SHOWN),
            total=await registrations.count(),
            rule=registrations.rule,
        )


class DecideRegistration(RegistrationsPage):
    """``/hub/admin/registrations/<id>/(approve|refuse)``."""

    async def get(self, *_args: str) -> None:
        """The forms are on the page above."""
        self.redirect("/hub/admin/registrations")

    async def post(self, registration_id: str, action: str) -> None:
        """Do it."""
        registrations, actor = self.services.registrations, self.identity.user.id
        try:
            if action == "approve":
                await registrations.approve(registration_id, actor, self.address)
            else:
                await registrations.refuse(registration_id, actor, self.address)
        except (BadRequest, Conflict, NotFound) as error:
            await self.show_waiting(error=error)
            return
        self.redirect(f"/hub/admin/registrations?done={action}")
