"""Culling: which kernels and containers are no longer needed, why, and when the next one will be.

`decide` is pure: it sees a policy, snapshots and (for quiet hours only) the time, and answers with decisions in words
that carry the numbers they were made from. Idleness is measured by the agent on a monotonic clock (`idle_for`), so
that a clock that jumps culls nobody; a kernel whose state is unknown, starting, restarting or busy is never idle. One
that is paused goes on being idle. Nothing is ended unless a warning of the same reason has stood for the whole of the
warning's time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from hub.domain.culling_policy import CullingPolicy, quiet_for
from hub.domain.health import HealthState
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import Kernel, KernelState

NOTHING = timedelta(0)
STUCK = frozenset({HealthState.STUCK, HealthState.NOT_RESPONDING})
"""Healths that end a kernel after the long limit, warned."""


class Rule(StrEnum):
    """Why something may end: the field of the policy."""

    KERNEL_IDLE = "kernel_idle"
    KERNEL_STUCK = "kernel_stuck"
    WORKSPACE_EMPTY = "workspace_empty"
    MAX_AGE = "max_age"
    PAUSE_AFTER = "pause_after"


class Action(StrEnum):
    """What a decision asks for."""

    SHUT_KERNEL = "shut_kernel"
    REPORT_DEAD = "report_dead"
    STOP_WORKSPACE = "stop_workspace"
    PAUSE_WORKSPACE = "pause_workspace"
    WARN = "warn"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a kernel or a container stands with its user: warned for how long and of what, put off for how long.

    `warned_for` None: no warning stands. `put_off_for`: how long a postponement still holds; `times` and `put_off`
    are how often, and by how much altogether, the end was put off since it was last used.
    """

    warned_of: Rule | None = None
    warned_for: timedelta | None = None
    put_off_for: timedelta = NOTHING
    times: int = 0
    put_off: timedelta = NOTHING


@dataclass(frozen=True, slots=True)
class KernelSnapshot:
    """What is known of a kernel. `idle_for` means nothing unless the state is idle.

    `cpu`: processors that its session uses now, None: not known. `health`: what three signals say of it
    (`hub.domain.health`), None: nobody judged; `stuck_for`: for how long it has been stuck, or has not responded.
    """

    id: KernelId
    state: KernelState
    idle_for: timedelta
    connections: int
    reason: str | None = None
    cpu: float | None = None
    health: HealthState | None = None
    stuck_for: timedelta | None = None
    paused_for: timedelta | None = None
    """How long its container has been paused, None: it is not."""
    standing: Standing = Standing()


@dataclass(frozen=True, slots=True)
class WorkspaceSnapshot:
    """What is known of a running workspace; `empty_for` is how long it had nothing to hold it open.

    `age`: how long its container has run, by a monotonic clock, None: not known. `rest_for`: how long nothing has
    happened in its kernels and terminals; `still_for` is the same for a pause, which open tabs do not prevent.
    `paused_for`: how long it has been paused, None: it is not.
    """

    id: WorkspaceId
    kernels: tuple[KernelSnapshot, ...]
    terminals: int
    connections: int
    empty_for: timedelta
    jobs: tuple[str, ...] = ()
    """The programs that run in it for the hub."""
    age: timedelta | None = None
    rest_for: timedelta = NOTHING
    still_for: timedelta = NOTHING
    paused_for: timedelta | None = None
    standing: Standing = Standing()


