"""Half-hour lines as JSON, for the larger picture that a page draws."""

from __future__ import annotations

from typing import Any

from hub.errors import NotFound
from hub.live.lines import GRAIN_SECONDS, Line
from hub.live.picture import Place


def lines_of_place(place: Place | None) -> dict[str, Any]:
    """The lines of a container. Raises NotFound where it does not run or was not looked at yet."""
    if place is None or place.use is None:
        raise NotFound("This container is not running, or has just started.")
    limits = place.workspace.limits
    return lines_of(place.use.cpu, place.use.memory, limits.cpus, place.memory_limit_bytes)


def lines_of(
    cpu: Line, memory: Line, cpu_top: float | None, memory_top: int | None, share: bool = False
) -> dict[str, Any]:
    """Two lines as JSON. `share`: the processor's figures are parts of 1, not processors."""
    return {
        "grain": GRAIN_SECONDS,
        "cpu": cpu.values(),
        "memory": memory.values(),
        "cpu_limit": cpu_top,
        "memory_limit": memory_top,
        "cpu_is_share": share,
    }
