"""``/hub/admin/people/removed``: who was deleted and can be restored still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hub.domain.ids import UserId
from hub.domain.scopes import Scope
from hub.domain.users import User
from hub.errors import BadRequest, Conflict, HubError, NotFound
from hub.http.handler import Access
from hub.people.departures import former_name
from hub.web.admin.page import AdminPage
from hub.web.admin.person import person_path


class RemovedPage(AdminPage):
    """``/hub/admin/people/removed``."""

    active = "people"
    access = Access.SIGNED_IN
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.DELETE_USERS

    async def get(self) -> None:
        """List them, the latest first."""
        await self.show_removed(done=self.done())

    async def show_removed(self, done: str = "", error: HubError | None = None) -> None:
        """The page, with what was done or went wrong."""
        departures = self.services.departures
        async with self.services.store.reading() as unit:
            marked = await unit.users.removed_before(self.services.clock.now())
        self.show(
            "removed.html",
            error.status if error else 200,
            people=[(user, former_name(user), departures.gone_at(user)) for user in reversed(marked)],
            rules=departures.rules,
            done=done,
            problem=error.message if error else "",
        )


class RemovedAction(RemovedPage):
    """``/hub/admin/people/removed/<id>/<action>``: restore somebody, or delete them for good."""

    async def get(self, user_id: str = "", action: str = "") -> None:
        """The forms are on the page."""
        self.redirect("/hub/admin/people/removed")

    async def post(self, user_id: str, action: str) -> None:
        """Do it; a refusal is shown on the page."""
        try:
            person = await self._marked(UserId(user_id))
            await self.services.authority.check_over(self.identity, person)
            if action == "restore":
                name = self.field("name", 256).strip()
                actor = self.identity.user.id
                restored = await self.services.departures.restore(person, actor, self.address, name)
                self.redirect(f"{person_path(restored)}?done=restored")
                return
            if self.field("confirm", 256).strip() != former_name(person):
                raise BadRequest(f"Type the name {former_name(person)} to delete them for good; nothing was deleted.")
            await self.services.departures.finish(person, self.identity.user.id, self.address)
        except (BadRequest, Conflict, NotFound) as error:
            await self.show_removed(error=error)
            return
        self.redirect("/hub/admin/people/removed?done=deleted")

    async def _marked(self, user_id: UserId) -> User:
        async with self.services.store.reading() as unit:
            found = await unit.users.find(user_id)
        if found is None or found.removed_at is None:
            raise NotFound("There is nobody here with this id; they are restored, or gone.")
        return found
