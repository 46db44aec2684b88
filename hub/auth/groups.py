"""Groups: made, renamed, deleted; people put in and taken out, made owners; each change with its audit line.

Who may do so is decided before by whoever calls (`hub.domain.permissions`); `actor` is the id of the user who acts, or
``hub`` or ``cli``, or a provider's name whose claims say who is in a group.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from hub.auth.recent import RecentIdentities
from hub.domain.audit import AuditEvent
from hub.domain.groups import InvalidGroup, check_properties, normalise_display_name, normalise_group_name
from hub.domain.ids import GroupId, new_id
from hub.domain.users import Group, MemberRole, User
from hub.errors import BadRequest, Conflict, NotFound
from hub.store.engine import Store
from hub.store.unit import Unit
from proxy.kit.clock import Clock

Check = Callable[[Group], Awaitable[None]]
MAX_AT_ONCE = 1000
"""Most people who are put into a group, or taken out, by one call."""


def group_name(raw: str) -> str:
    """The canonical form of a group's name that somebody typed. Raises BadRequest with what is allowed."""
    try:
        return normalise_group_name(raw)
    except InvalidGroup as error:
        raise BadRequest(str(error)) from error


class Groups:
    """The hub's groups."""

    def __init__(self, store: Store, clock: Clock, recent: RecentIdentities) -> None:
        self._store = store
        self._clock = clock
        self._recent = recent

    async def get(self, name: str) -> Group:
        """The group of this name. Raises NotFound."""
        try:
            canonical = normalise_group_name(name)
        except InvalidGroup:
            raise NotFound("There is no such group.") from None
        async with self._store.reading() as unit:
            return _existing(await unit.groups.find_by_name(canonical))

    async def create(
        self,
        name: str,
        actor: str,
        address: str = "",
        *,
        display_name: str = "",
        properties: dict[str, Any] | None = None,
        source: str = "hub",
        before: Check | None = None,
    ) -> Group:
        """A new group without members. `before` may refuse it, for what its name gives to its members.

        Raises BadRequest for an impossible name, Conflict for a taken one, and what `before` raises.
        """
        now = self._clock.now()
        group = Group(
            id=GroupId(new_id()),
            name=group_name(name),
            created_at=now,
            display_name=_display_name(display_name),
            properties=_properties(properties or {}),
            source=source,
        )
        if before is not None:
            await before(group)
        async with self._store.unit() as unit:
            await unit.groups.add(group)
            await unit.audit.add(AuditEvent(now, "group.added", actor, group.id, address, {"name": group.name}))
        return group

    async def change(
        self,
        group: Group,
        actor: str,
        address: str = "",
        *,
        name: str | None = None,
        display_name: str | None = None,
        before: Check | None = None,
    ) -> Group:
        """Another name or display name; None leaves it. `before` may refuse the group as it would be.

        Raises BadRequest, Conflict for a taken name, NotFound, and what `before` raises.
        """
        now = self._clock.now()
        new_name = group.name if name is None else group_name(name)
        new_display = group.display_name if display_name is None else _display_name(display_name)
        if before is not None:
            await before(replace(group, name=new_name))
        async with self._store.unit() as unit:
            current = _existing(await unit.groups.find(group.id))
            changed = replace(current, name=new_name, display_name=new_display)
            if changed != current:
                await unit.groups.save(changed)
                details: dict[str, str | int | float | bool | None] = {"name": changed.name, "was": current.name}
                await unit.audit.add(AuditEvent(now, "group.changed", actor, group.id, address, details))
        self._recent.clear()
        return changed

    async def set_properties(self, group: Group, properties: dict[str, Any], actor: str, address: str = "") -> Group:
        """What the group says of its members' containers, in place of what it said. Raises BadRequest, NotFound."""
        now, checked = self._clock.now(), _properties(properties)
        async with self._store.unit() as unit:
            changed = replace(_existing(await unit.groups.find(group.id)), properties=checked)
            await unit.groups.save(changed)
            details: dict[str, str | int | float | bool | None] = {"name": group.name, "keys": ", ".join(checked)}
            await unit.audit.add(AuditEvent(now, "group.properties_changed", actor, group.id, address, details))
        self._recent.clear()
        return changed

    async def delete(self, group: Group, actor: str, address: str = "") -> None:
        """Delete the group; its members stay users. Raises NotFound."""
        now = self._clock.now()
        async with self._store.unit() as unit:
            if not await unit.groups.delete(group.id):
                raise NotFound("There is no such group.")
            await unit.audit.add(AuditEvent(now, "group.deleted", actor, group.id, address, {"name": group.name}))
        self._recent.clear()

    async def add_members(
        self,
        group: Group,
        people: Iterable[User],
        actor: str,
        address: str = "",
        *,
        role: MemberRole = MemberRole.MEMBER,
        source: str = "hub",
    ) -> list[User]:
        """Put people into a group; gives those who were not in it before, all of them or none.

        Whoever is in it already stays what they are there. Raises NotFound, Conflict for somebody who was deleted.
        """
        added: list[User] = []
        async with self._store.unit() as unit:
            await _require(unit, group)
            for user in _few(people):
                if await unit.groups.add_member(group.id, user.id, role, source):
                    added.append(user)
                    await self._audit(unit, "group.member_added", group, user, actor, address, role)
        self._recent.clear()
        return added

    async def remove_members(self, group: Group, people: Iterable[User], actor: str, address: str = "") -> list[User]:
        """Take people out of a group; gives those who were in it. Raises NotFound."""
        removed: list[User] = []
        async with self._store.unit() as unit:
            await _require(unit, group)
            for user in _few(people):
                if await unit.groups.remove_member(group.id, user.id):
                    removed.append(user)
                    await self._audit(unit, "group.member_removed", group, user, actor, address)
        self._recent.clear()
        return removed

    async def set_owner(self, group: Group, user: User, owns: bool, actor: str, address: str = "") -> None:
        """Make somebody an owner of the group, who is put into it if need be, or only a member again.

        Raises NotFound, and Conflict when somebody who is not in the group shall be its owner no more.
        """
        role = MemberRole.OWNER if owns else MemberRole.MEMBER
        async with self._store.unit() as unit:
            await _require(unit, group)
            if owns and await unit.groups.add_member(group.id, user.id, role):
                changed = True
            else:
                changed = await unit.groups.set_role(group.id, user.id, role)
                if not changed and await unit.groups.role_of(group.id, user.id) is None:
                    raise Conflict(f"{user.name} is not in the group {group.name}.")
            if changed:
                action = "group.owner_added" if owns else "group.owner_removed"
                await self._audit(unit, action, group, user, actor, address)
        self._recent.clear()

    async def _audit(
        self,
        unit: Unit,
        action: str,
        group: Group,
        user: User,
        actor: str,
        address: str,
        role: MemberRole = MemberRole.MEMBER,
    ) -> None:
        details: dict[str, str | int | float | bool | None] = {"group": group.name, "user": user.id, "name": user.name}
        if role is not MemberRole.MEMBER:
            details["role"] = str(role)
        await unit.audit.add(AuditEvent(self._clock.now(), action, actor, group.id, address, details))


def _existing(group: Group | None) -> Group:
    if group is None:
        raise NotFound("There is no such group.")
    return group


async def _require(unit: Unit, group: Group) -> None:
    """Raise NotFound if the group was deleted meanwhile; it is locked until the unit ends."""
    _existing(await unit.groups.find(group.id))


def _few(people: Iterable[User]) -> list[User]:
    found = list({user.id: user for user in people}.values())
    if len(found) > MAX_AT_ONCE:
        raise BadRequest(f"At most {MAX_AT_ONCE} people at once.")
    return found


def _display_name(raw: str) -> str:
    try:
        return normalise_display_name(raw)
    except InvalidGroup as error:
        raise BadRequest(str(error)) from error


def _properties(raw: dict[str, Any]) -> dict[str, Any]:
    try:
        return check_properties(raw)
    except InvalidGroup as error:
        raise BadRequest(str(error)) from error
