"""``/hub/api/groups``: groups, who is in them, who owns them, and what they say of their members' containers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, ClassVar

from hub.auth.groups import group_name
from hub.domain.scopes import Scope
from hub.domain.users import Group, InvalidUsername, MemberRole, User, normalise_username
from hub.errors import BadRequest, Conflict
from hub.http.handler import Over
from hub.web.api.models import ChangedGroup, GroupModel, Members, NewGroup
from hub.web.api.users import MAX_FILTER_CHARS, UsersHandler

MAX_MEMBERS = 1000


class GroupsHandler(UsersHandler):
    """Base of what answers with groups."""

    async def group_model(self, group: Group) -> GroupModel:
        """The group as the asker sees it."""
        async with self.services.store.reading() as unit:
            [shown] = await self.view.groups(unit, [group])
        return shown

    async def people(self, names: list[str]) -> list[User]:
        """The users with these names, every one of whom must exist. Raises BadRequest."""
        if len(names) > MAX_MEMBERS:
            raise BadRequest(f"At most {MAX_MEMBERS} users at once.")
        try:
            wanted = list(dict.fromkeys(map(normalise_username, names)))
        except InvalidUsername:
            raise BadRequest("users holds something that is no user's name.") from None
        async with self.services.store.reading() as unit:
            found = await unit.directory.named(wanted)
        missing = [name for name in wanted if name not in found]
        if missing:
            raise BadRequest(f"There is no user {missing[0]!r}; nothing was changed.")
        return [found[name] for name in wanted]

    async def check_places(self, group: Group, users: list[User], role: MemberRole) -> None:
        """Raise Forbidden unless the asker may put every one of these users into the group."""
        for user in users:
            await self.services.authority.check_place(self.identity, group, user, role)

    async def put_in(self, group: Group, users: list[User], role: MemberRole) -> None:
        """Put users into the group, which was checked before."""
        actor = self.identity.user.id
        if role is MemberRole.OWNER:
            for user in users:
                await self.services.groups.set_owner(group, user, True, actor, self.address)
        elif users:
            await self.services.groups.add_members(group, users, actor, self.address)


class GroupsList(GroupsHandler):
    """``/hub/api/groups``."""

    permission: ClassVar[Mapping[str, Scope]] = {"GET": Scope.LIST_GROUPS, "POST": Scope.ADMIN_GROUPS}
    over = Over.SOME
    repeatable = True

    async def get(self) -> None:
        """Groups within the asker's reach in order of their names, by page; query `name_filter`."""
        within, part = self.identity.reach(Scope.LIST_GROUPS), self.slice()
        search = self.get_query_argument("name_filter", "")[:MAX_FILTER_CHARS]
        async with self.services.store.reading() as unit:
            total = await unit.groups.count(search, within)
            groups = await unit.groups.page(part.offset, part.limit, search, within)
            models = await self.view.groups(unit, groups)
        self.write_page(models, part, total, name_filter=search)

    async def post(self) -> None:
        """Make groups without members (201); those whose names exist are left out."""
        await self.require(Scope.ADMIN_GROUPS)
        wanted = self.body(dict[str, Any]).get("groups")
        if not isinstance(wanted, list) or not wanted or not all(isinstance(name, str) for name in wanted):
            raise BadRequest("groups must be a list of names.")
        made, actor = [], self.identity.user.id
        for name in dict.fromkeys([group_name(name) for name in wanted[:MAX_MEMBERS]]):
            with contextlib.suppress(Conflict):
                made.append(await self.services.groups.create(name, actor, self.address, before=self._may_make))
        if not made:
            raise Conflict("All of these groups exist already.")
        async with self.services.store.reading() as unit:
            models = await self.view.groups(unit, made)
        self.write_json(models, 201)

    async def _may_make(self, group: Group) -> None:
        await self.services.authority.check_group(self.identity, group)


