"""``/hub/admin/users/<name>``: one person, everything there is of them, and what can be done about them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import quote

from hub.config.culling import CullingRules
from hub.domain.ids import TokenId
from hub.domain.scopes import Scope
from hub.domain.users import MemberRole, User
from hub.errors import BadRequest, Conflict, Forbidden, HubError, NotFound
from hub.http.handler import Access
from hub.http.permitted import Over
from hub.web import removal
from hub.web.admin.page import AdminPage
from hub.web.culling_forms import explained, read_rules_form, rules_fields
from hub.web.ends import ends_of
from hub.web.setting_forms import WrongForm

ACTIONS = "invite|delete|sign-out|disable|enable|role|rename|describe|join|leave|reset-factors|revoke-token|culling"
"""The last part of the addresses of what can be done; `hub.web.routes` makes a pattern of it."""
_OF_GROUPS = frozenset({"join", "leave"})


def person_path(user: User) -> str:
    """Where a person's page is."""
    return f"/hub/admin/users/{quote(user.name, safe='@+')}"


class PersonPage(AdminPage):
    """``/hub/admin/users/<name>``. Group owners see the people of their groups, without what is private."""

    active = "people"
    access = Access.SIGNED_IN
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = MappingProxyType({"GET": Scope.READ_USERS})
    over = Over.USER

    async def get(self, name: str) -> None:
        """Show the person; who is in charge of nobody has a page of their own."""
        if not self.identity.could(Scope.LIST_USERS):
            self.redirect("/hub/home")
            return
        await self.show_person(self.person(), done=self.done())

    def person(self) -> User:
        """The one whom the address names. Raises NotFound."""
        if self.found_user is None:
            raise NotFound("There is no such user.")
        return self.found_user

    async def show_person(
        self,
        person: User,
        done: str = "",
        error: HubError | None = None,
        link: str = "",
        mistakes: Mapping[str, str] | None = None,
        typed: Mapping[str, Any] | None = None,
    ) -> None:
        """The page, with what was done, or went wrong, or a new link."""
        services, identity = self.services, self.identity
        is_admin = identity.may(Scope.ADMIN_USERS)
        private = await self._private(person) if is_admin else {}
        async with services.store.reading() as unit:
            memberships = await unit.groups.memberships_for(person.id)
            lives = await unit.lives.list_for(person.id, limit=20)
            sessions = await unit.sessions.list_for(person.id)
            kernels = await unit.kernels.list_for(person.id)
            groups = await unit.groups.page(0, 500) if is_admin else []
        inside = {membership.group.id for membership in memberships}
        workspaces = await services.workspaces.list_for(person)
        names = {session.kernel_id: session.path or session.name for session in sessions}
        ends = ends_of(services, [workspace.id for workspace in workspaces], names, kernels)
        self.show(
            "person.html",
            error.status if error else 200,
            person=person,
            address=person_path(person),
            workspaces=workspaces,
            ends=ends,
            memberships=memberships,
            groups=[group for group in groups if group.id not in inside],
            lives=lives,
            size=await services.live.sizes.look(person),
            roles=services.authority.role_names,
            grace=services.departures.rules.grace,
            may_change=is_admin,
            may_stop=identity.may(Scope.DELETE_SERVERS, person.id, groups=frozenset(inside)),
            may_view=identity.may(Scope.VIEW_USERS),
            may_message=identity.may(Scope.MESSAGE_USERS, person.id, groups=frozenset(inside)),
            may_audit=identity.may(Scope.READ_AUDIT),
            done=done,
            problem=error.message if error else "",
            link=link,
            mistakes=mistakes or {},
            **{"sign_ins": [], "tokens": [], "identities": [], "factors": [], "rules": {}, **private, **(typed or {})},
        )

    async def _private(self, person: User) -> dict[str, Any]:
        services = self.services
        return {
            "sign_ins": await services.sign_ins.list(person),
            "tokens": await services.tokens.list(person),
            "identities": await services.arrivals.identities_of(person),
            "factors": await services.second_factors.of(person),
            "rules": rules_fields(await services.ruling.of_user(person)),
        }


class PersonAction(PersonPage):
    """``/hub/admin/users/<name>/<action>``."""

    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.ADMIN_USERS

    async def get(self, name: str, action: str = "") -> None:
        """The forms are on the person's page."""
        self.redirect(person_path(self.person()))

    async def post(self, name: str, action: str) -> None:
        """Perform the action; a refusal is shown on the person's page."""
        person = self.person()
        try:
            if action not in _OF_GROUPS:
                await self.services.authority.check_over(self.identity, person)
            await self._perform(action, person)
        except WrongForm as error:
            said, typed = BadRequest(explained(error)), {"rules": self._typed()}
            await self.show_person(person, error=said, mistakes=error.mistakes, typed=typed)
        except (BadRequest, Conflict, NotFound, Forbidden) as error:
            await self.show_person(person, error=error)

    def _typed(self) -> dict[str, str]:
        return {name: self.field(name, 4000) for name in self.request.body_arguments if name != "_xsrf"}

    async def _perform(self, action: str, person: User) -> None:
        services, actor, address = self.services, self.identity.user.id, self.address
        changed = person
        match action:
            case "invite":
                secret = await services.invitations.create_for(person, actor, address)
                await self.show_person(person, link=self.absolute(f"/hub/invitation/{secret}"))
                return
            case "delete":
                await self._delete(person)
                return
            case "sign-out":
                await services.sign_ins.revoke_all(person.id, actor, address)
            case "disable":
                await removal.disable(services, person, actor, address)
            case "enable":
                await services.users.enable(person, actor, address)
            case "role":
                role = self.field("role", 64)
                await services.authority.check_role(self.identity, role, person.id)
                changed = await services.users.set_role(person, role, actor, address)
            case "rename":
                changed = await services.users.rename(person, self.field("name", 256), actor, address)
            case "describe":
                named, email = self.field("display_name", 400), self.field("email", 400)
                changed = await services.users.describe(person, actor, address, display_name=named, email=email)
            case "reset-factors":
                await services.second_factors.reset(person, actor, address)
            case "revoke-token":
                await services.tokens.revoke(person, TokenId(self.field("token", 64)), actor, address)
            case "culling":
                rules = read_rules_form(CullingRules, self._typed())
                await services.ruling.set_for_user(person, rules, actor, address)
            case "join" | "leave":
                await self._move(action, person)
        self.redirect(f"{person_path(changed)}?done=changed")

    async def _delete(self, person: User) -> None:
        actor = self.identity.user.id
        if person.id == actor:
            raise BadRequest("This is you; ask another administrator.")
        if self.field("confirm").strip() != person.name:
            raise BadRequest(f"Type the name {person.name} to delete this user; nothing was deleted.")
        await removal.delete(self.services, person, actor, self.address)
        self.redirect("/hub/admin/people/removed?done=removed")

    async def _move(self, action: str, person: User) -> None:
        services, actor, address = self.services, self.identity.user.id, self.address
        group = await services.groups.get(self.field("group", 128))
        await self.require(Scope.GROUPS, group=group)
        if action == "leave":
            await services.groups.remove_members(group, [person], actor, address)
            return
        await services.authority.check_place(self.identity, group, person, MemberRole.MEMBER)
        await services.groups.add_members(group, [person], actor, address)
