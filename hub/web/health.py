"""Whether the hub lives, whether it can work, and what it measures."""

from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta

from hub import metrics
from hub.domain.kernels import KernelState
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
        now = self.services.clock.now()
        async with self.services.store.reading() as unit:
            metrics.TOTAL_USERS.set(await unit.users.count())
            workspaces, kernels = await unit.counts.workspaces(), await unit.counts.kernels()
            for period, days in metrics.PERIODS.items():
                active = await unit.counts.users_active_since(now - timedelta(days=days))
                metrics.ACTIVE_USERS.labels(period).set(active)
        for state in WorkspaceState:
            metrics.WORKSPACES.labels(state).set(workspaces.get(state, 0))
        for kernel_state in KernelState:
            metrics.KERNELS.labels(kernel_state).set(kernels.get(kernel_state, 0))
        metrics.RUNNING_SERVERS.set(workspaces.get(WorkspaceState.RUNNING, 0))
        disk = await asyncio.to_thread(shutil.disk_usage, self.services.settings.data_dir)
        metrics.DISK_FREE.set(disk.free)
        metrics.DISK_SIZE.set(disk.total)
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(metrics.exposition())
