"""Quotas and limits: what one person may have, what of it they have, and what is refused. Pure.

What the hub says is for everybody; a group may say otherwise for its members, and who is in several groups gets the
most of what any of them gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from hub.domain.workspace import Limits

WEEK = timedelta(days=7)
"""Hours are counted in the seven days before now, so that nobody gains by waiting for a Monday."""
NEARLY = 0.9
"""From this part of a quota on people are warned."""
SAVING_SLACK = 1.1
"""Files that are there are saved up to so many quotas: what somebody has just written must not be lost."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much one person may have; None: as much as they like. `hours_per_week` are hours of all their containers."""

    containers: int | None = None
    kernels: int | None = None
    hours_per_week: float | None = None
    disk_bytes: int | None = None

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is limited at all."""
        return self == Quota()


@dataclass(frozen=True, slots=True)
class Use:
    """How much somebody has now; `disk_bytes` None: it was not counted yet."""

    containers: int = 0
    kernels: int = 0
    hours: float = 0.0
    disk_bytes: int | None = None


class Disk(StrEnum):
    """How full a home is."""

    FINE = "fine"
    NEARLY_FULL = "nearly full"
    FULL = "full"


def quota_of(default: Quota, groups: Iterable[Mapping[str, Any]]) -> Quota:
    """The quota of somebody in groups with these properties (`hub.domain.groups.check_properties`)."""
    said = [properties.get("quotas", {}) for properties in groups]
    names = ("containers", "kernels", "hours_per_week", "disk_bytes")
    return Quota(**{name: _most(said, name, getattr(default, name)) for name in names})


def limits_of(profile: Limits, groups: Iterable[Mapping[str, Any]]) -> Limits:
    """The limits of a container of somebody in groups with these properties."""
    said = [properties.get("limits", {}) for properties in groups]
    return Limits(
        memory_bytes=_most(said, "memory_bytes", profile.memory_bytes),
        cpus=_most(said, "cpus", profile.cpus),
        pids=_most(said, "pids", profile.pids),
    )


def refuse_container(quota: Quota, use: Use) -> str | None:
    """Why one more container may not start, as a sentence; None if it may. `use` is without it."""
    if quota.containers is not None and use.containers >= quota.containers:
        return f"You may have {_number(quota.containers, 'container')} at once; stop one first."
    if quota.hours_per_week is not None and use.hours >= quota.hours_per_week:
        return (
            f"Your {quota.hours_per_week:g} hours of containers in seven days are used up. Files and notebooks can be "
            "opened still; hours come back as old ones are seven days past."
        )
    return None


def refuse_kernel(quota: Quota, use: Use) -> str | None:
    """Why one more kernel may not start, as a sentence; None if it may."""
    if quota.kernels is not None and use.kernels >= quota.kernels:
        return f"You may have {_number(quota.kernels, 'kernel')} at once; shut one down first."
    return None


def disk_state(quota: Quota, disk_bytes: int | None, slack: float = 1.0) -> Disk:
    """How full a home is; one that was not counted is fine. `slack`: so many quotas are not full yet."""
    if quota.disk_bytes is None or disk_bytes is None:
        return Disk.FINE
    if disk_bytes >= slack * quota.disk_bytes:
        return Disk.FULL
    return Disk.NEARLY_FULL if disk_bytes >= NEARLY * quota.disk_bytes else Disk.FINE


def _most(said: Iterable[Mapping[str, Any]], name: str, default: Any) -> Any:
    given = [values[name] for values in said if isinstance(values.get(name), int | float)]
    return max(given) if given else default


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
