"""Rosters carried out: what a file says becomes users and memberships, each change with its line in the audit log.

What would change is decided by `hub.domain.roster`; here it is looked up and done, after somebody has seen the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from hub.auth.recent import RecentIdentities
from hub.domain.audit import AuditEvent
from hub.domain.ids import GroupId, new_id
from hub.domain.roster import Change, Known, Plan, Roster, Row, Step, groups_of
from hub.domain.users import Group, MemberRole, Role, User
from hub.errors import Conflict
from hub.store.engine import Store
from hub.store.unit import Unit
from proxy.kit.clock import Clock

AT_ONCE = 200
"""Changes in one unit of work: everybody else's writes wait meanwhile."""


class Rosters:
    """Looks up what a roster concerns, and carries out plans."""

    def __init__(self, store: Store, clock: Clock, recent: RecentIdentities) -> None:
        self._store = store
        self._clock = clock
        self._recent = recent

    async def known(self, roster: Roster, group: str = "") -> Known:
        """What there is of the people and groups that a roster, and one more group, speak of."""
        names = {row.name for row in roster.rows}
        async with self._store.reading() as unit:
            users = await unit.directory.described(names)
            groups = await unit.groups.find_many(groups_of(roster, group))
            members: dict[str, Mapping[str, MemberRole]] = {}
            provided: dict[str, set[str]] = {}
            for name, found in groups.items():
                roll = await unit.groups.roll(found.id)
                members[name] = {one.name: one.role for one in roll}
                provided[name] = {one.name for one in roll if one.source != "hub"}
        return Known(users, members, provided)

    async def follow(self, plan: Plan, actor: str, address: str = "") -> list[User]:
        """Carry out a plan; gives the people who were added. Groups that do not exist are made.

        Some hundred changes at a time become true together. Raises Conflict, with what was done before kept, when
        somebody else changed the same people meanwhile: the next plan takes it from there.
        """
        added: list[User] = []
        try:
            for steps in _batches(plan.steps):
                async with self._store.unit() as unit:
                    for step in steps:
                        if (user := await self._take(unit, step, plan.rows, actor, address)) is not None:
                            added.append(user)
        finally:
            self._recent.clear()
        return added

    async def _take(self, unit: Unit, step: Step, rows: Mapping[str, Row], actor: str, address: str) -> User | None:
        if step.change is Change.ADD:
            return await self._add(unit, rows[step.name], actor, address)
        user = await unit.users.find_by_name(step.name)
        if user is None:
            raise Conflict(f"{step.name} was deleted meanwhile; look at the roster's preview again.")
        if step.change is Change.DESCRIBE:
            await self._describe(unit, user, rows[step.name], actor, address)
            return None
        group = await self._group(unit, step.group, actor, address)
        match step.change:
            case Change.ENTER:
                changed = await unit.groups.add_member(group.id, user.id)
                action = "group.member_added"
            case Change.LEAVE:
                changed = await unit.groups.remove_member(group.id, user.id)
                action = "group.member_removed"
            case _:
                changed = await unit.groups.set_role(group.id, user.id, MemberRole.OWNER)
                action = "group.owner_added"
        if changed:
            details = {"group": group.name, "user": user.id, "name": user.name}
            await unit.audit.add(AuditEvent(self._clock.now(), action, actor, group.id, address, details))
        return None

    async def _add(self, unit: Unit, row: Row, actor: str, address: str) -> User:
        now = self._clock.now()
        user = await unit.users.add(row.name, Role.USER, now)
        if row.display_name or row.email:
            user = replace(user, display_name=row.display_name or None, email=row.email or None)
            await unit.users.save(user)
        details = {"name": user.name, "role": str(user.role)}
        await unit.audit.add(AuditEvent(now, "user.added", actor, user.id, address, details))
        return user

    async def _describe(self, unit: Unit, user: User, row: Row, actor: str, address: str) -> None:
        changed = replace(user, display_name=row.display_name or user.display_name, email=row.email or user.email)
        await unit.users.save(changed)
        await unit.audit.add(AuditEvent(self._clock.now(), "user.described", actor, user.id, address))

    async def _group(self, unit: Unit, name: str, actor: str, address: str) -> Group:
        found = await unit.groups.find_by_name(name)
        if found is not None:
            return found
        now = self._clock.now()
        group = Group(GroupId(new_id()), name, now)
        await unit.groups.add(group)
        await unit.audit.add(AuditEvent(now, "group.added", actor, group.id, address, {"name": name}))
        return group


def _batches(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    for start in range(0, len(steps), AT_ONCE):
        yield steps[start : start + AT_ONCE]
