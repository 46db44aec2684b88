"""Idle containers are frozen, and go on when they are needed: pause and thaw, in an order in which nothing is lost.

A pause: (1) the workspace is listed (`paused`), which the proxies are told with their next report; from then on they
ask for a thaw with any message that they send there. (2) Every proxy with connections into it has said that it knows.
(3) The agent is asked once more whether all is at rest, and the hub's own questions to it are held. (4) The row says
paused. (5) The container is frozen. Whoever needs it in between makes it be given up; whoever needs it afterwards thaws
it. A hub that dies between any two of these leaves what the next thaw, or the reconciler, puts right.

Memory is given back after that, where the machine can; nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from hub import metrics
from hub.crash_points import Point, reached
from hub.domain import workspace as life
from hub.domain.audit import Detail
from hub.domain.culling import in_words
from hub.domain.ids import WorkspaceId
from hub.domain.kernels import Kernel, KernelState
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import Conflict, EngineSilent, HubError, StoreUnavailable
from hub.spawn.protocol import Spawner
from hub.store.engine import Store
from hub.workspaces.agents import Agents, Live, LiveKernel
from hub.workspaces.connections import ADMITTED_SECONDS, Connections
from hub.workspaces.service import Workspaces
from proxy.contract.agent import ContainerInfo
from proxy.kit.clock import Clock
from proxy.kit.tasks import TaskOwner

log = logging.getLogger(__name__)

KNOW_SECONDS = 11.0
"""So long may the proxies take to know of a pause; then it is given up. They report every two seconds, and one that
says nothing for ten holds nothing."""
POLL_SECONDS = 0.1
WORK_SECONDS = 1.0
"""A container with terminals is watched for so long: what runs in one need not write anything."""
BUSY_CPU = 0.1
"""Processors in use in such a container from which on something is at work in it."""
AT_REST = (KernelState.IDLE, KernelState.DEAD)


class Freezer:
    """Pauses and thaws workspaces, one thing at a time in each. `paused` is for the proxies."""

    def __init__(
        self,
        store: Store,
        workspaces: Workspaces,
        spawner: Spawner,
        agents: Agents,
        connections: Connections,
        clock: Clock,
    ) -> None:
        self._store = store
        self._workspaces = workspaces
        self._spawner = spawner
        self._agents = agents
        self._connections = connections
        self._clock = clock
        self._tasks = TaskOwner("freezer")
        self._listed: set[WorkspaceId] = set()
        self._moving: set[WorkspaceId] = set()
        self._asked_at: dict[WorkspaceId, float] = {}
        self._given_back: dict[WorkspaceId, int] = {}
        self._locks: WeakValueDictionary[WorkspaceId, asyncio.Lock] = WeakValueDictionary()

    @property
    def can_pause(self) -> bool:
        """Whether anything is ever paused here."""
        return self._spawner.can_pause

    def paused(self) -> frozenset[WorkspaceId]:
        """What is paused, or about to be: a message for it needs a thaw."""
        return frozenset(self._listed)

    def is_moving(self, workspace_id: WorkspaceId) -> bool:
        """Whether it is being frozen or thawed now, so that what the engine says of it is of no account."""
        return workspace_id in self._moving

    def quiet_for(self, workspace_id: WorkspaceId) -> timedelta | None:
        """How long nobody has needed it; None when nobody ever did, as far as this hub knows."""
        asked_at = self._asked_at.get(workspace_id)
        return None if asked_at is None else timedelta(seconds=self._clock.monotonic() - asked_at)

    async def load(self) -> None:
        """Take over what is paused already, at the hub's start."""
        for workspace in await self._workspaces.list_running():
            await self.changed(workspace, workspace)

    async def changed(self, before: Workspace, after: Workspace) -> None:
        """A workspace was written: hold the questions to the agent of one that is paused, release those of others."""
        if after.paused_at is None or after.state not in (WorkspaceState.RUNNING, WorkspaceState.UNKNOWN):
            if after.state is WorkspaceState.STOPPED:
                self._asked_at.pop(after.id, None)
            if after.id not in self._moving or before.paused_at is not None:
                self._release(after.id)
            return
        self._listed.add(after.id)
        if not self._agents.is_held(after.id):
            async with self._store.reading() as unit:
                kernels = await unit.kernels.list_in(after.id)
            self._hold(after.id, remembered(after.paused_at, kernels, self._clock))

    async def pause_soon(self, workspace_id: WorkspaceId, at_rest: timedelta, reason: str = "") -> None:
        """`pause` in the background: the proxies need some seconds to know."""
        if workspace_id not in self._listed and not self._tasks.is_closed:
            self._listed.add(workspace_id)
            self._tasks.start(self._pause_quietly(workspace_id, at_rest, reason), f"pause {workspace_id}")

    async def pause(self, workspace_id: WorkspaceId, at_rest: timedelta, reason: str = "") -> bool:
        """Freeze a container in which nothing has happened for `at_rest`; False when it was needed after all.

        Raises EngineSilent, AgentSilent, Conflict when it does not run.
        """
        async with self._lock(workspace_id):
            workspace = await self._workspaces.get(workspace_id)
            if workspace.paused_at is not None:
                return True
            is_paused = False
            self._listed.add(workspace_id)
            try:
                is_paused = await self._pause(workspace, at_rest, reason)
            finally:
                self._moving.discard(workspace_id)
                if not is_paused and not await self._is_paused(workspace_id):
                    self._release(workspace_id)
        metrics.PAUSES.labels("paused" if is_paused else "given_up").inc()
        if is_paused:
            self._tasks.start(self._give_back(workspace_id), f"give back {workspace_id}")
        return is_paused

    async def thaw(self, workspace_id: WorkspaceId, why: str) -> None:
        """Have a workspace go on; one that runs is fine. `why`: a label of `metrics.THAWS`.

        Raises NotFound, EngineSilent (it stays paused then), Conflict when its container is no more.
        """
        began = self._clock.monotonic()
        self._asked_at[workspace_id] = began
        async with self._lock(workspace_id):
            workspace = await self._workspaces.get(workspace_id)
            if workspace.paused_at is None:
                return
            self._moving.add(workspace_id)
            is_sure = False
            try:
                is_sure = await self._thaw(workspace, workspace.paused_at, why)
            except EngineSilent:
                raise
            except HubError:
                self._moving.discard(workspace_id)
                await self._workspaces.look(workspace_id)
                raise
            finally:
                self._moving.discard(workspace_id)
            if not is_sure:
                await self._workspaces.look(workspace_id)
            took = self._clock.monotonic() - began
        self._asked_at[workspace_id] = self._clock.monotonic()
        metrics.THAWS.labels(why).inc()
        metrics.THAW_SECONDS.observe(took)
        log.info("workspace %s goes on after %.0f ms (%s)", workspace_id, took * 1000, why)
        if why != "end":
            self._tasks.start(self._hear(workspace_id), f"hear {workspace_id}")

    async def open(self, workspace: Workspace) -> None:
        """Somebody is about to connect to this workspace: have it go on, if it is paused or about to be.

        Raises EngineSilent, Conflict.
        """
        self._asked_at[workspace.id] = self._clock.monotonic()
        if workspace.paused_at is not None or workspace.id in self._listed:
            await self.thaw(workspace.id, "connection")

    async def close(self) -> None:
        """End pauses under way. What is paused stays so; the next hub knows it from the database."""
        await self._tasks.close()

    # ---- the steps of a pause

    async def _pause(self, workspace: Workspace, at_rest: timedelta, reason: str) -> bool:
        workspace_id, since = workspace.id, self._clock.monotonic()
        if workspace.state is not WorkspaceState.RUNNING or self._is_needed(workspace_id, since - ADMITTED_SECONDS):
            return False
        reached(Point.PAUSE_LISTED)
        if not await self._all_know(workspace_id, since) or not await self._rests(workspace_id, at_rest, since):
            return False
        # From here to the freezing, whoever asks the agent waits for a thaw, and that waits for the lock.
        self._hold(workspace_id, None)
        if self._is_needed(workspace_id, since) or self._agents.is_asking(workspace_id):
            return False
        self._moving.add(workspace_id)
        reached(Point.PAUSE_HELD)
        details: dict[str, Detail] = {"reason": reason or f"nothing happened for {in_words(at_rest)}"}
        paused = await self._workspaces.note(workspace, life.Paused(self._clock.now()), "hub", details)
        if paused is None:
            return False
        try:
            if self._is_needed(workspace_id, since):
                raise Conflict("somebody needs it")
            reached(Point.PAUSE_FREEZE_BEFORE)
            await self._spawner.pause(workspace_id)
            reached(Point.PAUSE_FREEZE_AFTER)
        except EngineSilent:
            raise  # it may be frozen: who needs it will find out
        except HubError as error:
            log.info("workspace %s was not paused: %s", workspace_id, error.message)
            await self._workspaces.note(paused, life.Thawed(), "hub", {"reason": f"not paused: {error.message}"})
            return False
        log.info("workspace %s is paused", workspace_id)
        return True

    def _is_needed(self, workspace_id: WorkspaceId, since: float) -> bool:
        """Whether somebody has asked for it since then, or it is being started or stopped, or has changed."""
        is_asked_for = self._asked_at.get(workspace_id, since - 1.0) >= since
        return is_asked_for or workspace_id not in self._listed or self._workspaces.is_busy(workspace_id)

    async def _all_know(self, workspace_id: WorkspaceId, since: float) -> bool:
        """Wait until every proxy that holds connections there knows of the pause; False when one does not."""
        deadline = self._clock.monotonic() + KNOW_SECONDS
        while not self._connections.all_know_of_pause(workspace_id, since):
            if self._is_needed(workspace_id, since) or self._clock.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    async def _rests(self, workspace_id: WorkspaceId, at_rest: timedelta, since: float) -> bool:
        """Whether nothing is at work in it, as its agent says now."""
        live = await self._agents.status(workspace_id, 0.0)
        if live.terminals:
            for _ in range(round(WORK_SECONDS / POLL_SECONDS)):
                await asyncio.sleep(POLL_SECONDS)
                if self._is_needed(workspace_id, since):
                    return False
            before, live = live, await self._agents.status(workspace_id, 0.0)
            if _is_at_work(before, live):
                return False
        now = self._clock.monotonic()
        return (
            all(kernel.state in AT_REST for kernel in live.kernels.values())
            and all(kernel.idle_now(now) >= at_rest for kernel in _living(live))
            and all(terminal.idle_seconds >= at_rest.total_seconds() for terminal in live.terminals)
            and all(job.exit_status is not None for job in live.jobs)
        )

    async def _pause_quietly(self, workspace_id: WorkspaceId, at_rest: timedelta, reason: str) -> None:
        try:
            await self.pause(workspace_id, at_rest, reason)
        except HubError as error:
            metrics.PAUSES.labels("failed").inc()
            log.warning("workspace %s was not paused: %s", workspace_id, error.message)
            if not self._agents.is_held(workspace_id):
                self._listed.discard(workspace_id)

    async def _give_back(self, workspace_id: WorkspaceId) -> None:
        try:
            given = await self._spawner.reclaim(workspace_id)
        except HubError as error:
            log.info("the memory of workspace %s was not given back: %s", workspace_id, error.message)
            return
        if given:
            metrics.GIVEN_BACK.inc(given)
            self._given_back[workspace_id] = given
            self._agents.gave_back(workspace_id, given)
            log.info("%d MiB of paused workspace %s were given back", given // 1024**2, workspace_id)

    # ---- the steps of a thaw

    async def _thaw(self, workspace: Workspace, paused_at: datetime, why: str) -> bool:
        """Whether it is written that it goes on, too: not of one of which nothing was known for sure."""
        reached(Point.THAW_BEFORE)
        await self._spawner.thaw(workspace.id)
        reached(Point.THAW_AFTER)
        seconds = max(0.0, (self._clock.now() - paused_at).total_seconds())
        details: dict[str, Detail] = {"why": why, "paused_seconds": round(seconds, 1)}
        if given := self._given_back.pop(workspace.id, 0):
            details["given_back_bytes"] = given
        written = await self._workspaces.note(workspace, life.Thawed(), "hub", details)
        reached(Point.THAW_WRITTEN)
        return written is not None

    async def _hear(self, workspace_id: WorkspaceId) -> None:
        """Ask the agent at once how all is, so that nobody is shown what is old."""
        try:
            await self._agents.status(workspace_id, 0.0)
        except HubError as error:
            log.info("workspace %s was not heard after its thaw: %s", workspace_id, error.message)

    # ---- what is held

    def _hold(self, workspace_id: WorkspaceId, known: Live | None) -> None:
        async def resume() -> None:
            await self.thaw(workspace_id, "request")

        self._agents.hold(workspace_id, resume, known)

    def _release(self, workspace_id: WorkspaceId) -> None:
        self._listed.discard(workspace_id)
        self._agents.release(workspace_id)

    async def _is_paused(self, workspace_id: WorkspaceId) -> bool:
        """As the database says; where that does not answer, it may be."""
        try:
            return (await self._workspaces.get(workspace_id)).paused_at is not None
        except StoreUnavailable:
            return True
        except HubError:
            return False

    def _lock(self, workspace_id: WorkspaceId) -> asyncio.Lock:
        return self._locks.setdefault(workspace_id, asyncio.Lock())


def remembered(paused_at: datetime, kernels: list[Kernel], clock: Clock) -> Live:
    """What a hub that was started anew knows of a paused workspace: its rows. Its kernels have been idle since then."""
    now, idle_for = clock.monotonic(), max(timedelta(0), clock.now() - paused_at)
    lives = {
        kernel.id: LiveKernel(
            id=kernel.id,
            spec_name=kernel.spec_name,
            state=kernel.state,
            executions=kernel.executions,
            idle_for=idle_for,
            heard_at=now,
            rss_bytes=0,
            cpu_seconds=0.0,
            reason=kernel.reason,
            generation=0,
        )
        for kernel in kernels
    }
    return Live(now, lives, [], ContainerInfo(), is_told=False)


def _living(live: Live) -> list[LiveKernel]:
    return [kernel for kernel in live.kernels.values() if kernel.state is not KernelState.DEAD]


def _is_at_work(before: Live, after: Live) -> bool:
    """Whether the container used a processor between two looks; where it does not say, nobody knows of any."""
    was, now = before.container.cpu_seconds, after.container.cpu_seconds
    if was is None or now is None or after.heard_at <= before.heard_at:
        return False
    return (now - was) / (after.heard_at - before.heard_at) > BUSY_CPU
