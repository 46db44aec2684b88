"""Use cases of workspaces: ensure, stop, find, observe.

Every change goes the same way: an event, `advance`, persist, then the effects, whose outcomes are events again.
Whoever asks for a workspace that is being started waits for the same start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from hub import metrics
from hub.config import Settings
from hub.crash_points import Point, reached
from hub.domain import workspace as life
from hub.domain.audit import AuditEvent, Detail
from hub.domain.ids import WorkspaceId, new_id
from hub.domain.users import User
from hub.domain.workspace import Event, Limits, Transition, Workspace, WorkspaceState, advance
from hub.errors import AgentSilent, Conflict, EngineSilent, HubError, NotFound, StartFailed
from hub.spawn.folders import Folders
from hub.spawn.protocol import Observation, Presence, Spawner
from hub.store.engine import Store
from hub.workspaces.agents import Agents
from hub.workspaces.lives import LifeWriter
from hub.workspaces.profiles import ProfileSource, profile_for, profiles_of
from hub.workspaces.progress import Progress, StartKey
from hub.workspaces.quotas import Quotas
from hub.workspaces.runner import Runner
from proxy.kit.clock import Clock
from proxy.kit.tasks import TaskOwner

log = logging.getLogger(__name__)

MAX_STEPS = 6
"""More transitions than any way from one state to `running` or back has."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a workspace's sockets are on this host, and the uid that each of them must belong to."""

    run_folder: Path
    owner_uid: int


@dataclass(frozen=True, slots=True)
class _Busy:
    """A start, stop or clearing under way; `done` ends with the workspace, or with the error for all who wait."""

    done: asyncio.Task[Workspace]
    starting: bool
    clearing: bool = False


class Pausing(Protocol):
    """The part of `Freezer` that is used here."""

    def is_moving(self, workspace_id: WorkspaceId) -> bool:
        """Whether it is being paused or thawed now."""

    async def thaw(self, workspace_id: WorkspaceId, why: str) -> None:
        """Have it go on, if it is paused."""

    async def changed(self, before: Workspace, after: Workspace) -> None:
        """A workspace was changed."""


class NoPausing:
    """Where nothing is ever paused."""

    def is_moving(self, workspace_id: WorkspaceId) -> bool:
        """Never."""
        return False

    async def thaw(self, workspace_id: WorkspaceId, why: str) -> None:
        """Nothing is paused."""

    async def changed(self, before: Workspace, after: Workspace) -> None:
        """It does not matter."""


