"""When idle things end: what holds for everybody, and what profiles, groups and users may say otherwise."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, field_validator, model_validator

from hub.config.values import Section, Span
from hub.domain.culling_policy import MAX_QUIET_SPANS, QuietSpan, read_quiet

NEVER = "never"


def _read_rule(value: object) -> object:
    """An empty text says nothing; ``never`` and 0 say never."""
    if value == "":
        return None
    return NEVER if value in (0, "0") else value


SpanOrNever = Annotated[Span | Literal["never"] | None, BeforeValidator(_read_rule)]
"""A span, ``never``, or None for what holds otherwise."""


class QuietHours(Section):
    """Times of the week at which nothing is ended."""

    quiet_hours: list[str] = Field(
        [],
        max_length=MAX_QUIET_SPANS,
        description="Times of the week at which nothing is ended: `mon-fri 08:00-18:00`, `daily 22:00-06:00`.",
    )
    time_zone: str = Field("UTC", description="Time zone of the quiet hours, such as `Europe/Berlin`.")

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
            raise ValueError(f"{value[:60]!r} is no time zone; write one such as Europe/Berlin") from error
        return value

    @field_validator("quiet_hours")
    @classmethod
    def _readable(cls, value: list[str]) -> list[str]:
        for text in value:
            read_quiet(text)
        return value

    @property
    def quiet(self) -> tuple[QuietSpan, ...]:
        """The quiet hours, read."""
        return tuple(read_quiet(text, self.time_zone) for text in self.quiet_hours)


class Culling(QuietHours):
    """When idle things end. An empty string or 0 means never."""

    kernel_idle: Span | None = Field(timedelta(hours=4), description="Idle time after which a kernel is shut.")
    workspace_empty: Span | None = Field(
        timedelta(minutes=15), description="Time without kernels after which a container is stopped."
    )
    max_age: Span | None = Field(
        None, description="Age from which on a container is stopped at its first rest; a running cell is waited for."
    )
    kernel_stuck: Span | None = Field(
        timedelta(hours=24),
        description="Time after which a kernel that is stuck (answers nothing, computes nothing) ends.",
    )
    pause_after: Span | None = Field(
        None, description="Idle time after which a container is paused, where the spawner can; nothing is lost by it."
    )
    cull_connected: bool = Field(True, description="Whether an open but idle tab does not keep a kernel alive.")
    busy_cpu: float | None = Field(
        0.05, ge=0, le=1024, description="Processors above which a kernel is in use though no cell runs; 0: never."
    )
    warning: Span = Field(
        timedelta(minutes=10), description="How long before an end its user is warned, at most half of the limit."
    )
    postpone: Span = Field(timedelta(hours=1), description="By how long users put an end off that they are warned of.")
    postpone_times: int = Field(3, ge=0, le=1000, description="How often they can, until the kernel is used again.")
    postpone_total: Span = Field(timedelta(hours=8), description="By how long they can altogether.")
    interval: Span = Field(timedelta(seconds=15), ge=timedelta(seconds=0.1), description="How often the hub looks.")

    @field_validator("kernel_idle", "workspace_empty", "max_age", "kernel_stuck", "pause_after", mode="before")
    @classmethod
    def _never(cls, value: object) -> object:
        return None if value in ("", 0, "0", NEVER) else value

    @field_validator("busy_cpu", mode="before")
    @classmethod
    def _no_cpu(cls, value: object) -> object:
        return None if value in ("", 0, "0", NEVER) else value


class OwnerRules(Section):
    """What a group's owner says of when members' idle things end; empty: what holds otherwise."""

    kernel_idle: SpanOrNever = Field(None, description="As in `[culling]`, or `never`; empty: what holds otherwise.")
    workspace_empty: SpanOrNever = Field(None, description="As in `[culling]`.")


class CullingRules(OwnerRules):
    """What a profile, a group or a user has otherwise than everybody; empty: what holds otherwise."""

    max_age: SpanOrNever = Field(None, description="As in `[culling]`.")
    kernel_stuck: SpanOrNever = Field(None, description="As in `[culling]`.")
    pause_after: SpanOrNever = Field(None, description="As in `[culling]`.")
    cull_connected: bool | None = Field(None, description="As in `[culling]`.")
    busy_cpu: float | None = Field(
        None, ge=0, le=1024, description="As in `[culling]`; 0: background use never counts."
    )
    quiet_hours: list[str] | None = Field(None, description="As in `[culling]`; an empty list: none.")
    time_zone: str = Field("UTC", description="Time zone of the quiet hours.")

    @model_validator(mode="after")
    def _quiet(self) -> CullingRules:
        QuietHours(quiet_hours=self.quiet_hours or [], time_zone=self.time_zone)
        return self


class GroupRules(CullingRules):
    """What administrators say of a group's members."""

    owners_up_to: SpanOrNever = Field(
        None, description="Up to which span the group's owners may lengthen; empty: they may only shorten."
    )
