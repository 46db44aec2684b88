"""What a list of people shows: the choices in its address, and the people of one page. The address is all it knows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from hub.domain.permissions import Reach
from hub.domain.users import User
from hub.domain.workspace import Workspace, WorkspaceState
from hub.store.directory import Having, Order, Wanted
from hub.store.unit import Unit

PAGE_SIZE = 50
MAX_PAGE = 100_000
SHOWN = {
    "all": "Everybody",
    "running": "With a running container",
    "never": "Never came",
    "disabled": "Disabled",
    "admins": "Administrators",
}
ORDERS = {
    "name": "By name",
    "activity": "Last active first",
    "quiet": "Longest away first",
    "new": "Newest first",
}
_ORDER = {
    "name": (Order.NAME, False),
    "activity": (Order.ACTIVITY, True),
    "quiet": (Order.ACTIVITY, False),
    "new": (Order.ADDED, True),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen; `page` counts from 1."""

    search: str = ""
    group: str = ""
    shown: str = "all"
    order: str = "name"
    page: int = 1

    @classmethod
    def of(cls, search: str, group: str, shown: str, order: str, page: str) -> Choice:
        """The choice that texts from an address stand for; what is no choice is the first one."""
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 8 else 1
        return cls(
            search.strip()[:64],
            group.strip()[:128],
            shown if shown in SHOWN else "all",
            order if order in ORDERS else "name",
            max(1, min(number, MAX_PAGE)),
        )

    def query(self, **changed: str | int) -> str:
        """The choice as a query, with changes; without `page` among them the first page."""
        chosen = replace(self, **{"page": 1, **changed})  # type: ignore[arg-type]
        values = {"search": chosen.search, "group": chosen.group, "shown": chosen.shown, "order": chosen.order}
        usual = {"search": "", "group": "", "shown": "all", "order": "name"}
        kept = {name: value for name, value in values.items() if value != usual[name]}
        return urlencode({**kept, **({"page": chosen.page} if chosen.page > 1 else {})})

    def wanted(self, within: Reach) -> Wanted:
        """What to ask the directory for."""
        return Wanted(
            search=self.search,
            group=self.group or None,
            having=Having.ACTIVE if self.shown == "running" else None,
            disabled=True if self.shown == "disabled" else None,
            role="admin" if self.shown == "admins" else None,
            never_came=self.shown == "never",
            within=within,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One person of a list."""

    user: User
    groups: list[str]
    running: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of people, how many there are altogether, and how many pages."""

    lines: list[Line]
    total: int
    pages: int


async def list_people(unit: Unit, choice: Choice, within: Reach) -> Listing:
    """The people that a choice is about, as far as `within` goes; three queries and a count, however many there are."""
    wanted = choice.wanted(within)
    order, descending = _ORDER[choice.order]
    total = await unit.directory.count(wanted)
    offset = (choice.page - 1) * PAGE_SIZE
    users = await unit.directory.page(wanted, offset, PAGE_SIZE, order, descending=descending)
    ids = [user.id for user in users]
    groups, workspaces = await unit.groups.names_for(ids), await unit.workspaces.list_for_many(ids)
    lines = [Line(user, groups[user.id], _running(workspaces.get(user.id, []))) for user in users]
    return Listing(lines, total, max(1, -(-total // PAGE_SIZE)))


def _running(workspaces: list[Workspace]) -> int:
    return sum(workspace.state is not WorkspaceState.STOPPED for workspace in workspaces)
