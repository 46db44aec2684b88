"""Administrators' pages: people and running containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from hub.domain.ids import WorkspaceId
from hub.domain.kernels import KernelState
from hub.domain.users import Role, User
from hub.domain.workspace import Workspace
from hub.errors import BadRequest, Conflict, HubError, NotFound
from hub.http.handler import Access
from hub.web import people
from hub.web.page import PageHandler

PAGE_SIZE = 50
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
                await people.delete(services, person, actor, address)
                self.redirect("/hub/admin?done=deleted")
                return
            case "sign-out":
                await services.sign_ins.revoke_all(person.id, actor, address)
            case "disable":
                await people.disable(services, person, actor, address)
            case "enable":
                await services.users.enable(person, actor, address)
            case "promote":
                await services.users.set_role(person, Role.ADMIN, actor, address)
            case "demote":
                await services.users.set_role(person, Role.USER, actor, address)
        self.redirect(f"/hub/admin/users/{quote(person.name, safe='@+')}?done=changed")


@dataclass(frozen=True, slots=True)
class RunningPlace:
    """A workspace that is not stopped, whose it is, and how many kernels it has and how many are busy."""

    workspace: Workspace
    owner: User | None
    kernels: int
    busy: int


class ContainersPage(AdminPage):
    """``/hub/admin/containers``: what runs."""

    active = "containers"

    async def get(self) -> None:
        """List the running containers, the longest running first."""
        places = await self._places()
        several = len(self.services.settings.profiles) > 1
        self.show("containers.html", places=places, several=several, done=self.done(), problem="")

    async def _places(self) -> list[RunningPlace]:
        running = await self.services.workspaces.list_running()
        places = []
        async with self.services.store.reading() as unit:
            for workspace in running:
                kernels = await unit.kernels.list_in(workspace.id)
                owner = await unit.users.find(workspace.user_id)
                busy = sum(kernel.state is KernelState.BUSY for kernel in kernels)
                places.append(RunningPlace(workspace, owner, len(kernels), busy))
        return sorted(places, key=_by_start)


class StopContainer(AdminPage):
    """``/hub/admin/containers/<id>/stop``."""

    async def post(self, workspace_id: str) -> None:
        """Stop it, and go back to where the button was."""
        actor = self.identity.user.id
        await self.services.workspaces.stop(WorkspaceId(workspace_id), "stopped by an administrator", actor=actor)
        back = self.field("back", 64)
        if not back:
            self.redirect("/hub/admin/containers?done=stopped")
            return
        try:
            person = await self.services.users.get(back)
        except NotFound:
            self.redirect("/hub/admin?done=stopped")
            return
        self.redirect(f"/hub/admin/users/{quote(person.name, safe='@+')}?done=stopped")


def _by_start(place: RunningPlace) -> Any:
    started = place.workspace.started_at
    return (started is None, started.timestamp() if started else 0.0)


def _page_url(search: str, offset: int) -> str:
    return "/hub/admin?" + urlencode({"search": search, "offset": max(0, offset)})


def _offset(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