@dataclass(frozen=True, slots=True)
class Facts:
    """The numbers that a decision was made from; None: not known, or of no account for this decision.

    `spent` is idle, empty, stuck or old for how long, `limit` what was held against it and `source` who said so.
    """

    state: str = ""
    spent: timedelta | None = None
    limit: timedelta | None = None
    source: str = ""
    connections: int = 0
    cpu: float | None = None
    warning: timedelta | None = None
    standing: Standing = Standing()
    quiet_for: timedelta = NOTHING


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, its reason in words; `due_in` is when a kept thing would be culled, None for never."""

    action: Action
    workspace_id: WorkspaceId
    kernel_id: KernelId | None
    reason: str
    due_in: timedelta | None = None
    rule: Rule | None = None
    facts: Facts = field(default_factory=Facts, compare=False)

    @property
    def is_warned(self) -> bool:
        """Whether its user is to be told now that it will end."""
        warned = self.facts.standing.warned_for is not None and self.facts.standing.warned_of is self.rule
        near = self.due_in is not None and self.facts.warning is not None and self.due_in <= self.facts.warning
        return self.action is Action.WARN or (self.action is Action.KEEP and warned and near)


def decide(
    policy: CullingPolicy, snapshots: Sequence[WorkspaceSnapshot], now: datetime | None = None
) -> list[Decision]:
    """One decision for every kernel and every workspace in the snapshots, in their order.

    `now` is looked at for quiet hours alone; without it there are none.
    """
    decisions: list[Decision] = []
    for workspace in snapshots:
        decisions.extend(decide_kernel(policy, workspace.id, kernel, now) for kernel in workspace.kernels)
        decisions.append(decide_workspace(policy, workspace, now))
    return decisions


def decide_kernel(
    policy: CullingPolicy, workspace_id: WorkspaceId, kernel: KernelSnapshot, now: datetime | None = None
) -> Decision:
    """What becomes of one kernel."""
    facts = Facts(
        state=str(kernel.health or kernel.state),
        connections=kernel.connections,
        cpu=kernel.cpu,
        standing=kernel.standing,
    )
    subject = _Subject(policy, workspace_id, kernel.id, facts, now)
    if kernel.state is KernelState.DEAD:
        return subject.answer(Action.REPORT_DEAD, kernel.reason or "the kernel process ended")
    if kernel.health in STUCK and kernel.stuck_for is not None:
        if policy.kernel_stuck is None:
            return subject.answer(Action.KEEP, "it is stuck; stuck kernels are left to their users here")
        words = f"stuck for {in_words(kernel.stuck_for)}"
        return subject.ending(Rule.KERNEL_STUCK, Action.SHUT_KERNEL, words, kernel.stuck_for, policy.kernel_stuck)
    why_used = _why_used(policy, kernel)
    if why_used:
        return subject.answer(Action.KEEP, why_used)
    paused = _paused(kernel.paused_for)
    if policy.kernel_idle is None:
        return subject.answer(Action.KEEP, paused or "idle kernels are never shut here")
    if kernel.connections and not policy.cull_connected:
        return subject.answer(Action.KEEP, paused or f"open in {_count(kernel.connections, 'place')}")
    words = f"idle for {in_words(kernel.idle_for)}"
    if kernel.paused_for is not None:
        words = f"{words} (paused for {in_words(kernel.paused_for)})"
    return subject.ending(Rule.KERNEL_IDLE, Action.SHUT_KERNEL, words, kernel.idle_for, policy.kernel_idle)


def still_true(decisions: Iterable[Decision], kernels: Iterable[Kernel]) -> list[Decision]:
    """The last round's decisions without those that are not true any more, by the kernels that there are now.

    A container that was empty then is not, since a kernel of which the round did not know.
    """
    known = list(decisions)
    seen = {decision.kernel_id for decision in known}
    filled = {kernel.workspace_id for kernel in kernels if kernel.id not in seen}
    return [each for each in known if each.rule is not Rule.WORKSPACE_EMPTY or each.workspace_id not in filled]


def decide_workspace(policy: CullingPolicy, workspace: WorkspaceSnapshot, now: datetime | None = None) -> Decision:
    """What becomes of one container."""
    held = _why_held(workspace)
    facts = Facts(state="in use" if held else "empty", connections=workspace.connections, standing=workspace.standing)
    subject = _Subject(policy, workspace.id, None, facts, now)
    of_age = _of_age(policy, workspace, subject)
    if held:
        own = subject.answer(Action.KEEP, held)
    elif policy.workspace_empty is None:
        own = subject.answer(Action.KEEP, "empty containers are never stopped here")
    else:
        words = f"empty for {in_words(workspace.empty_for)}"
        own = subject.ending(
            Rule.WORKSPACE_EMPTY, Action.STOP_WORKSPACE, words, workspace.empty_for, policy.workspace_empty
        )
    first = own if of_age is None else min((of_age, own), key=_urgency)
    if first.action is not Action.KEEP:
        return first
    if workspace.paused_for is not None:
        return replace(first, reason=_paused(workspace.paused_for))
    if _is_for_a_pause(policy, workspace):
        words = f"nothing happened for {in_words(workspace.still_for)}"
        spent = replace(
            facts, spent=workspace.still_for, limit=policy.pause_after, source=policy.source(Rule.PAUSE_AFTER)
        )
        return replace(subject.answer(Action.PAUSE_WORKSPACE, words), rule=Rule.PAUSE_AFTER, facts=spent)
    return first


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a decision is about, and how its end is counted."""

    policy: CullingPolicy
    workspace_id: WorkspaceId
    kernel_id: KernelId | None
    facts: Facts
    now: datetime | None

    def answer(self, action: Action, reason: str, due_in: timedelta | None = None) -> Decision:
        return Decision(action, self.workspace_id, self.kernel_id, reason, due_in, facts=self.facts)

    def ending(
        self, rule: Rule, action: Action, words: str, spent: timedelta, limit: timedelta, wait: timedelta = NOTHING
    ) -> Decision:
        """Keep, warn, or act: at the limit, not before a postponement or quiet hours end, nor before the warning did.

        `wait` is what must pass in any case.
        """
        standing, warning = self.facts.standing, self.policy.warning_before(limit)
        left = max(limit - spent, standing.put_off_for, wait, NOTHING)
        is_put_off = standing.put_off_for > max(limit - spent, wait)
        quiet = self._quiet_after(left)
        left += quiet
        warned_for = standing.warned_for if standing.warned_of is rule else None
        if left <= warning:
            left = max(left, warning - (warned_for or NOTHING))
            more = self._quiet_after(left)
            left, quiet = left + more, quiet + more
        facts = replace(
            self.facts, spent=spent, limit=limit, source=self.policy.source(rule), warning=warning, quiet_for=quiet
        )
        if is_put_off:
            words = f"{words}, put off for {in_words(standing.put_off_for)}"
        elif quiet:
            words = f"{words}; nothing ends in the quiet hours"
        decision = Decision(Action.KEEP, self.workspace_id, self.kernel_id, words, left, rule, facts)
        over = f"{words}, the limit is {in_words(limit)}"
        if left <= warning and warned_for is None:
            return replace(decision, action=Action.WARN, reason=over)
        if left <= NOTHING:
            return replace(decision, action=action, reason=over, due_in=None)
        return decision

    def _quiet_after(self, left: timedelta) -> timedelta:
        """How long quiet hours last from the moment on that is `left` away."""
        if self.now is None or not self.policy.quiet:
            return NOTHING
        return quiet_for(self.policy.quiet, self.now + left)


