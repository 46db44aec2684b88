"""``/hub/api/users/<name>/culling``: what will end when, and why."""

from __future__ import annotations

from datetime import datetime

import msgspec

from hub.domain.culling import Decision
from hub.domain.scopes import Scope
from hub.http.handler import Over
from hub.web.api.base import ApiHandler


class CullingAnswer(msgspec.Struct, frozen=True):
    """The last round's decisions about one user's containers and kernels; `decided_at` None: there was none yet."""

    decided_at: datetime | None
    decisions: list[dict[str, str | float | None]]


class CullingHandler(ApiHandler):
    """What will be shut when, and why, for one user."""

    permission = Scope.READ_SERVERS
    over = Over.USER

    async def get(self, _name: str) -> None:
        """Answer a `CullingAnswer`."""
        user = self.user
        workspaces = await self.services.workspaces.list_for(user)
        decided_at, decisions = self.services.culler.decisions_for([workspace.id for workspace in workspaces])
        self.write_json(CullingAnswer(decided_at, [shown(decision) for decision in decisions]))


def shown(decision: Decision) -> dict[str, str | float | None]:
    """A decision as JSON: `due_in_seconds` None when nothing is due."""
    return {
        "action": decision.action,
        "workspace_id": decision.workspace_id,
        "kernel_id": decision.kernel_id,
        "reason": decision.reason,
        "due_in_seconds": decision.due_in.total_seconds() if decision.due_in is not None else None,
    }
