"""``/hub/api/users/<name>/kernels``: a user's kernels, how each of them is, and what would help."""

from __future__ import annotations

from datetime import datetime

import msgspec

from hub.domain.scopes import Scope
from hub.http.handler import Over
from hub.web.api.base import ApiHandler
from hub.workspaces.kernels import KernelModel


class KernelAnswer(msgspec.Struct, frozen=True):
    """A kernel. `since` is when its state began, None where that is not known; `advised` None: nothing is wrong."""

    id: str
    name: str
    workspace_id: str
    state: str
    since: datetime | None
    words: str
    advised: str | None
    reason: str | None
    executions: int
    connections: int
    started: datetime
    last_activity: datetime


class KernelsHandler(ApiHandler):
    """How the kernels of one user are."""

    permission = Scope.READ_SERVERS
    over = Over.USER

    async def get(self, _name: str) -> None:
        """Answer a list of `KernelAnswer`, the oldest kernel first."""
        self.write_json([shown(model) for model in await self.services.kernels.list(self.user)])


def shown(model: KernelModel) -> KernelAnswer:
    """A kernel as the API shows it."""
    kernel, health = model.kernel, model.health
    return KernelAnswer(
        id=kernel.id,
        name=kernel.spec_name,
        workspace_id=kernel.workspace_id,
        state=health.state if health is not None else kernel.state,
        since=health.since if health is not None else None,
        words=health.words if health is not None else "",
        advised=health.advised if health is not None else None,
        reason=kernel.reason,
        executions=kernel.executions,
        connections=model.connections,
        started=kernel.started_at,
        last_activity=kernel.last_activity_at,
    )