def _urgency(decision: Decision) -> tuple[int, timedelta]:
    order = {Action.STOP_WORKSPACE: 0, Action.WARN: 1}
    return order.get(decision.action, 2), decision.due_in if decision.due_in is not None else timedelta.max


def _of_age(policy: CullingPolicy, workspace: WorkspaceSnapshot, subject: _Subject) -> Decision | None:
    """What the maximum age asks for: an end at the first rest as long as the warning. A running cell is safe."""
    if policy.max_age is None or workspace.age is None:
        return None
    words = f"{in_words(workspace.age)} old"
    if _why_awake(policy, workspace):
        if workspace.age < policy.max_age:
            return None
        facts = replace(subject.facts, spent=workspace.age, limit=policy.max_age, source=policy.source("max_age"))
        reason = f"{words}, the limit is {in_words(policy.max_age)}; it ends when nothing runs in it"
        return replace(subject.answer(Action.KEEP, reason), rule=Rule.MAX_AGE, facts=facts)
    rest = max(policy.warning_before(policy.max_age) - workspace.rest_for, NOTHING)
    return subject.ending(Rule.MAX_AGE, Action.STOP_WORKSPACE, words, workspace.age, policy.max_age, rest)


def _is_for_a_pause(policy: CullingPolicy, workspace: WorkspaceSnapshot) -> bool:
    if policy.pause_after is None or not workspace.kernels or _why_awake(policy, workspace):
        return False
    return workspace.still_for >= policy.pause_after


