"""``/hub/admin/groups``: groups, who is in them, who owns them, and what they give their members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import quote

from hub.config.culling import GroupRules, OwnerRules
from hub.domain.scopes import Scope
from hub.domain.users import Group, MemberRole
from hub.errors import BadRequest, Conflict, Forbidden, HubError, NotFound
from hub.http.handler import Access
from hub.http.permitted import Over
from hub.web.admin.page import AdminPage
from hub.web.culling_forms import explained, read_rules_form, rules_fields, span_text_or_never
from hub.web.setting_forms import WrongForm

ACTIONS = "describe|add|remove|own|disown|properties|culling|owner-culling|delete"
PAGE_SIZE = 100
_GIB = 1024**3
_CHANGING = {
    "describe": Scope.ADMIN_GROUPS,
    "properties": Scope.ADMIN_GROUPS,
    "culling": Scope.ADMIN_GROUPS,
    "delete": Scope.DELETE_GROUPS,
}
"""What each action takes; those that are not here, `groups` over the group."""


def group_path(group: Group) -> str:
    """Where a group's page is."""
    return f"/hub/admin/groups/{quote(group.name, safe='@+')}"


@dataclass(frozen=True, slots=True)
class WrongRules:
    """Rules of culling that could not be saved: which of the two forms, what was typed, what is wrong with it."""

    by_owner: bool
    typed: dict[str, str]
    mistakes: dict[str, str]


class GroupsBase(AdminPage):
    """What these pages share."""

    async def check_name(self, group: Group) -> None:
        """Whether the asker may give what a group of this name gives to its members. Raises Forbidden."""
        await self.services.authority.check_group(self.identity, group)


