"""Administrators' pages about people: who there is, and one person."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from hub.domain.users import Role, User
from hub.errors import BadRequest, Conflict, HubError
from hub.web import removal
from hub.web.admin.page import AdminPage

PAGE_SIZE = 50


class PeoplePage(AdminPage):
    """``/hub/admin``: search users, add one."""

    active = "people"

    async def get(self) -> None:
        """A page of users whose names begin with `search`."""
        await self._show(done=self.done())

    async def post(self) -> None:
        """Add a user, with a password or with a link to set one."""
        actor, password = self.identity.user.id, self.field("password")
        role = Role.ADMIN if self.field("admin") else Role.USER
        try:
            if password:  # Before the user is added, so that a refused one leaves nothing behind.
                self.services.passwords.require_acceptable(password, self.field("name"))
            user = await self.services.users.add(self.field("name"), role, actor, self.address)
            if password:
                await self.services.passwords.set(user, password, actor, self.address)
        except (BadRequest, Conflict) as error:
            await self._show(error=error, typed=self.field("name")[:64])
            return
        if password:
            self.redirect("/hub/admin?done=added")
            return
        secret = await self.services.invitations.create_for(user, actor, self.address)
        await self._show(link=self.absolute(f"/hub/invitation/{secret}"), invited=user.name)

    async def _show(
        self,
        done: str = "",
        error: HubError | None = None,
        typed: str = "",
        link: str = "",
        invited: str = "",
    ) -> None:
        search = self.get_query_argument("search", "")[:64].strip().casefold()
        offset = _offset(self.get_query_argument("offset", "0"))
        found = await self.services.users.list(search, offset, PAGE_SIZE + 1)
        self.show(
            "people.html",
            error.status if error else 200,
            done=done,
            problem=error.message if error else "",
            typed=typed,
            link=link,
            invited=invited,
            search=search,
            total=await self.services.users.count(search),
            people=found[:PAGE_SIZE],
            previous_url=_page_url(search, offset - PAGE_SIZE) if offset else "",
            next_url=_page_url(search, offset + PAGE_SIZE) if len(found) > PAGE_SIZE else "",
        )


class PersonPage(AdminPage):
    """``/hub/admin/users/<name>``: one user, and what can be done about them."""

    active = "people"

    async def get(self, name: str) -> None:
        """Show the user."""
        await self.show_person(await self.services.users.get(name), done=self.done())

    async def show_person(self, person: User, done: str = "", error: HubError | None = None, link: str = "") -> None:
        """The page, with what was done, or went wrong, or a new link."""
        self.show(
            "person.html",
            error.status if error else 200,
            person=person,
            address=f"/hub/admin/users/{quote(person.name, safe='@+')}",
            sign_ins=await self.services.sign_ins.list(person),
            workspaces=await self.services.workspaces.list_for(person),
            done=done,
            problem=error.message if error else "",
            link=link,
        )


class PersonAction(PersonPage):
    """``/hub/admin/users/<name>/<action>``."""

    async def get(self, name: str, action: str = "") -> None:
        """The forms are on the user's page."""
        self.redirect(f"/hub/admin/users/{quote(name, safe='@+')}")

    async def post(self, name: str, action: str) -> None:
        """Perform the action; a refusal is shown on the user's page."""
        person = await self.services.users.get(name)
        try:
            await self._perform(action, person)
        except (BadRequest, Conflict) as error:
            await self.show_person(person, error=error)

    async def _perform(self, action: str, person: User) -> None:
        services, actor, address = self.services, self.identity.user.id, self.address
        match action:
            case "invite":
                secret = await services.invitations.create_for(person, actor, address)
                await self.show_person(person, link=self.absolute(f"/hub/invitation/{secret}"))
                return
            case "delete":
                if self.field("confirm").strip() != person.name:
                    raise BadRequest(f"Type the name {person.name} to delete this user; nothing was deleted.")
                await removal.delete(services, person, actor, address)
                self.redirect("/hub/admin?done=deleted")
                return
            case "sign-out":
                await services.sign_ins.revoke_all(person.id, actor, address)
            case "disable":
                await removal.disable(services, person, actor, address)
            case "enable":
                await services.users.enable(person, actor, address)
            case "promote":
                await services.users.set_role(person, Role.ADMIN, actor, address)
            case "demote":
                await services.users.set_role(person, Role.USER, actor, address)
        self.redirect(f"/hub/admin/users/{quote(person.name, safe='@+')}?done=changed")


def _page_url(search: str, offset: int) -> str:
    return "/hub/admin?" + urlencode({"search": search, "offset": max(0, offset)})


def _offset(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