def _why_awake(policy: CullingPolicy, workspace: WorkspaceSnapshot) -> str:
    """Why a container is not at rest: a kernel that is not known to be idle, or a program."""
    living = [kernel for kernel in workspace.kernels if kernel.state is not KernelState.DEAD]
    why = next((why for kernel in living if (why := _why_used(policy, kernel))), "")
    return why or (_program(workspace) if workspace.jobs else "")


def _why_used(policy: CullingPolicy, kernel: KernelSnapshot) -> str:
    """Why a kernel is not idle, empty if it is. A health that nobody judged is no reason; an unknown one is."""
    if kernel.state is not KernelState.IDLE:
        return _WHY_NOT_IDLE[kernel.state]
    if kernel.paused_for is not None:
        return ""
    if kernel.health is not None and kernel.health is not HealthState.IDLE:
        return _WHY_NOT_WELL[kernel.health]
    if policy.busy_cpu is not None and kernel.cpu is not None and kernel.cpu > policy.busy_cpu:
        return f"no cell is running, but it uses {kernel.cpu:.2f} processors"
    return ""


def _why_held(workspace: WorkspaceSnapshot) -> str:
    """What holds a container open, empty if it is empty."""
    living = sum(kernel.state is not KernelState.DEAD for kernel in workspace.kernels)
    if living:
        return f"it holds {_count(living, 'kernel')}"
    if workspace.terminals:
        return f"it holds {_count(workspace.terminals, 'terminal')}"
    if workspace.jobs:
        return _program(workspace)
    if workspace.connections:
        return f"it holds {_count(workspace.connections, 'open connection')}"
    return ""


def _paused(paused_for: timedelta | None) -> str:
    """That it is paused, empty if it is not."""
    return "" if paused_for is None else f"paused for {in_words(paused_for)}; it goes on at the next message"


def _program(workspace: WorkspaceSnapshot) -> str:
    return f"a program is running: {workspace.jobs[0].replace('_', '-')}"


_WHY_NOT_IDLE = {
    KernelState.BUSY: "a cell is running",
    KernelState.STARTING: "it is starting",
    KernelState.RESTARTING: "it is restarting",
    KernelState.UNKNOWN: "its state is unknown, and nothing is done on a guess",
    KernelState.DEAD: "its process ended",
}
_WHY_NOT_WELL = {
    HealthState.STARTING: "it is starting",
    HealthState.RESTARTING: "it is restarting",
    HealthState.BUSY: "a cell is running",
    HealthState.BUSY_NOT_RESPONDING: "it computes and does not answer",
    HealthState.STUCK: "it is stuck",
    HealthState.NOT_RESPONDING: "it does not respond",
    HealthState.PAUSED: "it is paused",
    HealthState.GONE: "its process ended",
    HealthState.UNKNOWN: "its state is unknown, and nothing is done on a guess",
}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def in_words(span: timedelta) -> str:
    """A span as people say it: ``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    seconds = int(span.total_seconds())
    if seconds < 90:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
