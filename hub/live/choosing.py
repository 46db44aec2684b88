"""Which rows somebody sees: search, filter, order and page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from hub.domain.workspace import WorkspaceState
from hub.live.picture import Place

PAGE_SIZE = 50
MAX_SEARCH_CHARS = 64
_NEVER = datetime.max.replace(tzinfo=UTC)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

_MOVING = frozenset({WorkspaceState.STARTING, WorkspaceState.STOPPING})

SHOWN: dict[str, tuple[str, Callable[[Place], bool]]] = {
    "all": ("Everything", lambda place: True),
    "busy": ("A cell is running", lambda place: place.is_busy),
    "idle": ("Kernels, none of them busy", lambda place: bool(place.kernels) and not place.is_busy),
    "empty": ("No kernel", lambda place: not place.kernels),
    "starting": ("Starting or stopping", lambda place: place.workspace.state in _MOVING),
    "trouble": (
        "Does not answer",
        lambda place: place.is_silent or place.has_trouble or place.workspace.state is WorkspaceState.UNKNOWN,
    ),
}
"""The filters: what they are called, and what they let through."""

ORDERS: dict[str, tuple[str, Callable[[Place], Any], bool]] = {
    "started": ("start", lambda place: place.workspace.started_at or _NEVER, False),
    "owner": ("user", lambda place: place.owner, False),
    "cpu": ("processors", lambda place: place.cpus or 0.0, True),
    "memory": ("memory", lambda place: place.memory_bytes or 0, True),
    "kernels": ("number of kernels", lambda place: len(place.kernels), True),
    "active": ("last activity", lambda place: place.last_activity_at or _LONG_AGO, True),
    "ends": ("what ends next", lambda place: place.ends_at or _NEVER, False),
}
"""The orders: what they are called, their key, and whether the largest comes first."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody asked to see. Unknown words mean the default, so that an old address still shows a page."""

    search: str = ""
    shown: str = "all"
    order: str = "started"
    page: int = 1

    @classmethod
    def of(cls, search: str, shown: str, order: str, page: str) -> Choice:
        """Out of an address's words."""
        return cls(
            search=search.strip().casefold()[:MAX_SEARCH_CHARS],
            shown=shown if shown in SHOWN else "all",
            order=order if order in ORDERS else "started",
            page=int(page) if page.isascii() and page.isdigit() and int(page[:6]) > 0 else 1,
        )

    def query(self, **changes: Any) -> str:
        """The words of the address that shows this choice, with changes; what is default is left out."""
        default = Choice()
        values = {name: changes.get(name, getattr(self, name)) for name in ("search", "shown", "order", "page")}
        said = {name for name, value in values.items() if value != getattr(default, name)}
        if values["search"]:
            said.add("shown")  # an address with a search alone is an old one and leads to people (NowPage)
        return urlencode({name: value for name, value in values.items() if name in said})


@dataclass(frozen=True, slots=True)
class Chosen:
    """A page of places, of `found` that fit; `pages` is at least 1 and `page` one of them."""

    places: tuple[Place, ...]
    found: int
    page: int
    pages: int


def choose(places: Sequence[Place], choice: Choice, size: int = PAGE_SIZE) -> Chosen:
    """The page of places that somebody asked for."""
    fits, (_, key, largest_first) = SHOWN[choice.shown][1], ORDERS[choice.order]
    found = [place for place in places if fits(place) and (not choice.search or _matches(place, choice.search))]
    found.sort(key=lambda place: place.workspace.id)
    found.sort(key=key, reverse=largest_first)
    pages = max(1, -(-len(found) // size))
    page = min(choice.page, pages)
    return Chosen(tuple(found[(page - 1) * size : page * size]), len(found), page, pages)


def _matches(place: Place, search: str) -> bool:
    """Whether user, image, profile or a notebook's name contains it."""
    texts = [place.owner, place.workspace.image, place.workspace.profile]
    texts += [name for seen in place.kernels for name in seen.serves]
    return any(search in text.casefold() for text in texts)
