"""What one person may have, where no group of theirs says otherwise."""

from __future__ import annotations

from pydantic import Field

from hub.config.values import Section


class DefaultLimits(Section):
    """Limits for people without others. None: no limit."""

    containers: int | None = Field(None, ge=1, le=1000, description="Containers at once.")
    kernels: int | None = Field(None, ge=1, le=1000, description="Kernels at once.")
    hours_per_week: float | None = Field(None, gt=0, le=10_000, description="Hours of containers in seven days.")
    disk_bytes: int | None = Field(None, ge=1024**2, description="Size of the home.")
