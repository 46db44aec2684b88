"""Learning platforms, their courses, links and what teachers chose for links, in the database."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from hub.domain.ids import GroupId, UserId
from hub.domain.lti import (
    Context,
    ContextId,
    Link,
    LinkId,
    Platform,
    PlatformId,
    Target,
    TargetId,
    TargetKind,
    ToolKey,
)
from hub.store.tables import (
    groups,
    lti_contexts,
    lti_keys,
    lti_links,
    lti_platforms,
    lti_targets,
    memberships,
    provider_identities,
)
from hub.store.transaction import Transaction

_TAKEN = "There is a platform with this name, or with this issuer and client id, already."


class Platforms:
    """Platforms and the hub's keys towards them."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, platform: Platform) -> None:
        """Record a platform. Raises Conflict if its name, or its issuer with its client id, is taken."""
        await self._db.execute(insert(lti_platforms).values(**_values(platform)), conflict=_TAKEN)

    async def save(self, platform: Platform) -> None:
        """Write a platform as it is now. Raises Conflict as `add`."""
        statement = update(lti_platforms).where(lti_platforms.c.id == platform.id)
        await self._db.execute(statement.values(**_values(platform)), conflict=_TAKEN)

    async def find(self, platform_id: str) -> Platform | None:
        """The platform, or None."""
        query = select(lti_platforms).where(lti_platforms.c.id == platform_id)
        return _optional_platform(await self._db.row(self._db.locking(query)))

    async def find_by_name(self, name: str) -> Platform | None:
        """The platform of this name, or None."""
        return _optional_platform(await self._db.row(select(lti_platforms).where(lti_platforms.c.name == name)))

    async def list(self, issuer: str | None = None) -> builtins.list[Platform]:
        """All platforms, or those of an issuer, in order of their names."""
        query = select(lti_platforms).order_by(lti_platforms.c.name)
        query = query if issuer is None else query.where(lti_platforms.c.issuer == issuer)
        return [_platform(row) for row in await self._db.rows(query)]

    async def delete(self, platform_id: PlatformId) -> bool:
        """Delete a platform with its courses, links and scores; people and groups stay. Whether there was one."""
        return bool(await self._db.count(delete(lti_platforms).where(lti_platforms.c.id == platform_id)))

    async def keep_keys(self, platform_id: PlatformId, keys: Mapping[str, Any], at: datetime) -> None:
        """Remember the key set that a platform gave."""
        statement = update(lti_platforms).where(lti_platforms.c.id == platform_id)
        await self._db.execute(statement.values(keys=dict(keys), keys_at=at))

    async def add_key(self, key: ToolKey) -> None:
        """Record a key of the hub's own."""
        await self._db.execute(insert(lti_keys).values(**{**asdict(key), "public": dict(key.public)}))

    async def keys(self) -> builtins.list[ToolKey]:
        """The hub's own keys, the newest first."""
        rows = await self._db.rows(select(lti_keys).order_by(lti_keys.c.created_at.desc(), lti_keys.c.id))
        return [ToolKey(row.id, dict(row.public), row.private, row.created_at, row.retired_at) for row in rows]

    async def retire_keys(self, except_id: str, at: datetime) -> None:
        """Let all keys but one sign no more."""
        mine = (lti_keys.c.id != except_id, lti_keys.c.retired_at.is_(None))
        await self._db.execute(update(lti_keys).where(*mine).values(retired_at=at))

    async def prune_keys(self, before: datetime) -> int:
        """Forget keys that were retired before this time. How many."""
        return await self._db.count(delete(lti_keys).where(lti_keys.c.retired_at < before))