class Workspaces:
    """Starts, stops and observes users' containers. `pausing` freezes them, and is told of changes."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        spawner: Spawner,
        folders: Folders,
        agents: Agents,
        runner: Runner,
        clock: Clock,
        progress: Progress | None = None,
        profiles: ProfileSource | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self._profiles = profiles or settings
        self._quotas = quotas
        self._store = store
        self._spawner = spawner
        self._folders = folders
        self._agents = agents
        self._runner = runner
        self._clock = clock
        self._tasks = TaskOwner("workspaces")
        self._busy: dict[WorkspaceId, _Busy] = {}
        self._lives = LifeWriter(clock)
        self.pausing: Pausing = NoPausing()
        self.progress = progress or Progress()

    async def ensure(self, user: User, profile: str | None = None) -> Workspace:
        """The user's workspace of a profile, running; started now if it is not, and waited for.

        `profile` None means the default one. Raises NotFound for a profile that the user may not use, ImageMissing,
        NoKernels or StartFailed with the reason, QuotaExceeded, EngineSilent when the engine does not answer,
        AgentSilent when a container runs whose agent does not.
        """
        workspace = await self._get_or_add(user, profile or self._profiles.default_profile)
        if workspace.state is WorkspaceState.RUNNING and self._agents.connected(workspace.id):
            return workspace
        busy = self._busy.get(workspace.id)
        if busy is not None and not busy.starting:
            await asyncio.wait([busy.done])
            busy = self._busy.get(workspace.id)
        if busy is None:
            busy = _Busy(self._tasks.start(self._start_telling(workspace, user), f"start {workspace.id}"), True)
            self._hold(workspace.id, busy)
        return await asyncio.shield(busy.done)

    def ensure_soon(self, user: User, profile: str | None = None) -> None:
        """Start the user's workspace in the background. A failure is recorded, and met again by whoever needs it.

        `progress` tells from now on how far it is.
        """
        self.progress.request(StartKey(user.id, profile or self._profiles.default_profile))
        self._tasks.start(self._ensure_quietly(user, profile), f"ensure {user.id}")

    async def stop(self, workspace_id: WorkspaceId, reason: str, actor: str = "hub") -> Workspace:
        """Stop the container with all its kernels; `reason` is shown to its user. Raises NotFound, EngineSilent."""
        busy = self._busy.get(workspace_id)
        if busy is not None and (busy.starting or busy.clearing):
            await asyncio.wait([busy.done])
            busy = self._busy.get(workspace_id)
        if busy is None:
            task = self._tasks.start(self._take_down(workspace_id, reason, actor), f"stop {workspace_id}")
            busy = _Busy(task, False)
            self._hold(workspace_id, busy)
        return await asyncio.shield(busy.done)

    async def find(self, user: User, profile: str | None = None) -> Workspace | None:
        """The user's workspace of a profile (None: the default one) in whatever state; None if there was none."""
        async with self._store.reading() as unit:
            return await unit.workspaces.find_for(user.id, profile or self._profiles.default_profile)

    async def list_for(self, user: User) -> list[Workspace]:
        """All workspaces of one user, in the order of the profiles; those of profiles that are no more come last."""
        order = {name: number for number, name in enumerate(profiles_of(self._profiles, user))}
        async with self._store.reading() as unit:
            found = await unit.workspaces.list_for(user.id)
        return sorted(found, key=lambda workspace: order.get(workspace.profile, len(order)))

    async def list_running(self) -> list[Workspace]:
        """All workspaces that run, as far as the hub knows."""
        async with self._store.reading() as unit:
            return await unit.workspaces.list_by_state(WorkspaceState.RUNNING)

    def place_of(self, workspace: Workspace, user: User) -> Place:
        """Where a proxy finds the sockets of a user's workspace."""
        return Place(self._folders.run(workspace.id), self._folders.uid_of(user))

    async def stop_all(self, user: User, reason: str, actor: str = "hub") -> None:
        """Stop all containers of a user. Raises EngineSilent when the engine cannot be asked."""
        for workspace in await self.list_for(user):
            if workspace.state is not WorkspaceState.STOPPED:
                await self.stop(workspace.id, reason, actor=actor)

    async def observe(self, seen: Observation) -> Workspace | None:
        """Take a positive word of the engine about one workspace; None if the hub does not know it."""
        if self.is_moving(seen.workspace_id):
            return None
        try:
            return (await self._apply(seen.workspace_id, self._event_of(seen))).workspace
        except NotFound:
            return None

    def is_moving(self, workspace_id: WorkspaceId) -> bool:
        """Whether this hub is starting, stopping, pausing or thawing the workspace now."""
        return workspace_id in self._busy or self.pausing.is_moving(workspace_id)

    async def take(self, known: Workspace, seen: Observation) -> Workspace | None:
        """As `observe`, but only if the workspace still is what the observer knew; None if it is not."""
        if self.is_moving(known.id):
            return None
        try:
            transition = await self._apply(known.id, self._event_of(seen), expected=known)
        except NotFound:
            return None
        return None if transition.ignored is not None else transition.workspace

    async def clear(self, workspace_id: WorkspaceId) -> bool:
        """Remove what a stopped workspace has left: its ended container and its run folder. Who starts it waits.

        False when it is not stopped (any more), or is being moved. Raises EngineSilent.
        """
        if workspace_id in self._busy:
            return False
        task = self._tasks.start(self._clear(workspace_id), f"clear {workspace_id}")
        self._hold(workspace_id, _Busy(task, starting=False, clearing=True))
        return (await asyncio.shield(task)).state is WorkspaceState.STOPPED

    async def _clear(self, workspace_id: WorkspaceId) -> Workspace:
        workspace = await self._get(workspace_id)
        if workspace.state is WorkspaceState.STOPPED:
            await self._runner.stop(workspace_id)
        return workspace

    async def look(self, workspace_id: WorkspaceId) -> Workspace | None:
        """Ask the engine about one workspace and take its word; its silence makes the state unknown."""
        if self.is_moving(workspace_id):
            return None
        try:
            seen = await self._spawner.state(workspace_id)
        except EngineSilent:
            return (await self._apply(workspace_id, life.EngineSilent())).workspace
        return await self.observe(seen)

    def look_soon(self, workspace_id: WorkspaceId) -> None:
        """`look`, in the background: the agent of this workspace was lost."""
        self._tasks.start(self.look(workspace_id), f"look {workspace_id}")

    def is_busy(self, workspace_id: WorkspaceId) -> bool:
        """Whether it is being started or stopped."""
        return workspace_id in self._busy

    async def note(
        self, known: Workspace, event: life.Paused | life.Thawed, actor: str, details: Mapping[str, Detail]
    ) -> Workspace | None:
        """Write that a workspace is paused, or goes on; None if it has changed since it was `known`."""
        try:
            transition = await self._apply(known.id, event, actor, expected=known, details=details)
        except NotFound:
            return None
        return None if transition.ignored is not None else transition.workspace

    async def get(self, workspace_id: WorkspaceId) -> Workspace:
        """A workspace in whatever state. Raises NotFound."""
        return await self._get(workspace_id)

    async def close(self) -> None:
        """End starts and stops under way. Containers stay; the next hub finds them."""
        await self._tasks.close()

    def _hold(self, workspace_id: WorkspaceId, busy: _Busy) -> None:
        self._busy[workspace_id] = busy

        def ended(task: asyncio.Task[Workspace]) -> None:
            if self._busy.get(workspace_id) is busy:
                del self._busy[workspace_id]

        busy.done.add_done_callback(ended)

    async def _ensure_quietly(self, user: User, profile: str | None) -> None:
        key = StartKey(user.id, profile or self._profiles.default_profile)
        try:
            await self.ensure(user, profile)
            self.progress.ready(key)
        except HubError as error:
            self.progress.fail(key, error.message)
            log.warning("the workspace of %s did not start: %s", user.name, error.message)

    async def _get_or_add(self, user: User, name: str) -> Workspace:
        profile = profile_for(self._profiles, user, name)
        found = await self.find(user, name)
        if found is not None:
            return found
        workspace = Workspace(
            id=WorkspaceId(new_id()),
            user_id=user.id,
            profile=name,
            state=WorkspaceState.STOPPED,
            image=profile.image,
            limits=Limits(profile.memory_bytes, profile.cpus, profile.pids),
        )
        try:
            reached(Point.WORKSPACE_ADD_BEFORE)
            async with self._store.unit() as unit:
                await unit.workspaces.add(workspace)
            reached(Point.WORKSPACE_ADD_AFTER)
        except Conflict:
            # Somebody who asked at the same moment was first.
            found = await self.find(user, name)
            if found is None:
                raise
            return found
        return workspace

    async def _start_telling(self, workspace: Workspace, user: User) -> Workspace:
        """`_bring_up`, with its outcome told to those who follow the progress."""
        key, began = StartKey(user.id, workspace.profile), self._clock.monotonic()
        self.progress.request(key)
        try:
            running = await self._bring_up(workspace.id, user)
        except HubError as error:
            metrics.STARTS.labels("failure", error.code).observe(self._clock.monotonic() - began)
            self.progress.fail(key, error.message)
            raise
        except BaseException:
            self.progress.forget(key)
            raise
        metrics.STARTS.labels("success", "").observe(self._clock.monotonic() - began)
        self.progress.ready(key)
        return running

    async def _bring_up(self, workspace_id: WorkspaceId, user: User) -> Workspace:
        """Step until the workspace runs. Each step looks at the state that is now, whoever made it."""
        for _ in range(MAX_STEPS):
            workspace = await self._get(workspace_id)
            match workspace.state:
                case WorkspaceState.RUNNING:
                    try:
                        await self._agents.greet(workspace.id)
                        return workspace
                    except AgentSilent:
                        await self._agents.drop(workspace.id)
                        seen = await self._spawner.state(workspace.id)
                        if seen.presence is Presence.RUNNING:
                            raise
                        await self._apply(workspace.id, life.ObservedGone(seen.reason or "the container ended"))
                case WorkspaceState.STOPPED:
                    await self._refresh_profile(workspace, user)
                    async with self._quotas.turn(user) if self._quotas is not None else nullcontext():
                        if self._quotas is not None:
                            await self._quotas.check_container(user)
                        transition = await self._apply(workspace_id, life.StartRequested())
                    if any(isinstance(effect, life.StartContainer) for effect in transition.effects):
                        await self._start(transition.workspace, user)
                case WorkspaceState.STARTING:
                    await self._start(workspace, user)
                case WorkspaceState.STOPPING:
                    await self._apply(workspace_id, await self._runner.stop(workspace_id))
                case WorkspaceState.UNKNOWN:
                    seen = await self._spawner.state(workspace_id)
                    await self._apply(workspace_id, self._event_of(seen))
        raise StartFailed("Your container keeps ending right after its start; ask an administrator to look at it.")

    def _event_of(self, seen: Observation) -> Event:
        if seen.presence is Presence.RUNNING and seen.container_id is not None:
            return life.ObservedRunning(seen.container_id, seen.is_paused, self._clock.now())
        return life.ObservedGone(seen.reason or "the container is no longer there")

    async def _start(self, workspace: Workspace, user: User) -> None:
        try:
            started = await self._runner.start(workspace, user)
        except EngineSilent:
            await self._apply(workspace.id, life.EngineSilent())
            raise
        except HubError as error:
            await self._apply(workspace.id, life.StartFailed(error.message, error.code))
            raise
        except Exception:
            await self._apply(workspace.id, life.StartFailed("The start failed inside the hub; its log says why."))
            raise
        await self._apply(workspace.id, started)

    async def _take_down(self, workspace_id: WorkspaceId, reason: str, actor: str) -> Workspace:
        with suppress(HubError):  # a spawner stops what is paused, too
            await self.pausing.thaw(workspace_id, "end")
        transition = await self._apply(workspace_id, life.StopRequested(reason), actor)
        if transition.workspace.state is WorkspaceState.STOPPING:
            stopping = any(isinstance(effect, life.StopContainer) for effect in transition.effects)
            log.info("%s workspace %s: %s", "stopping" if stopping else "stopping again", workspace_id, reason)
            if actor != transition.workspace.user_id:
                async with self._store.reading() as unit:
                    kernels = await unit.kernels.list_in(workspace_id)
                await self._agents.farewell(workspace_id, [kernel.id for kernel in kernels], reason)
            transition = await self._apply(workspace_id, await self._runner.stop(workspace_id), actor)
        return transition.workspace

    async def _refresh_profile(self, workspace: Workspace, user: User) -> None:
        """A stopped workspace starts with its profile's image and limits of today."""
        profile = profile_for(self._profiles, user, workspace.profile)
        limits = Limits(profile.memory_bytes, profile.cpus, profile.pids)
        if self._quotas is not None:
            limits = await self._quotas.limits(user, limits)
        if (workspace.image, workspace.limits) != (profile.image, limits):
            async with self._store.unit() as unit:
                await unit.workspaces.save(replace(workspace, image=profile.image, limits=limits))

    async def _get(self, workspace_id: WorkspaceId) -> Workspace:
        async with self._store.reading() as unit:
            workspace = await unit.workspaces.find(workspace_id)
        if workspace is None:
            raise NotFound("There is no such workspace.")
        return workspace

    async def _apply(
        self,
        workspace_id: WorkspaceId,
        event: Event,
        actor: str = "hub",
        expected: Workspace | None = None,
        details: Mapping[str, Detail] | None = None,
    ) -> Transition:
        """Advance and persist, in one unit of work; forgetting kernels is part of it, since it is only rows.

        `expected`: the event is of a workspace as it was then; one that has changed since ignores it. `details` are
        recorded besides.
        """
        async with self._store.unit() as unit:
            workspace = await unit.workspaces.find(workspace_id)
            if workspace is None:
                raise NotFound("There is no such workspace.")
            if expected is not None and not _is_same(workspace, expected):
                return Transition(workspace, ignored="it has changed since")
            transition = advance(workspace, event)
            if transition.ignored is not None or transition.workspace == workspace:
                return transition
            after = transition.workspace
            await unit.workspaces.save(after)
            await self._lives.record(unit, workspace, event, after, actor)
            await unit.audit.add(
                AuditEvent(
                    at=self._clock.now(),
                    action=f"workspace.{_news_of(workspace, after)}",
                    actor=actor,
                    subject=workspace_id,
                    details={
                        "user": after.user_id,
                        "reason": after.stop_reason,
                        "was": str(workspace.state),
                        **(details or {}),
                    },
                )
            )
            for effect in transition.effects:
                if isinstance(effect, life.ForgetKernels):
                    for kernel in await unit.kernels.list_in(workspace_id):
                        await unit.sessions.delete_for_kernel(kernel.id)
                        await unit.kernels.delete(kernel.id)
                        await unit.audit.add(
                            AuditEvent(
                                at=self._clock.now(),
                                action="kernel.ended",
                                actor=actor,
                                subject=kernel.id,
                                details={
                                    "user": after.user_id,
                                    "reason": effect.reason,
                                    "executions": kernel.executions,
                                    "kernelspec": kernel.spec_name,
                                    "workspace": workspace_id,
                                    "with_container": True,
                                },
                            )
                        )
            reached(Point.WORKSPACE_STATE_BEFORE)
        reached(Point.WORKSPACE_STATE_AFTER)
        await self.pausing.changed(workspace, after)
        if after.state is WorkspaceState.STOPPED:
            await self._agents.drop(workspace_id)
        return transition


def _news_of(before: Workspace, after: Workspace) -> str:
    """What became of a workspace, in a word: its state, or else that it is paused or goes on."""
    if before.state is not after.state or before.paused_at == after.paused_at:
        return str(after.state)
    return "paused" if after.paused_at is not None else "thawed"


def _is_same(workspace: Workspace, known: Workspace) -> bool:
    """Whether a workspace is in the same life, and the same place in it, as it was known to be."""
    now, then = (workspace.state, workspace.container_id), (known.state, known.container_id)
    return now == then and (workspace.started_at, workspace.paused_at) == (known.started_at, known.paused_at)
