"""``/hub/admin``: what is going on now, and the stream that keeps the page so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from hub.domain.ids import UserId
from hub.domain.permissions import Reach
from hub.domain.scopes import Scope
from hub.http.permitted import Over
from hub.live.choosing import ORDERS, SHOWN, Choice, Chosen, choose
from hub.live.picture import Picture, Place
from hub.web.admin.page import AdminPage
from hub.web.lines import lines_of, lines_of_place
from hub.web.live_stream import LiveStream, Parts
from hub.web.page import page_token
from hub.web.rendering import macros
from hub.workspaces.connections import FORGET_AFTER_SECONDS
from hub.workspaces.progress import Phase
from hub.workspaces.rounds import Summary

ACTIONS = (Scope.DELETE_SERVERS, Scope.MESSAGE_USERS, Scope.VIEW_USERS)
TILES = ("people", "containers", "kernels", "cpu", "memory", "waiting")
COLUMNS = (
    ("owner", "User", "owner"),
    ("state", "State", "started"),
    ("kernels", "Kernels", "kernels"),
    ("cpu", "Processors", "cpu"),
    ("memory", "Memory", "memory"),
    ("active", "Last active", "active"),
    ("fate", "What comes next", "ends"),
    ("actions", "Actions", ""),
)
"""Cells of a row: name, heading, and the order that a click on the heading asks for."""
MAX_STARTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class ProxySeen:
    """A proxy as it last reported; `silent` says in words how long ago that was."""

    name: str
    connections: int
    fresh: bool
    silent: str


@dataclass(frozen=True, slots=True)
class StartSeen:
    """A start under way."""

    owner: str
    profile: str
    phase: str
    words: str


class NowBase(AdminPage):
    """What the page and its stream share."""

    active = "now"
    permission = Scope.LIST_USERS  # which nobody has for being a user, so that this is for people in charge
    over = Over.SOME
    _members: frozenset[UserId] | None = None

    @property
    def choice(self) -> Choice:
        """What the address asks for."""
        ask = self.get_query_argument
        return Choice.of(ask("search", ""), ask("shown", ""), ask("order", ""), ask("page", "1"))

    async def now_parts(self) -> tuple[Parts, Chosen]:
        """The page's changing parts as they are now."""
        services, choice = self.services, self.choice
        picture = await self._within(await services.live.picture())
        chosen = choose(picture.places, choice)
        several = len({place.workspace.profile for place in picture.places}) > 1
        shared = await self._shared_parts(picture)
        template = macros("_now.html")
        shared["found"] = template.found(chosen, len(picture.places), choice)
        shared["pages"] = template.pages(chosen, choice)
        rows = {str(place.workspace.id): self._cells(template, place, picture, several) for place in chosen.places}
        return Parts(shared, rows), chosen

    async def _within(self, picture: Picture) -> Picture:
        """Only what this person may see: everything, or the containers of users and groups within reach."""
        reach = self.identity.reach(Scope.READ_SERVERS)
        if reach.everything:
            return picture
        allowed = await self._those_within(reach, {place.workspace.user_id for place in picture.places})
        places = tuple(place for place in picture.places if place.workspace.user_id in allowed)
        return Picture(picture.at, places)

    async def _those_within(self, reach: Reach, people: set[UserId]) -> frozenset[UserId]:
        """Which of these people, and of those whose containers start, are within reach."""
        starting = {key.user_id for key, _ in self.services.live.starts()}
        async with self.services.store.reading() as unit:
            members = await unit.groups.members_among(people | starting, reach.groups)
        self._members = frozenset((members | reach.users) - {self.identity.user.id})
        return self._members

    def _cells(self, template: Any, place: Place, picture: Picture, several: bool) -> dict[str, str]:
        user_id, token = place.workspace.user_id, page_token(self, self.identity)
        stop, message, view = (self._may(scope, user_id) for scope in ACTIONS)
        address = f"/hub/admin/users/{quote(place.owner, safe='@+')}"
        return {
            "owner": template.owner(place, several),
            "state": template.state(place, picture.at),
            "kernels": template.kernels(place, token, address, stop, picture.at),
            "cpu": template.cpu(place),
            "memory": template.memory(place),
            "active": template.active(place, picture.at),
            "fate": template.fate(place),
            "actions": template.actions(place, token, stop, message, view),
        }

    def _may(self, scope: Scope, user_id: UserId) -> bool:
        """Whether a button is worth showing; the action itself asks exactly."""
        reach = self.identity.reach(scope)
        return reach.has_user(user_id) or (bool(reach.groups) and self._members is not None)

    async def _shared_parts(self, picture: Picture) -> dict[str, str]:
        live, template, counts = self.services.live, macros("_now.html"), picture.counts()
        house, starts = live.house, await self._starts(picture)
        waiting = sum(start.phase == Phase.QUEUED for start in starts)
        shown = {
            "containers": template.tile_containers(house, counts),
            "kernels": template.tile_kernels(house, counts),
            "waiting": template.tile_queue(waiting, len(starts) - waiting),
            "queue": template.queue(starts[:MAX_STARTS_SHOWN]),
        }
        if self.identity.may(Scope.READ_HUB):
            shown["people"] = template.tile_people(house)
            shown["cpu"] = template.tile_cpu(house)
            shown["memory"] = template.tile_memory(house)
            shown["health"] = template.health(house, counts, self._proxies(), self._order())
        return shown

    def _order(self) -> Summary | None:
        """What the comparisons of database, engine and folders found."""
        rounds = self.services.rounds
        return None if rounds is None else rounds.summary(self.services.clock.now())

    def _proxies(self) -> list[ProxySeen]:
        found = self.services.live.connections.proxies()
        return [
            ProxySeen(name[:12], count, age <= FORGET_AFTER_SECONDS, _age(age))
            for name, (count, age) in sorted(found.items())
        ]

    async def _starts(self, picture: Picture) -> list[StartSeen]:
        """Starts under way, the next one first; of users whom no picture knows yet, the names are looked up."""
        under_way = self.services.live.starts()
        if not self.identity.reach(Scope.READ_SERVERS).everything:
            under_way = [each for each in under_way if self._members and each[0].user_id in self._members]
        names: dict[UserId, str] = {place.workspace.user_id: place.owner for place in picture.places}
        missing = [key.user_id for key, _ in under_way[:MAX_STARTS_SHOWN] if key.user_id not in names]
        if missing:
            async with self.services.store.reading() as unit:
                for user_id in set(missing):
                    user = await unit.users.find(user_id)
                    names[user_id] = user.name if user is not None else "a deleted user"
        return [
            StartSeen(
                names.get(key.user_id, "somebody"), key.profile, step.phase, _start_words(step.phase, step.position)
            )
            for key, step in under_way
        ]