class Courses:
    """Courses of platforms, the links in them, and what teachers chose for links."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    async def add(self, context: Context) -> None:
        """Record a course. Raises Conflict if it is known."""
        await self._db.execute(insert(lti_contexts).values(**_values(context)))

    async def save(self, context: Context) -> None:
        """Write a course as it is now."""
        await self._db.execute(update(lti_contexts).where(lti_contexts.c.id == context.id).values(**_values(context)))

    async def find(self, context_id: str) -> Context | None:
        """The course, or None."""
        query = select(lti_contexts).where(lti_contexts.c.id == context_id)
        return _optional_context(await self._db.row(self._db.locking(query)))

    async def find_by_context(self, platform_id: PlatformId, deployment: str, context: str) -> Context | None:
        """The course by the platform's own words for it, or None."""
        query = select(lti_contexts).where(
            lti_contexts.c.platform_id == platform_id,
            lti_contexts.c.deployment == deployment,
            lti_contexts.c.context == context,
        )
        return _optional_context(await self._db.row(self._db.locking(query)))

    async def list(self, platform_id: PlatformId | None = None) -> builtins.list[Context]:
        """The courses of a platform, or all, in order of their titles."""
        query = select(lti_contexts).order_by(lti_contexts.c.title, lti_contexts.c.id)
        query = query if platform_id is None else query.where(lti_contexts.c.platform_id == platform_id)
        return [_context(row) for row in await self._db.rows(query)]

    async def group_names(self, context_ids: builtins.list[ContextId]) -> dict[str, str]:
        """The names of the groups that courses are, by the courses' ids."""
        rows = await self._db.rows_for(
            context_ids,
            lambda keys: (
                select(lti_contexts.c.id, groups.c.name)
                .join(groups, groups.c.id == lti_contexts.c.group_id)
                .where(lti_contexts.c.id.in_(keys))
            ),
        )
        return {row.id: row.name for row in rows}

    async def group_name(self, group_id: GroupId | None) -> str | None:
        """What a group is called now, None if it is gone."""
        row = await self._db.row(select(groups.c.name).where(groups.c.id == group_id))
        return None if row is None else row.name

    async def make_group(self, group_id: GroupId, name: str, title: str, source: str, at: datetime) -> bool:
        """Make a group that `source` keeps, if its name is free; else False."""
        if await self._db.row(select(groups.c.id).where(groups.c.name == name)) is not None:
            return False
        values = {"id": group_id, "name": name, "display_name": title, "created_at": at, "source": source}
        await self._db.execute(insert(groups).values(**values))
        return True

    async def roster(self, group_id: GroupId, source: str, issuer: str) -> dict[str, tuple[UserId, str]]:
        """Who is in a group by `source`: subject at `issuer` to user and role."""
        query = (
            select(provider_identities.c.subject, memberships.c.user_id, memberships.c.role)
            .join(provider_identities, provider_identities.c.user_id == memberships.c.user_id)
            .where(
                memberships.c.group_id == group_id,
                memberships.c.source == source,
                provider_identities.c.issuer == issuer,
            )
        )
        return {row.subject: (UserId(row.user_id), row.role) for row in await self._db.rows(query)}

    async def remove_member(self, group_id: GroupId, user_id: UserId, source: str) -> bool:
        """Take somebody out of a group whom `source` put there. Whether they were."""
        mine = (memberships.c.group_id == group_id, memberships.c.user_id == user_id, memberships.c.source == source)
        return bool(await self._db.count(delete(memberships).where(*mine)))

    async def set_member_role(self, group_id: GroupId, user_id: UserId, source: str, role: str) -> None:
        """Change the role of somebody whom `source` put into a group."""
        mine = (memberships.c.group_id == group_id, memberships.c.user_id == user_id, memberships.c.source == source)
        await self._db.execute(update(memberships).where(*mine).values(role=role))

    async def add_member(self, group_id: GroupId, user_id: UserId, source: str, role: str) -> bool:
        """Put somebody into a group; False when they are in it already, by whomever."""
        known = (memberships.c.group_id == group_id, memberships.c.user_id == user_id)
        if await self._db.row(select(memberships.c.user_id).where(*known)) is not None:
            return False
        values = {"group_id": group_id, "user_id": user_id, "source": source, "role": role}
        await self._db.execute(insert(memberships).values(**values))
        return True

    async def save_link(self, link: Link) -> Link:
        """Record a link, or what a launch newly said of it; gives it with the id that it has."""
        query = select(lti_links).where(lti_links.c.context_id == link.context_id, lti_links.c.link == link.link)
        row = await self._db.row(self._db.locking(query))
        if row is None:
            await self._db.execute(insert(lti_links).values(**_values(link)))
            return link
        values = {"title": link.title, "place": link.place, "line_item_url": link.line_item_url or row.line_item_url}
        await self._db.execute(update(lti_links).where(lti_links.c.id == row.id).values(**values))
        return _link(row)

    async def find_link(self, link_id: str) -> Link | None:
        """The link, or None."""
        row = await self._db.row(select(lti_links).where(lti_links.c.id == link_id))
        return None if row is None else _link(row)

    async def keep_line_item(self, link_id: LinkId, line_item_url: str) -> None:
        """Remember the line item that a link has by now."""
        await self._db.execute(update(lti_links).where(lti_links.c.id == link_id).values(line_item_url=line_item_url))

    async def links(self, context_id: ContextId) -> builtins.list[Link]:
        """The links of a course, in order of their titles."""
        query = select(lti_links).where(lti_links.c.context_id == context_id)
        return [_link(row) for row in await self._db.rows(query.order_by(lti_links.c.title, lti_links.c.id))]

    async def add_target(self, target: Target) -> None:
        """Record what a teacher chose."""
        await self._db.execute(insert(lti_targets).values(**_values(target)))

    async def find_target(self, platform_id: PlatformId, target_id: str) -> Target | None:
        """What a teacher on this platform chose, or None."""
        query = select(lti_targets).where(lti_targets.c.id == target_id, lti_targets.c.platform_id == platform_id)
        row = await self._db.row(query)
        if row is None:
            return None
        kind = TargetKind(row.kind)
        ids = (TargetId(row.id), PlatformId(row.platform_id), UserId(row.user_id))
        return Target(*ids, kind, row.path, row.title, row.created_at)

    async def counts(self) -> dict[str, int]:
        """How many courses each platform has."""
        query = select(lti_contexts.c.platform_id, func.count().label("courses")).group_by(lti_contexts.c.platform_id)
        return {row.platform_id: row.courses for row in await self._db.rows(query)}


def _values(value: Platform | Context | Link | Target) -> dict[str, Any]:
    """A value's fields as columns; JSON columns hold lists and dictionaries."""
    found = {name: list(field) if isinstance(field, tuple) else field for name, field in asdict(value).items()}
    if isinstance(value, Target):
        found["kind"] = value.kind.value
    return found


def _optional_platform(row: Row[Any] | None) -> Platform | None:
    return None if row is None else _platform(row)


def _platform(row: Row[Any]) -> Platform:
    values = dict(row._mapping)
    lists = {name: tuple(values[name]) for name in ("deployments", "waiting", "frame_origins")}
    return Platform(**{**values, **lists})


def _optional_context(row: Row[Any] | None) -> Context | None:
    return None if row is None else _context(row)


def _context(row: Row[Any]) -> Context:
    values = dict(row._mapping)
    return Context(**{**values, "scopes": tuple(values["scopes"])})


def _link(row: Row[Any]) -> Link:
    return Link(**row._mapping)
