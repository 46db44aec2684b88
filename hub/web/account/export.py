"""``/hub/home/export``: everything that the hub knows of somebody, for themselves, as one JSON file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from hub.domain.audit import AuditEvent
from hub.domain.users import User
from hub.http.handler import JSON_TYPE
from hub.store.unit import Unit
from hub.web.page import PageHandler

MAX_ROWS = 10_000
"""Most lines of each kind; the newest."""


class ExportMine(PageHandler):
    """``/hub/home/export``. The files themselves are an archive of their own (``directories/``)."""

    async def get(self) -> None:
        """The file. Secrets are in none of it: the hub does not have them."""
        user = self.identity.user
        async with self.services.store.reading() as unit:
            known = await gather(unit, user)
        said = {"exported_at": self.services.clock.now(), "hub": self.absolute("/"), **known}
        await self.audit_export()
        self.set_header("Content-Type", JSON_TYPE)
        self.set_header("Content-Disposition", f'attachment; filename="kernelhub-{user.name}.json"')
        self.finish(msgspec.json.format(msgspec.json.encode(said)))

    async def audit_export(self) -> None:
        """Who copied what the hub knows of somebody is worth a line."""
        user = self.identity.user
        async with self.services.store.unit() as unit:
            await unit.audit.add(AuditEvent(self.services.clock.now(), "user.exported", user.id, user.id, self.address))


async def gather(unit: Unit, user: User) -> dict[str, Any]:
    """What the database holds of a user, by kind."""
    memberships = await unit.groups.memberships_for(user.id)
    return {
        "account": {
            "name": user.name,
            "id": user.id,
            "role": user.role,
            "display_name": user.display_name,
            "email": user.email,
            "created_at": user.created_at,
            "last_activity_at": user.last_activity_at,
        },
        "groups": [{"name": one.group.name, "role": one.role, "put_there_by": one.source} for one in memberships],
        "identities": [_shown(one, "claims", "user_id") for one in await unit.identities.list(user.id)],
        "second_factors": [
            {"kind": one.kind, "name": one.name, "created_at": one.created_at, "last_used_at": one.last_used_at}
            for one in await unit.second_factors.list(user.id)
        ],
        "sign_ins": [
            {
                "created_at": one.created_at,
                "last_seen_at": one.last_seen_at,
                "address": one.address,
                "browser": one.user_agent,
                "ended_at": one.revoked_at,
            }
            for one in await unit.sign_ins.list(user.id)
        ],
        "tokens": [
            {
                "name": one.name,
                "scopes": one.scopes,
                "created_at": one.created_at,
                "expires_at": one.expires_at,
                "last_used_at": one.last_used_at,
            }
            for one in await unit.tokens.list(user.id)
        ],
        "containers": [_shown(one, "user_id") for one in await unit.lives.list_for(user.id, limit=MAX_ROWS)],
        "messages": [_shown(one, "user_id") for one in await unit.messages.list_for(user.id, MAX_ROWS)],
        "views_of_files": [_shown(one, "user_id") for one in await unit.views.list_for(user.id, MAX_ROWS)],
        "events": [_event(event, user) for event in await unit.audit.list(limit=MAX_ROWS, subject=user.id)],
    }


def _shown(value: object, *left_out: str) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(value, builtin_types=(datetime,))
    return {name: said for name, said in fields.items() if name not in left_out}


def _event(event: AuditEvent, user: User) -> dict[str, Any]:
    """An event; where somebody else acted, their address is none of the user's business."""
    own = {"from": event.address} if event.actor == user.id else {}
    return {"at": event.at, "action": event.action, "by": event.actor, **own, "details": dict(event.details)}
