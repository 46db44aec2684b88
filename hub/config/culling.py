"""When idle things end."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, field_validator

from hub.config.values import Section, Span


class Culling(Section):
    """When idle things end. An empty string or 0 means never."""

    kernel_idle: Span | None = Field(timedelta(hours=4), description="Idle time after which a kernel is shut.")
    workspace_empty: Span | None = Field(
        timedelta(minutes=15), description="Time without kernels after which a container is stopped."
    )
    cull_connected: bool = Field(True, description="Whether an open but idle tab does not keep a kernel alive.")
    interval: Span = Field(timedelta(seconds=15), ge=timedelta(seconds=0.1), description="How often the hub looks.")

    @field_validator("kernel_idle", "workspace_empty", mode="before")
    @classmethod
    def _never(cls, value: object) -> object:
        return None if value in ("", 0, "0") else value
