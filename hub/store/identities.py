"""Who people are to the providers that sign them in, and which groups those providers put them into."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from hub.domain.ids import GroupId, UserId, new_id
from hub.store.tables import groups, memberships, provider_identities, users
from hub.store.transaction import Transaction

HUB = "hub"
"""The source of groups and memberships that people made, not a provider."""


@dataclass(frozen=True, slots=True)
class ProviderIdentity:
    """A user's identity at a provider: the pair of issuer and subject, which never changes hands."""

    issuer: str
    subject: str
    user_id: UserId
    provider: str
    claims: Mapping[str, Any]
    created_at: datetime
    last_used_at: datetime | None


class Identities:
    """Identities at providers, by issuer and subject only: never by an e-mail address."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def find(self, issuer: str, subject: str) -> ProviderIdentity | None:
        """The identity, or None if nobody has it here."""
        query = select(provider_identities).where(_is(issuer, subject))
        row = await self._db.row(self._db.locking(query))
        return None if row is None else _identity(row)

    async def list(self, user_id: UserId) -> builtins.list[ProviderIdentity]:
        """All of a user's identities, the oldest first."""
        query = select(provider_identities).where(provider_identities.c.user_id == user_id)
        query = query.order_by(provider_identities.c.created_at, provider_identities.c.issuer)
        return [_identity(row) for row in await self._db.rows(query)]

    async def add(self, identity: ProviderIdentity) -> None:
        """Record that an identity is a user's. Raises Conflict if it is somebody's already."""
        await self._db.execute(
            insert(provider_identities).values(
                issuer=identity.issuer,
                subject=identity.subject,
                user_id=identity.user_id,
                provider=identity.provider,
                claims=dict(identity.claims),
                created_at=identity.created_at,
                last_used_at=identity.last_used_at,
            ),
            conflict="This identity is another user's already.",
        )

    async def used(self, issuer: str, subject: str, claims: Mapping[str, Any], at: datetime) -> None:
        """Remember that its owner came by it just now, and what the provider said about them."""
        statement = update(provider_identities).where(_is(issuer, subject))
        await self._db.execute(statement.values(claims=dict(claims), last_used_at=at))

    async def remove(self, user_id: UserId, issuer: str, subject: str) -> bool:
        """Forget an identity of a user. Whether it was theirs."""
        statement = delete(provider_identities).where(_is(issuer, subject), provider_identities.c.user_id == user_id)
        return bool(await self._db.count(statement))

    async def describe(self, user_id: UserId, display_name: str, email: str) -> None:
        """Keep what a provider says a user is called and written to; empty leaves what is there."""
        said = {"display_name": display_name, "email": email}
        values = {name: value for name, value in said.items() if value}
        if values:
            await self._db.execute(update(users).where(users.c.id == user_id).values(**values))

    async def put_into_groups(
        self,
        user_id: UserId,
        source: str,
        wanted: Mapping[str, str],
        at: datetime,
        *,
        leave_others: bool,
        hub_groups: bool = False,
    ) -> builtins.list[str]:
        """Make the user's memberships by `source` those of `wanted` (group's name to role); gives what changed.

        Groups that do not exist are made, kept by `source`. Memberships that people made stay as they are, and
        nobody is put into a group that another provider keeps, nor, without `hub_groups`, into one that the hub's
        people keep. `leave_others`: nothing is taken away.
        """
        changed = []
        for name, role in sorted(wanted.items()):
            group_id = await self._open_group(name, {source, HUB} if hub_groups else {source}, source, at)
            if group_id is not None and await self._put(group_id, user_id, role, source):
                changed.append(f"+{name}")
        if not leave_others:
            changed += [f"-{name}" for name in await self._take_out(user_id, source, set(wanted))]
        return changed

    async def _open_group(self, name: str, open_sources: set[str], source: str, at: datetime) -> GroupId | None:
        row = await self._db.row(self._db.locking(select(groups.c.id, groups.c.source).where(groups.c.name == name)))
        if row is not None:
            return GroupId(row.id) if row.source in open_sources else None
        group_id = GroupId(new_id())
        await self._db.execute(insert(groups).values(id=group_id, name=name, created_at=at, source=source))
        return group_id

    async def _put(self, group_id: GroupId, user_id: UserId, role: str, source: str) -> bool:
        mine = (memberships.c.group_id == group_id, memberships.c.user_id == user_id)
        row = await self._db.row(select(memberships.c.role, memberships.c.source).where(*mine))
        if row is None:
            values = {"group_id": group_id, "user_id": user_id, "role": role, "source": source}
            await self._db.execute(insert(memberships).values(**values))
            return True
        if row.source != source or row.role == role:
            return False
        await self._db.execute(update(memberships).where(*mine).values(role=role))
        return True

    async def _take_out(self, user_id: UserId, source: str, wanted: set[str]) -> builtins.list[str]:
        query = select(groups.c.id, groups.c.name).join(memberships, memberships.c.group_id == groups.c.id)
        query = query.where(memberships.c.user_id == user_id, memberships.c.source == source)
        gone = [row for row in await self._db.rows(query.order_by(groups.c.name)) if row.name not in wanted]
        for row in gone:
            mine = (memberships.c.group_id == row.id, memberships.c.user_id == user_id)
            await self._db.execute(delete(memberships).where(*mine))
        return [row.name for row in gone]


def _is(issuer: str, subject: str) -> Any:
    return (provider_identities.c.issuer == issuer) & (provider_identities.c.subject == subject)


def _identity(row: Row[Any]) -> ProviderIdentity:
    return ProviderIdentity(
        issuer=row.issuer,
        subject=row.subject,
        user_id=UserId(row.user_id),
        provider=row.provider,
        claims=dict(row.claims),
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )
