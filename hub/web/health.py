"""Whether the hub lives, whether it can work, and what it measures."""

from __future__ import annotations

from collections import Counter

from hub import metrics
from hub.domain.workspace import WorkspaceState
from hub.errors import NotFound
from hub.http.handler import INTERNAL_HEADER, Access, HubHandler


class _Anonymous(HubHandler):
    access = Access.PUBLIC
    page = False
    behind_proxy = False

    async def _identify(self) -> None:
        """Health checks carry no credentials."""


class Live(_Anonymous):
    """``/health/live``: the process answers."""

    def get(self) -> None:
        """200 always."""
        self.write_json({"status": "ok"})


class Ready(_Anonymous):
    """``/health/ready``: requests can be answered, which is to say that the database does."""

    async def get(self) -> None:
        """200, or 503 with the reason."""
        await self.services.store.ping()
        self.write_json({"status": "ok"})


class Metrics(_Anonymous):
    """``/metrics`` in Prometheus' format, only directly on the hub's own port."""

    async def get(self) -> None:
        """404 for whatever came through a proxy."""
        if INTERNAL_HEADER in self.request.headers:
            raise NotFound("There is nothing at this address.")
        async with self.services.store.reading() as unit:
            metrics.USERS.set(await unit.users.count())
            states = Counter(workspace.state for workspace in await unit.workspaces.list())
        for state in WorkspaceState:
            metrics.WORKSPACES.labels(state).set(states[state])
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(metrics.exposition())
