"""Rules of culling for groups and users, and postponements, in the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from hub.domain.culling import Rule
from hub.domain.ids import GroupId, KernelId, UserId, WorkspaceId
from hub.store.tables import culling_postponements, culling_rules, groups, memberships
from hub.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class StoredRules:
    """What somebody said for a group or a user, as JSON. `group_name` is what people read, empty for a user's."""

    user_id: UserId | None
    group_id: GroupId | None
    by_owner: bool
    value: dict[str, Any]
    changed_at: datetime
    changed_by: str
    group_name: str = ""

    @property
    def id(self) -> str:
        """There is one for each user, two for each group."""
        return f"user:{self.user_id}" if self.user_id else f"{'owner' if self.by_owner else 'group'}:{self.group_id}"


@dataclass(frozen=True, slots=True)
class Postponement:
    """An end that its user put off. `kernel_id` is None for the container's end.

    `until` is when the last one ends, asked for at `asked_at`; `seconds` is what all `times` of them come to.
    """

    workspace_id: WorkspaceId
    kernel_id: KernelId | None
    rule: Rule
    user_id: UserId
    asked_at: datetime
    until: datetime
    times: int
    seconds: float


class Culling:
    """Who has which rules, and what was put off."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def save_rules(self, rules: StoredRules) -> None:
        """Write rules in place of those before; an empty `value` forgets them."""
        await self._db.execute(delete(culling_rules).where(culling_rules.c.id == rules.id))
        if rules.value:
            await self._db.execute(
                insert(culling_rules).values(
                    id=rules.id,
                    user_id=rules.user_id,
                    group_id=rules.group_id,
                    by_owner=rules.by_owner,
                    value=rules.value,
                    changed_at=rules.changed_at,
                    changed_by=rules.changed_by,
                ),
                conflict="Somebody else has set this at the same moment; look at it again.",
            )

    async def rules_of_group(self, group_id: GroupId) -> dict[bool, StoredRules]:
        """A group's rules: its owners' under True, the administrators' under False."""
        query = select(culling_rules).where(culling_rules.c.group_id == group_id)
        return {row.by_owner: _rules(row) for row in await self._db.rows(query)}

    async def rules_of_user(self, user_id: UserId) -> StoredRules | None:
        """A user's own rules."""
        row = await self._db.row(select(culling_rules).where(culling_rules.c.user_id == user_id))
        return _rules(row) if row is not None else None

    async def rules_for(self, user_ids: Iterable[UserId]) -> dict[UserId, list[StoredRules]]:
        """All rules that concern each of these users: their own and their groups', in order of the groups' names."""
        wanted = sorted(set(user_ids))
        found: dict[UserId, list[StoredRules]] = {user_id: [] for user_id in wanted}
        own = select(culling_rules)
        for row in await self._db.rows_for(wanted, lambda keys: own.where(culling_rules.c.user_id.in_(keys))):
            found[UserId(row.user_id)].append(_rules(row))
        of_groups = (
            select(culling_rules, groups.c.name, memberships.c.user_id.label("member_id"))
            .join(memberships, memberships.c.group_id == culling_rules.c.group_id)
            .join(groups, groups.c.id == culling_rules.c.group_id)
        )
        rows = await self._db.rows_for(wanted, lambda keys: of_groups.where(memberships.c.user_id.in_(keys)))
        for row in sorted(rows, key=lambda row: (row.name, row.by_owner)):
            found[UserId(row.member_id)].append(_rules(row, row.name))
        return found

    async def postponements(self, workspace_ids: Iterable[WorkspaceId]) -> list[Postponement]:
        """What was put off in these workspaces."""
        query, table = select(culling_postponements), culling_postponements.c
        rows = await self._db.rows_for(sorted(workspace_ids), lambda keys: query.where(table.workspace_id.in_(keys)))
        return [_postponement(row) for row in rows]

    async def find_postponement(
        self, workspace_id: WorkspaceId, kernel_id: KernelId | None, rule: Rule
    ) -> Postponement | None:
        """The one for this end; in a unit that writes it stays so until the unit ends."""
        query = select(culling_postponements).where(*_key(workspace_id, kernel_id, rule))
        row = await self._db.row(self._db.locking(query))
        return _postponement(row) if row is not None else None

    async def postpone(self, new: Postponement) -> None:
        """Write a postponement in place of the one before."""
        values = {
            "user_id": new.user_id,
            "asked_at": new.asked_at,
            "until": new.until,
            "times": new.times,
            "seconds": new.seconds,
        }
        key = _key(new.workspace_id, new.kernel_id, new.rule)
        if not await self._db.count(update(culling_postponements).where(*key).values(values)):
            await self._db.execute(
                insert(culling_postponements).values(
                    workspace_id=new.workspace_id, kernel_id=new.kernel_id or "", rule=str(new.rule), **values
                ),
                conflict="It was put off at this very moment already.",
            )

    async def forget(self, gone: Iterable[Postponement]) -> None:
        """Forget postponements: the kernel was used again, or is no more."""
        for one in gone:
            await self._db.execute(
                delete(culling_postponements).where(*_key(one.workspace_id, one.kernel_id, one.rule))
            )


def _key(workspace_id: WorkspaceId, kernel_id: KernelId | None, rule: Rule) -> tuple[Any, ...]:
    table = culling_postponements.c
    return table.workspace_id == workspace_id, table.kernel_id == (kernel_id or ""), table.rule == str(rule)


def _rules(row: Any, group_name: str = "") -> StoredRules:
    return StoredRules(
        user_id=UserId(row.user_id) if row.user_id else None,
        group_id=GroupId(row.group_id) if row.group_id else None,
        by_owner=row.by_owner,
        value=dict(row.value),
        changed_at=row.changed_at,
        changed_by=row.changed_by,
        group_name=group_name,
    )


def _postponement(row: Any) -> Postponement:
    return Postponement(
        workspace_id=WorkspaceId(row.workspace_id),
        kernel_id=KernelId(row.kernel_id) if row.kernel_id else None,
        rule=Rule(row.rule),
        user_id=UserId(row.user_id),
        asked_at=row.asked_at,
        until=row.until,
        times=row.times,
        seconds=row.seconds,
    )
