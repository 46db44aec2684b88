"""The culling loop: snapshots of running workspaces in, decisions of `hub.domain.culling` carried out.

A workspace whose agent does not answer gives no snapshot, so nothing is decided about it, and the warnings of its user
begin anew. So they do when the hub did not look for a while (`longest_gap`): it was stopped, or the machine is loaded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hub.config import Culling, Settings
from hub.cull.acting import Acting, Pausing
from hub.cull.looking import OF_KERNELS, OF_WORKSPACES, JudgeHealth, snapshot_of
from hub.cull.memory import Memory, Remembered
from hub.cull.rules import policy_for, policy_of
from hub.domain.culling import Action, Decision, Rule, WorkspaceSnapshot, decide
from hub.domain.culling_policy import CullingPolicy
from hub.domain.ids import UserId, WorkspaceId
from hub.domain.kernels import KernelState
from hub.domain.workspace import Workspace
from hub.errors import HubError
from hub.running_settings import Running
from hub.store.culling import Postponement
from hub.store.engine import Store
from hub.workspaces.agents import Agents
from hub.workspaces.connections import Connections
from hub.workspaces.kernels import Kernels
from hub.workspaces.service import Workspaces
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

ACTIVITY_GRAIN = timedelta(minutes=1)
LEAST_GAP = timedelta(seconds=30)
GAP_INTERVALS = 4
JUMP = timedelta(minutes=1)
"""The wall clock jumped when it went by so much more or less than the monotonic one."""
Tell = Callable[[UserId], None]


@dataclass(frozen=True, slots=True)
class Look:
    """A workspace as it was seen in the last round, and what was decided about it and its kernels."""

    workspace: Workspace
    policy: CullingPolicy
    snapshot: WorkspaceSnapshot
    decisions: tuple[Decision, ...]


class Culler:
    """Looks at every running workspace at an interval, and keeps its last decisions for those who ask.

    `running` has the profiles; `health` judges kernels; `tell` is called for users whose warnings changed. Without a
    `pausing` that can, nothing is paused, whatever the settings say.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        workspaces: Workspaces,
        kernels: Kernels,
        agents: Agents,
        connections: Connections,
        clock: Clock,
        running: Running | None = None,
        health: JudgeHealth = lambda _kernel, _workspace: None,
        pausing: Pausing | None = None,
    ) -> None:
        self._settings = settings
        self._running = running
        self._store = store
        self._workspaces = workspaces
        self._agents = agents
        self._connections = connections
        self._clock = clock
        self._health = health
        self._pausing = pausing
        self._acting = Acting(store, workspaces, kernels, agents, clock, pausing)
        self._memory = Memory()
        self._looks: dict[WorkspaceId, Look] = {}
        self._decided_at: datetime | None = None
        self._clocks: tuple[datetime, float] | None = None
        self.tell: Tell = lambda _user_id: None

    @property
    def culling(self) -> Culling:
        """What the settings say now."""
        return self._running.current.culling if self._running is not None else self._settings.culling

    @property
    def longest_gap(self) -> timedelta:
        """Between two looks at a workspace; after a longer one all warnings begin anew."""
        return max(LEAST_GAP, GAP_INTERVALS * self.culling.interval)

    async def run(self) -> None:
        """Cull at the interval, until cancelled. A round that fails is logged; the next one tries again."""
        while True:
            await asyncio.sleep(self.culling.interval.total_seconds())
            try:
                await self.run_once()
            except HubError as error:
                log.warning("a culling round was given up: %s", error.message)
            except Exception:
                log.exception("a culling round was given up")

    async def run_once(self) -> list[Decision]:
        """One round: look, decide, act. Gives all decisions, those that keep things included."""
        running = await self._workspaces.list_running()
        self._memory.keep_only(workspace.id for workspace in running)
        policies, put_off = await self._read(running)
        self._watch_the_clock(policies.values())
        seen = await asyncio.gather(*(self._look(each, policies[each.id], put_off[each.id]) for each in running))
        looks = [look for look in seen if look is not None]
        self._looks = {look.workspace.id: look for look in looks}
        self._decided_at = self._clock.now()
        decisions = [decision for look in looks for decision in look.decisions]
        self._acting.still_dead(decisions)
        await self._note_activity(looks)
        for look in looks:
            await self._forget_postponements(look)
            await self._note_warnings(look)
        for look in looks:
            for decision in look.decisions:
                try:
                    await self._acting.carry_out(decision, look.workspace)
                except HubError as error:
                    log.warning("%s of %s was not done: %s", decision.action, decision.workspace_id, error.message)
        return decisions

    def decisions_for(self, workspace_ids: list[WorkspaceId]) -> tuple[datetime | None, list[Decision]]:
        """When the last round was, and what it decided about these workspaces and their kernels."""
        looks = [self._looks[each] for each in workspace_ids if each in self._looks]
        return self._decided_at, [decision for look in looks for decision in look.decisions]

    def find_look(self, workspace_id: WorkspaceId) -> Look | None:
        """A workspace as it was seen in the last round; None when it was not."""
        return self._looks.get(workspace_id)

    def warned(self, user_id: UserId) -> list[WorkspaceId]:
        """The user's workspaces of which something is to be told now."""
        looks = [look for look in self._looks.values() if look.workspace.user_id == user_id]
        return [look.workspace.id for look in looks if any(decision.is_warned for decision in look.decisions)]

    def was_put_off(self, row: Postponement) -> None:
        """Decide anew about a workspace of which something was put off just now; nothing is looked at or done."""
        look, known = self._looks.get(row.workspace_id), self._memory.find(row.workspace_id)
        if look is None or known is None:
            return
        now, wall = self._clock.monotonic(), self._clock.now()
        known.put_off_until(row, wall, now)
        kernels = tuple(
            replace(kernel, standing=known.standing(kernel.id, OF_KERNELS, now)) for kernel in look.snapshot.kernels
        )
        snapshot = replace(look.snapshot, kernels=kernels, standing=known.standing(None, OF_WORKSPACES, now))
        decisions = tuple(decide(look.policy, [snapshot], wall))
        self._looks[row.workspace_id] = replace(look, snapshot=snapshot, decisions=decisions)
        for decision in decisions:
            if decision.kernel_id == row.kernel_id:
                known.take_note(decision, now)
        self.tell(look.workspace.user_id)

    async def _read(
        self, running: list[Workspace]
    ) -> tuple[dict[WorkspaceId, CullingPolicy], dict[WorkspaceId, list[Postponement]]]:
        """What holds for each workspace, and what was put off in it."""
        async with self._store.reading() as unit:
            rules = await unit.culling.rules_for(workspace.user_id for workspace in running)
            rows = await unit.culling.postponements(workspace.id for workspace in running)
        base = policy_of(self.culling)
        current = self._running.current if self._running is not None else None
        profiles = {**current.profiles, **current.disabled} if current is not None else self._settings.profiles
        policies = {
            workspace.id: policy_for(
                base, workspace.profile, profiles.get(workspace.profile), rules.get(workspace.user_id, [])
            )
            for workspace in running
        }
        if self._pausing is None or not self._pausing.can_pause:
            policies = {workspace_id: replace(policy, pause_after=None) for workspace_id, policy in policies.items()}
        put_off: dict[WorkspaceId, list[Postponement]] = {workspace.id: [] for workspace in running}
        for row in rows:
            put_off[row.workspace_id].append(row)
        return policies, put_off

    def _watch_the_clock(self, policies: Iterable[CullingPolicy]) -> None:
        """A wall clock that jumped may have jumped out of quiet hours: then warnings begin anew."""
        wall, now = self._clock.now(), self._clock.monotonic()
        before, self._clocks = self._clocks, (wall, now)
        if before is None or not any(policy.quiet for policy in policies):
            return
        if abs((wall - before[0]) - timedelta(seconds=now - before[1])) > JUMP:
            log.warning("the clock of this machine jumped; all warnings begin anew")
            self._memory.lose_warnings()

    async def _look(self, workspace: Workspace, policy: CullingPolicy, put_off: list[Postponement]) -> Look | None:
        """What there is to see of a workspace; None when its agent does not answer."""
        try:
            live = await self._agents.status(workspace.id)
        except HubError as error:
            log.info("workspace %s is not judged: %s", workspace.id, error.message)
            self._memory.lose(workspace.id)
            await self._workspaces.look(workspace.id)
            return None
        now, wall = self._clock.monotonic(), self._clock.now()
        known = self._memory.look(workspace.id, now, self.longest_gap)
        _take_over(known, put_off, wall, now)
        quiet_for = self._pausing.quiet_for(workspace.id) if self._pausing is not None else None
        snapshot = snapshot_of(workspace, live, known, policy, self._connections, self._health, now, wall, quiet_for)
        return Look(workspace, policy, snapshot, tuple(decide(policy, [snapshot], wall)))

    async def _note_warnings(self, look: Look) -> None:
        """Remember who is warned of what, record what is new, and have it told."""
        known = self._memory.find(look.workspace.id)
        now, news = self._clock.monotonic(), False
        for decision in look.decisions:
            if known is not None and known.take_note(decision, now):
                news = True
                if decision.action is Action.WARN:
                    log.info("%s of %s: warned, %s", decision.rule, decision.workspace_id, decision.reason)
                    await self._acting.record("warned", decision, look.workspace.user_id)
                elif decision.action is Action.KEEP:
                    await self._acting.record("withdrawn", decision, look.workspace.user_id)
        if news:
            self.tell(look.workspace.user_id)

    async def _forget_postponements(self, look: Look) -> None:
        """Those of what is used again, of kernels that are no more, and of containers before this one."""
        known = self._memory.find(look.workspace.id)
        if known is None or not known.put_off:
            return
        now, gone = self._clock.monotonic(), []
        kernels = {kernel.id: kernel for kernel in look.snapshot.kernels}
        started_at = look.workspace.started_at
        for kernel_id, rule in list(known.put_off):
            one = known.put_off[kernel_id, rule]
            kernel = kernels.get(kernel_id) if kernel_id is not None else None
            is_of_before = started_at is not None and one.row.asked_at < started_at
            is_full_again = rule is Rule.WORKSPACE_EMPTY and bool(kernels)
            if is_of_before or is_full_again or (kernel_id is not None and kernel is None):
                gone.append(known.put_off.pop((kernel_id, rule)).row)
            elif kernel is not None and rule is Rule.KERNEL_IDLE:
                idle_for = kernel.idle_for if kernel.state is KernelState.IDLE else None
                gone += known.used_again(kernel.id, idle_for, now)
        if gone:
            async with self._store.unit() as unit:
                await unit.culling.forget(gone)

    async def _note_activity(self, looks: list[Look]) -> None:
        """Remember when workspaces were last active, no finer than `ACTIVITY_GRAIN`."""
        now = self._clock.now()
        moved = []
        for look in looks:
            if not look.snapshot.kernels and not look.snapshot.terminals:
                continue
            at, before = now - look.snapshot.rest_for, look.workspace.last_activity_at
            if before is None or at - before > ACTIVITY_GRAIN:
                moved.append((look.workspace.id, at))
        if moved:
            async with self._store.unit() as unit:
                for workspace_id, at in moved:
                    await unit.workspaces.touch(workspace_id, at)


def _take_over(known: Remembered, rows: list[Postponement], wall: datetime, now: float) -> None:
    """Postponements as the database has them; those that are not there any more are forgotten."""
    keys = {(row.kernel_id, row.rule) for row in rows}
    for gone in known.put_off.keys() - keys:
        del known.put_off[gone]
    for row in rows:
        known.put_off_until(row, wall, now)
