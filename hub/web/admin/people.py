"""``/hub/admin/people``: everybody, found, listed, added, and changed many at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import ClassVar

from hub.domain.scopes import Scope
from hub.domain.users import MemberRole, Role, User
from hub.errors import BadRequest, Conflict, Forbidden, HubError, NotFound
from hub.http.handler import Access
from hub.http.permitted import Over
from hub.web import removal
from hub.web.admin.listing import ORDERS, SHOWN, Choice, list_people
from hub.web.admin.page import AdminPage

MAX_AT_ONCE = 200
BULK = {
    "sign-out": "Sign out everywhere",
    "stop": "Stop their containers",
    "disable": "Disable",
    "enable": "Enable",
    "join": "Put into the group…",
    "leave": "Take out of the group…",
    "delete": "Delete",
}
_TOLD = {
    "sign-out": "signed out everywhere",
    "stop": "their containers were stopped",
    "disable": "disabled",
    "enable": "may sign in again",
    "join": "put into the group",
    "leave": "taken out of the group",
    "delete": "deleted; they can be restored for a while",
}


class PeoplePage(AdminPage):
    """``/hub/admin/people``: search and add. Group owners see the people of their groups."""

    active = "people"
    access = Access.SIGNED_IN
    over = Over.SOME
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = MappingProxyType(
        {"GET": Scope.LIST_USERS, "POST": Scope.ADMIN_USERS}
    )

    async def get(self) -> None:
        """A page of people."""
        await self.show_people(done=self.done())

    async def post(self) -> None:
        """Add a user, with a password or with a link to set one."""
        await self.require(Scope.ADMIN_USERS)
        actor, password, role = self.identity.user.id, self.field("password"), self.field("role", 64) or Role.USER
        try:
            await self.services.authority.check_role(self.identity, role)
            if password:  # Before the user is added, so that a refused one leaves nothing behind.
                self.services.passwords.require_acceptable(password, self.field("name"))
            user = await self.services.users.add(self.field("name"), role, actor, self.address)
            if password:
                await self.services.passwords.set(user, password, actor, self.address)
        except (BadRequest, Conflict) as error:
            await self.show_people(error=error, typed=self.field("name")[:64])
            return
        if password:
            self.redirect("/hub/admin/people?done=added")
            return
        secret = await self.services.invitations.create_for(user, actor, self.address)
        await self.show_people(link=self.absolute(f"/hub/invitation/{secret}"), invited=user.name)

    async def show_people(
        self,
        done: str = "",
        error: HubError | None = None,
        typed: str = "",
        link: str = "",
        invited: str = "",
        failed: list[str] | None = None,
    ) -> None:
        """The page, with what was done or went wrong, or a new link."""
        reach = self.identity.reach(Scope.LIST_USERS)
        choice = self.choice()
        async with self.services.store.reading() as unit:
            listing = await list_people(unit, choice, reach)
            groups = await unit.groups.page(0, 500, within=self.identity.reach(Scope.LIST_GROUPS))
        self.show(
            "people.html",
            error.status if error else 200,
            done=done,
            problem=error.message if error else "",
            failed=failed or [],
            typed=typed,
            link=link,
            invited=invited,
            choice=choice,
            listing=listing,
            groups=groups,
            shown=SHOWN,
            orders=ORDERS,
            bulk=BULK if self.identity.may(Scope.ADMIN_USERS) else {},
            may_add=self.identity.may(Scope.ADMIN_USERS),
            roles=self.services.authority.role_names,
        )

    def choice(self) -> Choice:
        """What the address chooses; of a form, what it was sent from."""
        if self.request.method == "POST":
            texts = (self.field(name, 128) for name in ("search", "group_shown", "shown", "order", "page"))
            return Choice.of(*texts)
        query = self.get_query_argument
        return Choice.of(
            query("search", ""), query("group", ""), query("shown", ""), query("order", ""), query("page", "")
        )


class BulkAction(PeoplePage):
    """``/hub/admin/people/bulk``: one action for the people who are ticked."""

    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.ADMIN_USERS

    async def get(self) -> None:
        """The form is on the page of people."""
        self.redirect("/hub/admin/people")

    async def post(self) -> None:
        """Do it for each; those for whom it was refused are named with the reason, and the others are done."""
        await self.require(Scope.ADMIN_USERS)
        action = self.field("action", 32)
        names = list(dict.fromkeys(self.get_body_arguments("user")))[:MAX_AT_ONCE]
        if action not in BULK or not names:
            problem = "Tick somebody first." if not names else "Choose what to do first."
            await self.show_people(error=BadRequest(f"{problem} Nothing was changed."))
            return
        failed, count = [], 0
        try:
            act = await self._action(action)
        except NotFound as error:
            await self.show_people(error=error)
            return
        for name in names:
            try:
                await act(await self.services.users.get(name))
                count += 1
            except HubError as error:
                failed.append(f"{name}: {error.message}")
        people = "1 person" if count == 1 else f"{count} people"
        await self.show_people(done=f"{people}: {_TOLD[action]}." if count else "", failed=failed)

    async def _action(self, action: str) -> Callable[[User], Awaitable[object]]:
        services, actor, address = self.services, self.identity.user.id, self.address
        group = None
        if action in ("join", "leave"):
            group = await services.groups.get(self.field("group", 128))
            await self.require(Scope.GROUPS, group=group)

        async def act(user: User) -> None:
            if user.id == actor and action in ("disable", "delete"):
                raise Forbidden("This is you; ask another administrator.")
            await services.authority.check_over(self.identity, user)
            match action:
                case "sign-out":
                    await services.sign_ins.revoke_all(user.id, actor, address)
                case "stop":
                    await services.workspaces.stop_all(user, self.why_stopped(), actor)
                case "disable":
                    await removal.disable(services, user, actor, address)
                case "enable":
                    await services.users.enable(user, actor, address)
                case "delete":
                    await removal.delete(services, user, actor, address)
                case "join" if group is not None:
                    await services.authority.check_place(self.identity, group, user, MemberRole.MEMBER)
                    await services.groups.add_members(group, [user], actor, address)
                case "leave" if group is not None:
                    await services.groups.remove_members(group, [user], actor, address)

        return act
