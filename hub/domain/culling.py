"""Culling: which kernels and containers are no longer needed, why, and when the next one will be.

`decide` is pure: it sees a policy, the time and snapshots, and answers with decisions in words. Idleness is
measured by the agent on a monotonic clock (`idle_for`), so that a clock that jumps culls nobody; a kernel
whose state is unknown, starting, restarting or busy is never idle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import KernelState


@dataclass(frozen=True, slots=True)
class CullingPolicy:
    """When things end. None for a span means never.

    `kernel_idle`: how long a kernel may be idle; `workspace_empty`: how long a container may be without
    kernels, terminals, running programs and open connections; `cull_connected`: whether a kernel with an open
    but idle tab may be culled too.
    """

    kernel_idle: timedelta | None
    workspace_empty: timedelta | None
    cull_connected: bool = True


@dataclass(frozen=True, slots=True)
class KernelSnapshot:
    """What the agent last said of a kernel. `idle_for` means nothing unless the state is idle."""

    id: KernelId
    state: KernelState
    idle_for: timedelta
    connections: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class WorkspaceSnapshot:
    """What is known of a running workspace; `empty_for` is how long it had nothing to hold it open."""

    id: WorkspaceId
    kernels: tuple[KernelSnapshot, ...]
    terminals: int
    connections: int
    empty_for: timedelta
    jobs: tuple[str, ...] = ()
    """The programs that run in it for the hub."""


class Action(StrEnum):
    """What a decision asks for."""

    SHUT_KERNEL = "shut_kernel"
    REPORT_DEAD = "report_dead"
    STOP_WORKSPACE = "stop_workspace"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, its reason in words; `due_in` is when a kept thing would be culled, None for never."""

    action: Action
    workspace_id: WorkspaceId
    kernel_id: KernelId | None
    reason: str
    due_in: timedelta | None = None


def decide(policy: CullingPolicy, snapshots: Sequence[WorkspaceSnapshot]) -> list[Decision]:
    """One decision for every kernel and every workspace in the snapshots, in their order."""
    decisions: list[Decision] = []
    for workspace in snapshots:
        decisions.extend(decide_kernel(policy, workspace.id, kernel) for kernel in workspace.kernels)
        decisions.append(decide_workspace(policy, workspace))
    return decisions


def decide_kernel(policy: CullingPolicy, workspace_id: WorkspaceId, kernel: KernelSnapshot) -> Decision:
    """What becomes of one kernel."""

    def answer(action: Action, reason: str, due_in: timedelta | None = None) -> Decision:
        return Decision(action, workspace_id, kernel.id, reason, due_in)

    if kernel.state is KernelState.DEAD:
        return answer(Action.REPORT_DEAD, kernel.reason or "the kernel process ended")
    if kernel.state is not KernelState.IDLE:
        return answer(Action.KEEP, _WHY_NOT_IDLE[kernel.state])
    if policy.kernel_idle is None:
        return answer(Action.KEEP, "idle kernels are never shut here")
    if kernel.connections and not policy.cull_connected:
        return answer(Action.KEEP, f"open in {_count(kernel.connections, 'place')}")
    left = policy.kernel_idle - kernel.idle_for
    if left > timedelta(0):
        return answer(Action.KEEP, f"idle for {in_words(kernel.idle_for)}", left)
    return answer(
        Action.SHUT_KERNEL,
        f"idle for {in_words(kernel.idle_for)}, the limit is {in_words(policy.kernel_idle)}",
    )


def decide_workspace(policy: CullingPolicy, workspace: WorkspaceSnapshot) -> Decision:
    """What becomes of one container."""

    def answer(action: Action, reason: str, due_in: timedelta | None = None) -> Decision:
        return Decision(action, workspace.id, None, reason, due_in)

    living = sum(kernel.state is not KernelState.DEAD for kernel in workspace.kernels)
    if living:
        return answer(Action.KEEP, f"it holds {_count(living, 'kernel')}")
    if workspace.terminals:
        return answer(Action.KEEP, f"it holds {_count(workspace.terminals, 'terminal')}")
    if workspace.jobs:
        return answer(Action.KEEP, f"a program is running: {workspace.jobs[0].replace('_', '-')}")
    if workspace.connections:
        return answer(Action.KEEP, f"it holds {_count(workspace.connections, 'open connection')}")
    if policy.workspace_empty is None:
        return answer(Action.KEEP, "empty containers are never stopped here")
    left = policy.workspace_empty - workspace.empty_for
    if left > timedelta(0):
        return answer(Action.KEEP, f"empty for {in_words(workspace.empty_for)}", left)
    return answer(
        Action.STOP_WORKSPACE,
        f"empty for {in_words(workspace.empty_for)}, the limit is {in_words(policy.workspace_empty)}",
    )


_WHY_NOT_IDLE = {
    KernelState.BUSY: "a cell is running",
    KernelState.STARTING: "it is starting",
    KernelState.RESTARTING: "it is restarting",
    KernelState.UNKNOWN: "its state is unknown, and nothing is done on a guess",
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