class NowPage(NowBase):
    """``/hub/admin``: people, containers, kernels, machine; with actions on each."""

    async def get(self) -> None:
        """Show it. Addresses of the time when people were listed here lead to them."""
        asked = self.request.arguments.keys()
        if "offset" in asked or ("search" in asked and "shown" not in asked):
            self.redirect("/hub/admin/people?" + urlencode({"search": self.choice.search}))
            return
        parts, _ = await self.now_parts()
        self.show(
            "now.html",
            live=parts,
            choice=self.choice,
            tiles=[name for name in TILES if name in parts.parts],
            columns=COLUMNS,
            descending={key for key, (_, _, largest_first) in ORDERS.items() if largest_first},
            filters=[(key, label) for key, (label, _) in SHOWN.items()],
            orders=[(key, label) for key, (label, _, _) in ORDERS.items()],
            done=self.done(),
            problem="",
        )


class NowEvents(NowBase, LiveStream):
    """``/hub/admin/now/events``: what changes on the page, as server-sent events."""

    page = False

    async def parts(self) -> Parts:
        """See LiveStream."""
        return (await self.now_parts())[0]


class NowLines(NowBase):
    """``/hub/admin/now/lines/<workspace>``: half an hour of figures for a larger picture, ``machine`` for the hub's."""

    page = False

    async def get(self, workspace_id: str) -> None:
        """Figures, the oldest first, `grain` seconds apart; null where nothing is known."""
        live = self.services.live
        if workspace_id == "machine":
            await self.require(Scope.READ_HUB)
            machine = live.house.machine
            top = machine.memory_bytes if machine is not None else None
            self.write_json(lines_of(live.house.cpu, live.house.memory, 1.0, top, share=True))
            return
        picture = await self._within(await live.picture())
        place = next((each for each in picture.places if each.workspace.id == workspace_id), None)
        self.write_json(lines_of_place(place))


def _age(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


_PHASES = {
    Phase.REQUESTED: "asked for",
    Phase.CREATING: "being created",
    Phase.GREETING: "its first answer is awaited",
    Phase.ANSWERED: "answers",
}


def _start_words(phase: Phase, position: int) -> str:
    if phase is Phase.QUEUED:
        return "next" if position == 0 else f"{position} ahead"
    return _PHASES.get(phase, phase.value)