class GroupsPage(GroupsBase):
    """``/hub/admin/groups``: those that the asker may see."""

    active = "groups"
    access = Access.SIGNED_IN
    over = Over.SOME
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = MappingProxyType(
        {"GET": Scope.LIST_GROUPS, "POST": Scope.ADMIN_GROUPS}
    )

    async def get(self) -> None:
        """List them."""
        await self._show(done=self.done())

    async def post(self) -> None:
        """Make one and go to its page."""
        await self.require(Scope.ADMIN_GROUPS)
        services, actor = self.services, self.identity.user.id
        try:
            named = self.field("display_name", 400)
            group = await services.groups.create(
                self.field("name", 600), actor, self.address, display_name=named, before=self.check_name
            )
        except (BadRequest, Conflict) as error:
            await self._show(error=error, typed=self.field("name")[:128])
            return
        self.redirect(group_path(group))

    async def _show(self, done: str = "", error: HubError | None = None, typed: str = "") -> None:
        search = self.get_query_argument("search", "")[:64].strip()
        within = self.identity.reach(Scope.LIST_GROUPS)
        number = self.get_query_argument("page", "1")
        page = max(1, int(number)) if number.isascii() and number.isdigit() and len(number) < 6 else 1
        async with self.services.store.reading() as unit:
            groups = await unit.groups.page((page - 1) * PAGE_SIZE, PAGE_SIZE, search, within)
            total = await unit.groups.count(search, within)
            sizes = await unit.groups.sizes(group.id for group in groups)
        self.show(
            "groups.html",
            error.status if error else 200,
            groups=[(group, sizes[group.id], group_path(group)) for group in groups],
            total=total,
            search=search,
            page=page,
            pages=max(1, -(-total // PAGE_SIZE)),
            may_make=self.identity.may(Scope.ADMIN_GROUPS),
            typed=typed,
            done=done,
            problem=error.message if error else "",
        )


class GroupPage(GroupsBase):
    """``/hub/admin/groups/<name>``."""

    active = "groups"
    access = Access.SIGNED_IN
    over = Over.GROUP
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.READ_GROUPS

    async def get(self, name: str) -> None:
        """Show the group."""
        await self.show_group(self.group(), done=self.done())

    def group(self) -> Group:
        """The one that the address names. Raises NotFound."""
        if self.found_group is None:
            raise NotFound("There is no such group.")
        return self.found_group

    async def show_group(
        self,
        group: Group,
        done: str = "",
        error: HubError | None = None,
        typed: str = "",
        wrong: WrongRules | None = None,
    ) -> None:
        """The page, with what was done or went wrong."""
        search = self.get_query_argument("search", "")[:64].strip()
        number = self.get_query_argument("page", "1")
        page = max(1, int(number)) if number.isascii() and number.isdigit() and len(number) < 6 else 1
        async with self.services.store.reading() as unit:
            members = await unit.groups.members_page(group.id, (page - 1) * PAGE_SIZE, PAGE_SIZE, search)
            total = await unit.groups.members_count(group.id, search)
        administrators, owners = await self.services.ruling.of_group(group)
        rules, owner_rules = rules_fields(administrators), rules_fields(owners)
        if wrong is not None:
            rules, owner_rules = (rules, wrong.typed) if wrong.by_owner else (wrong.typed, owner_rules)
        self.show(
            "group.html",
            error.status if error else 200,
            rules=rules,
            owner_rules=owner_rules,
            mistakes=wrong.mistakes if wrong is not None else {},
            wrong_by_owner=wrong is not None and wrong.by_owner,
            owners_up_to=span_text_or_never(administrators.owners_up_to),
            group=group,
            address=group_path(group),
            members=members,
            total=total,
            search=search,
            page=page,
            pages=max(1, -(-total // PAGE_SIZE)),
            profiles=sorted(self.services.running.current.profiles),
            limits=_shown(group.properties),
            may_change=self.identity.may(Scope.ADMIN_GROUPS, group=group.id),
            may_fill=self.identity.may(Scope.GROUPS, group=group.id),
            may_delete=self.identity.may(Scope.DELETE_GROUPS, group=group.id),
            typed=typed,
            done=done,
            problem=error.message if error else "",
        )


class GroupAction(GroupPage):
    """``/hub/admin/groups/<name>/<action>``."""

    permission: ClassVar[Scope | Mapping[str, Scope] | None] = Scope.GROUPS

    async def get(self, name: str, action: str = "") -> None:
        """The forms are on the group's page."""
        self.redirect(group_path(self.group()))

    async def post(self, name: str, action: str) -> None:
        """Perform the action; a refusal is shown on the group's page."""
        group = self.group()
        await self.require(_CHANGING.get(action, Scope.GROUPS), group=group)
        try:
            changed = await self._perform(action, group)
        except WrongForm as error:
            wrong = WrongRules(action == "owner-culling", self._typed(), error.mistakes)
            await self.show_group(group, error=BadRequest(explained(error)), wrong=wrong)
            return
        except (BadRequest, Conflict, NotFound, Forbidden) as error:
            await self.show_group(group, error=error, typed=self.field("names", 4000))
            return
        self.redirect(f"{group_path(changed)}?done=changed" if changed else "/hub/admin/groups?done=changed")

    async def _perform(self, action: str, group: Group) -> Group | None:
        """Do it; gives the group as it is then, None if it is gone."""
        services, actor, address = self.services, self.identity.user.id, self.address
        match action:
            case "describe":
                wanted, named = self.field("name", 600), self.field("display_name", 400)
                return await services.groups.change(
                    group, actor, address, name=wanted, display_name=named, before=self.check_name
                )
            case "properties":
                return await services.groups.set_properties(group, self._properties(group), actor, address)
            case "delete":
                if self.field("confirm", 600).strip() != group.name:
                    raise BadRequest(f"Type the name {group.name} to delete this group; nothing was deleted.")
                await services.groups.delete(group, actor, address)
                return None
            case "culling":
                rules = read_rules_form(GroupRules, self._typed())
                await services.ruling.set_for_group(group, rules, actor, address)
            case "owner-culling":
                await services.ruling.set_by_owner(group, read_rules_form(OwnerRules, self._typed()), actor, address)
            case "add":
                await self._add(group)
            case "remove":
                person = await services.users.get(self.field("name", 256))
                await services.groups.remove_members(group, [person], actor, address)
            case _:
                person, owns = await services.users.get(self.field("name", 256)), action == "own"
                role = MemberRole.OWNER if owns else MemberRole.MEMBER
                await services.authority.check_place(self.identity, group, person, role)
                await services.groups.set_owner(group, person, owns, actor, address)
        return group

    def _typed(self) -> dict[str, str]:
        return {name: self.field(name, 4000) for name in self.request.body_arguments if name != "_xsrf"}

    async def _add(self, group: Group) -> None:
        names = self.field("names", 64 * 1024).replace(",", " ").replace(";", " ").split()
        if not names:
            raise BadRequest("Write the names of those who come into the group.")
        people = [await self.services.users.get(name) for name in dict.fromkeys(names)]
        for person in people:
            await self.services.authority.check_place(self.identity, group, person, MemberRole.MEMBER)
        await self.services.groups.add_members(group, people, self.identity.user.id, self.address)

    def _properties(self, group: Group) -> dict[str, Any]:
        """The group's properties with what the form says; what others keep there stays."""
        kept = {name: value for name, value in group.properties.items() if name not in ("profiles", "limits", "quotas")}
        limits = {"memory_bytes": self._bytes("memory"), "cpus": self._number("cpus")}
        quotas = {
            "containers": self._whole("containers"),
            "kernels": self._whole("kernels"),
            "hours_per_week": self._number("hours"),
            "disk_bytes": self._bytes("disk"),
        }
        sections = {
            "profiles": self.get_body_arguments("profile"),
            "limits": {name: value for name, value in limits.items() if value is not None},
            "quotas": {name: value for name, value in quotas.items() if value is not None},
        }
        return {**kept, **{name: value for name, value in sections.items() if value}}

    def _number(self, name: str) -> float | None:
        text = self.field(name, 16).strip().replace(",", ".")
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not 0 < number < 1e9:
            raise BadRequest(f"{text!r} is no number above zero.")
        return number

    def _whole(self, name: str) -> int | None:
        number = self._number(name)
        return None if number is None else max(1, round(number))

    def _bytes(self, name: str) -> int | None:
        gigabytes = self._number(name)
        return None if gigabytes is None else round(gigabytes * _GIB)


def _shown(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Limits and quotas as the form shows them; empty where there are none."""
    limits, quotas = properties.get("limits", {}), properties.get("quotas", {})

    def gigabytes(value: Any) -> str:
        return f"{value / _GIB:g}" if isinstance(value, int) else ""

    return {
        "memory": gigabytes(limits.get("memory_bytes")),
        "cpus": limits.get("cpus", ""),
        "containers": quotas.get("containers", ""),
        "kernels": quotas.get("kernels", ""),
        "hours": quotas.get("hours_per_week", ""),
        "disk": gigabytes(quotas.get("disk_bytes")),
        "profiles": properties.get("profiles", []),
    }