class OneGroup(GroupsHandler):
    """``/hub/api/groups/<group>``."""

    permission: ClassVar[Mapping[str, Scope]] = {
        "GET": Scope.READ_GROUPS_NAME,
        "POST": Scope.ADMIN_GROUPS,
        "PATCH": Scope.ADMIN_GROUPS,
        "DELETE": Scope.DELETE_GROUPS,
    }
    over = Over.GROUP
    repeatable = True

    async def get(self, _name: str) -> None:
        """The group; who is in it to those who may read that."""
        self.write_json(await self.group_model(self.group))

    async def post(self, name: str) -> None:
        """Make the group (201), with the members and owners that the body names."""
        wanted = self.body(NewGroup)
        members, owners = await self.people(wanted.users), await self.people(wanted.owners)

        async def check(made: Group) -> None:
            await self.services.authority.check_group(self.identity, made)
            await self.check_places(made, members, MemberRole.MEMBER)
            await self.check_places(made, owners, MemberRole.OWNER)

        group = await self.services.groups.create(
            name,
            self.identity.user.id,
            self.address,
            display_name=wanted.display_name,
            properties=wanted.properties,
            before=check,
        )
        await self.put_in(group, members, MemberRole.MEMBER)
        await self.put_in(group, owners, MemberRole.OWNER)
        self.write_json(await self.group_model(group), 201)

    async def patch(self, _name: str) -> None:
        """Another name or display name."""
        change, group = self.body(ChangedGroup), self.group
        changed = await self.services.groups.change(
            group,
            self.identity.user.id,
            self.address,
            name=change.name,
            display_name=change.display_name,
            before=lambda made: self.services.authority.check_group(self.identity, made),
        )
        self.write_json(await self.group_model(changed))

    async def delete(self, _name: str) -> None:
        """Delete the group (204); its members stay users."""
        await self.services.groups.delete(self.group, self.identity.user.id, self.address)
        self.set_status(204)


class GroupUsers(GroupsHandler):
    """``/hub/api/groups/<group>/users``: who is in it."""

    permission = Scope.GROUPS
    over = Over.GROUP

    async def post(self, _name: str) -> None:
        """Put users into the group; who is in it already stays. Answers the group."""
        users = await self.people(self.body(Members).users)
        await self.check_places(self.group, users, MemberRole.MEMBER)
        await self.put_in(self.group, users, MemberRole.MEMBER)
        self.write_json(await self.group_model(self.group))

    async def delete(self, _name: str) -> None:
        """Take users out of the group; who is not in it is no error. Answers the group."""
        users = await self.people(self.body(Members).users)
        await self.services.groups.remove_members(self.group, users, self.identity.user.id, self.address)
        self.write_json(await self.group_model(self.group))


class GroupOwners(GroupsHandler):
    """``/hub/api/groups/<group>/owners``: who owns it, which is ours; owners are in it, too."""

    permission = Scope.ADMIN_GROUPS
    over = Over.GROUP

    async def post(self, _name: str) -> None:
        """Make users owners, who are put into the group if need be. Answers the group."""
        users = await self.people(self.body(Members).users)
        await self.check_places(self.group, users, MemberRole.OWNER)
        await self.put_in(self.group, users, MemberRole.OWNER)
        self.write_json(await self.group_model(self.group))

    async def delete(self, _name: str) -> None:
        """Make owners members again. Answers the group."""
        for user in await self.people(self.body(Members).users):
            actor = self.identity.user.id
            await self.services.groups.set_owner(self.group, user, False, actor, self.address)
        self.write_json(await self.group_model(self.group))


class GroupProperties(GroupsHandler):
    """``/hub/api/groups/<group>/properties``."""

    permission = Scope.ADMIN_GROUPS
    over = Over.GROUP

    async def put(self, _name: str) -> None:
        """What the group says of its members' containers, in place of what it said. Answers the group."""
        changed = await self.services.groups.set_properties(
            self.group, self.body(dict[str, Any]), self.identity.user.id, self.address
        )
        self.write_json(await self.group_model(changed))
