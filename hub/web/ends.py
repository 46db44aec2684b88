"""When kernels and containers end by themselves, in words: for the pages, and for notices wherever their user is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from hub.cull.postponing import Leave
from hub.domain.culling import NOTHING, Action, Decision, Rule, in_words, still_true
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import Kernel
from hub.domain.users import User
from hub.errors import StoreUnavailable
from hub.http.services import Services

MAX_NAME_CHARS = 100
Thing = KernelId | WorkspaceId


@dataclass(frozen=True, slots=True)
class End:
    """What becomes of a kernel or a container: a sentence, when, and what may be done about it.

    `title` names it. `at` None: nothing is due. `keep`: what the button says, empty where there is none; `no_more` says
    why nothing can be put off any more. `loses`: whether anything is lost.
    """

    workspace_id: WorkspaceId
    kernel_id: KernelId | None
    title: str
    sentence: str
    at: datetime | None
    is_warned: bool
    keep: str
    no_more: str
    loses: bool

    @property
    def key(self) -> str:
        """Its place in a page."""
        return self.kernel_id or self.workspace_id

    @property
    def clock(self) -> str:
        """When, as a clock shows it."""
        return f"{self.at:%H:%M} UTC" if self.at is not None else ""

    def when(self, now: datetime) -> str:
        """When it ends, from now on, in words."""
        if self.at is None:
            return "stays"
        left = self.at - now
        return f"ends in {in_words(left)}" if left > NOTHING else "ends at any moment"

    @property
    def notice(self) -> str:
        """What its user is told when it is near; it says the same until something changes."""
        lost = "Variables in memory are lost then; files stay." if self.loses else "Nothing is lost by it."
        return f"{self.title} ends at {self.clock}: {self.sentence}. {lost} {self.no_more}".rstrip()


def ends_of(
    services: Services,
    workspace_ids: list[WorkspaceId],
    names: Mapping[KernelId, str],
    kernels: Iterable[Kernel],
) -> dict[Thing, End]:
    """Of each kernel and container that the culler looked at, by its id. `names`: what kernels are shown as.

    `kernels`: those that there are now, of which the culler may not have seen the newest yet.
    """
    decided_at, decisions = services.culler.decisions_for(workspace_ids)
    if decided_at is None:
        return {}
    found: dict[Thing, End] = {}
    for one in still_true(decisions, kernels):
        found[one.kernel_id or one.workspace_id] = _end(one, decided_at, names, services.postponing.leave(one))
    return found


async def warned_of(services: Services, user: User) -> tuple[End, ...]:
    """What the user is to be told now, the nearest end first. Costs nothing when there is nothing."""
    workspace_ids = services.culler.warned(user.id)
    if not workspace_ids:
        return ()
    try:
        async with services.store.reading() as unit:
            sessions = await unit.sessions.list_for(user.id)
            kernels = await unit.kernels.list_for(user.id)
    except StoreUnavailable:
        sessions, kernels = [], []
    names = {session.kernel_id: (session.path or session.name)[-MAX_NAME_CHARS:] for session in sessions}
    ends = [end for end in ends_of(services, workspace_ids, names, kernels).values() if end.is_warned]
    return tuple(sorted(_without_kernels_of_ending(ends), key=_nearest_first))


def _nearest_first(end: End) -> tuple[float, str]:
    return end.at.timestamp() if end.at is not None else math.inf, end.key


def _without_kernels_of_ending(ends: Iterable[End]) -> list[End]:
    """A container that ends takes its kernels along: it is told of once, unless a kernel ends before."""
    listed = list(ends)
    containers = {end.workspace_id: end.at for end in listed if end.kernel_id is None}
    return [
        end
        for end in listed
        if end.kernel_id is None
        or (at := containers.get(end.workspace_id)) is None
        or (end.at is not None and end.at < at)
    ]


def _end(decision: Decision, decided_at: datetime, names: Mapping[KernelId, str], leave: Leave) -> End:
    kernel_id, due = decision.kernel_id, decision.due_in
    of = names.get(kernel_id) if kernel_id is not None else None
    title = "Your container" if kernel_id is None else f"The kernel of {of}" if of else "A kernel without notebook"
    at = decided_at + due if due is not None else None
    warned = decision.is_warned
    keep = f"Keep it for {in_words(leave.by)} more" if warned and leave.by is not None else ""
    return End(
        workspace_id=decision.workspace_id,
        kernel_id=kernel_id,
        title=title,
        sentence=_notice_sentence(decision) if warned else sentence(decision),
        at=at,
        is_warned=warned,
        keep=keep,
        no_more=leave.why if warned and leave.by is None else "",
        loses=kernel_id is not None or decision.rule is not Rule.WORKSPACE_EMPTY,
    )


def sentence(decision: Decision) -> str:
    """A decision in words, with its limit and who said so: ``idle for 12 min, the limit is 4 h (the profile gpu)``."""
    facts = decision.facts
    if decision.action is Action.REPORT_DEAD or facts.limit is None or "limit" in decision.reason:
        source = f" ({facts.source})" if facts.limit is not None and facts.source else ""
        return f"{decision.reason}{source}"
    return f"{decision.reason}, the limit is {in_words(facts.limit)} ({facts.source})"


def _notice_sentence(decision: Decision) -> str:
    """The same without a number that changes by the minute."""
    facts = decision.facts
    limit = in_words(facts.limit) if facts.limit is not None else ""
    match decision.rule:
        case Rule.KERNEL_IDLE:
            return f"nobody has used it, and idle kernels end after {limit} ({facts.source})"
        case Rule.KERNEL_STUCK:
            return f"it is stuck, and stuck kernels end after {limit} ({facts.source})"
        case Rule.MAX_AGE:
            return f"containers end at an age of {limit} when nothing runs in them ({facts.source})"
        case _:
            return f"it is empty, and empty containers end after {limit} ({facts.source})"
