"""``/hub/api/users/<name>/quota``: what somebody may have, and has."""

from __future__ import annotations

import msgspec

from hub.domain.quota import Disk
from hub.domain.scopes import Scope
from hub.http.handler import Over
from hub.web.api.base import ApiHandler


class QuotaModel(msgspec.Struct, frozen=True):
    """How much one person may have; None: no limit."""

    containers: int | None
    kernels: int | None
    hours_per_week: float | None
    disk_bytes: int | None


class UseModel(msgspec.Struct, frozen=True):
    """How much somebody has.

    `hours`: of the last seven days, counted where they are limited. `disk_bytes` None: not counted yet.
    """

    containers: int
    kernels: int
    hours: float
    disk_bytes: int | None
    disk: Disk


class QuotaAnswer(msgspec.Struct, frozen=True):
    """Both."""

    quota: QuotaModel
    use: UseModel


class QuotaHandler(ApiHandler):
    """What one user may have and has."""

    permission = Scope.READ_SERVERS
    over = Over.USER

    async def get(self, _name: str) -> None:
        """Answer a `QuotaAnswer`."""
        standing = await self.services.quotas.standing(self.user)
        quota, use = standing.quota, standing.use
        self.write_json(
            QuotaAnswer(
                QuotaModel(quota.containers, quota.kernels, quota.hours_per_week, quota.disk_bytes),
                UseModel(use.containers, use.kernels, use.hours, use.disk_bytes, standing.disk),
            )
        )
