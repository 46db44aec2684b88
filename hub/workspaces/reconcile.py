"""Reconciliation: database, engine and run folders are held against each other, at the hub's start and every 15 s.

Positive answers only: a container that the engine lists as running is running, one that it does not list is gone. When
the engine is silent nothing changes, and of a workspace whose agent is silent no kernel is touched. What the engine
says of a known workspace is taken in at once; what has no owner is ended only after a time of grace (`Patiences`),
asked about once more just before. Of several hubs on one data folder the oldest does this, and nothing of which another
one may be in the midst. See docs/explanation/restarts.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hub import metrics
from hub.crash_points import Point, reached
from hub.domain.audit import AuditEvent
from hub.domain.ids import WorkspaceId
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import EngineSilent, HubError
from hub.spawn.folders import Folders
from hub.spawn.protocol import Observation, Presence, Spawner
from hub.store.engine import Store
from hub.workspaces.differences import IN_TRANSITION, Difference, Kind, Patience, Suspicions, compare
from hub.workspaces.kernel_order import KernelOrder
from hub.workspaces.living_hubs import LivingHubs
from hub.workspaces.probes import LEFTOVER_AGE, Probes, probe_began_at
from hub.workspaces.rounds import Outcome, Round, Rounds
from hub.workspaces.runner import Runner
from hub.workspaces.service import Workspaces
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

RECONCILE_SECONDS = 15.0
SCRATCH_PREFIX = "verify-"
"""The ids of throw-away containers begin so: those of no workspace, in which notebooks are verified."""
NEWS = (Kind.FOUND_RUNNING, Kind.FOUND_GONE, Kind.FOUND_PAUSED, Kind.FOUND_THAWED)
"""What the engine says, and is to be taken in."""
AT_ONCE = 8
MOST_UNOWNED = 3
"""More containers without an owner than this, and than those with one, are no leftovers: it is the wrong database."""
_SECONDS, _A_MINUTE, _MINUTES = Patience(2, 10.0), Patience(3, 60.0), Patience(3, 120.0)
_STOPPED_IN_BETWEEN = "its stop was begun by a hub that ended meanwhile"


@dataclass(frozen=True, slots=True)
class Patiences:
    """How long each kind of thing may be without an owner."""

    elsewhere: Patience = _MINUTES
    """What another hub may be starting or stopping."""
    leftover: Patience = _SECONDS
    unowned: Patience = _MINUTES
    kernels: Patience = _A_MINUTE


class Reconciler:
    """Puts things in order. `rounds` says what was found and done. `close` lets another hub take over."""

    def __init__(
        self,
        store: Store,
        spawner: Spawner,
        workspaces: Workspaces,
        probes: Probes,
        *,
        runner: Runner,
        folders: Folders,
        kernels: KernelOrder,
        clock: Clock,
        patiences: Patiences | None = None,
    ) -> None:
        self._store = store
        self._spawner = spawner
        self._workspaces = workspaces
        self._probes = probes
        self._runner = runner
        self._folders = folders
        self._kernels = kernels
        self._clock = clock
        self._hubs = LivingHubs(folders.data_dir)
        self._suspicions = Suspicions()
        self._one_at_a_time = asyncio.Lock()
        self._is_quiet = True
        self.patiences = patiences or Patiences()
        self.rounds = Rounds()

    async def run(self) -> None:
        """A round every `RECONCILE_SECONDS`, kernels included, until cancelled."""
        while True:
            await asyncio.sleep(RECONCILE_SECONDS)
            try:
                await self.run_once()
            except HubError as error:
                log.warning("not reconciled: %s", error.message)
            except Exception:
                log.exception("not reconciled")

    async def run_once(self, *, kernels: bool = True) -> Round:
        """One round now; without `kernels` no agent is asked. Raises StoreUnavailable, OSError."""
        async with self._one_at_a_time:
            began = self._clock.monotonic()
            found = await self._round(kernels)
            done = Round(self._clock.now(), self._clock.monotonic() - began, *found)
            self.rounds.add(done)
            metrics.RECONCILE_ROUNDS.labels(done.outcome).inc()
            metrics.RECONCILE_SECONDS.observe(done.seconds)
            return done

    def end_quiet(self) -> None:
        """From now on requests start and stop workspaces: an inventory is not believed without asking again."""
        self._is_quiet = False

    async def close(self) -> None:
        """Let another hub take over."""
        await asyncio.to_thread(self._hubs.leave)

    async def _round(self, kernels: bool) -> tuple[Outcome, dict[Kind, int], int, str]:
        others = await asyncio.to_thread(self._look_for_others)
        if not self._hubs.is_oldest(others):
            return Outcome.WATCHING, {}, 0, "another hub on the same data folder does it"
        try:
            inventory = await self._spawner.inventory()
        except EngineSilent as error:
            log.warning("not reconciled: %s", error.message)
            return Outcome.SILENT, {}, len(self._suspicions), error.message
        with_folder = await asyncio.to_thread(self._folders.list_runs)
        async with self._store.reading() as unit:
            workspaces = await unit.workspaces.list()  # after the others: rows are written before anything is made
            rows = await unit.kernels.list() if kernels else []
        moving = [workspace.id for workspace in workspaces if self._workspaces.is_moving(workspace.id)]
        probes = [name for name in {*with_folder, *(o.workspace_id for o in inventory)} if probe_began_at(name)]
        found = compare(workspaces, inventory, with_folder, moving=moving, is_probe=probes, scratch=SCRATCH_PREFIX)
        held = self._brake(workspaces, found)
        self._suspicions.begin()
        done = await self._act([each for each in found if each.kind is not held and self._is_due(each, others)], others)
        if kernels:
            running = [each for each in workspaces if each.state is WorkspaceState.RUNNING and each.id not in moving]
            patience = self.patiences.kernels
            done |= await self._kernels.round(running, rows, self._suspicions, patience)
            await asyncio.to_thread(self._folders.remove_stale_drafts)
        waiting = self._suspicions.end()
        if held is not None:
            return Outcome.HELD, done, waiting, "most containers belong to no workspace: is this the right database?"
        return Outcome.DONE, done, waiting, ""

    def _look_for_others(self) -> list[str]:
        self._hubs.join()
        return self._hubs.others()

    def _brake(self, workspaces: list[Workspace], found: list[Difference]) -> Kind | None:
        """Containers without an owner are not ended where nearly all are so: the database must be another one."""
        unowned = sum(each.kind is Kind.UNOWNED_CONTAINER for each in found)
        owned = sum(each.state is WorkspaceState.RUNNING for each in workspaces)
        if unowned and (not workspaces or (unowned > MOST_UNOWNED and unowned > owned)):
            log.error(
                "%d containers of this hub belong to no workspace of its database, and %d do: nothing is ended. Is it "
                "the right database (database_url)?",
                *(unowned, owned),
            )
            return Kind.UNOWNED_CONTAINER
        return None

    def _is_due(self, each: Difference, others: list[str]) -> bool:
        """Whether it is to be acted upon in this round."""
        now, patiences = self._clock.monotonic(), self.patiences
        match each.kind:
            case Kind.FOUND_PAUSED | Kind.FOUND_THAWED:
                return not others or self._suspicions.is_due(each.key, patiences.elsewhere, now)
            case Kind.FOUND_RUNNING | Kind.FOUND_GONE | Kind.UNFINISHED_STOP:
                moves = each.known is not None and each.known.state in IN_TRANSITION
                return not (moves and others) or self._suspicions.is_due(each.key, patiences.elsewhere, now)
            case Kind.LEFTOVER:
                return self._suspicions.is_due(each.key, patiences.leftover, now) and not others
            case Kind.PROBE:
                began_at = probe_began_at(each.subject)
                age = self._clock.now().timestamp() - (began_at or 0.0)
                return age >= LEFTOVER_AGE.total_seconds()
        return self._suspicions.is_due(each.key, patiences.unowned, now)

    async def _act(self, due: list[Difference], others: list[str]) -> dict[Kind, int]:
        """Act on all of them, some at a time; one that fails stands in nobody's way. Gives how many by kind."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(each: Difference) -> bool:
            async with turns:
                try:
                    return await self._settle(each, others)
                except (HubError, OSError) as error:
                    log.warning("%s of %s was not settled yet: %s", each.kind, each.subject, error)
                    return False

        outcomes = await asyncio.gather(*(one(each) for each in due))
        done: dict[Kind, int] = {}
        for each, settled in zip(due, outcomes, strict=True):
            if settled:
                done[each.kind] = done.get(each.kind, 0) + 1
                metrics.RECONCILE_FINDINGS.labels(each.kind).inc()
        return done

    async def _settle(self, each: Difference, others: list[str]) -> bool:
        """Do what one difference asks for, if it is still there. Whether it was."""
        workspace_id = WorkspaceId(each.subject)
        if each.known is not None and each.seen is not None and each.kind in NEWS:
            return await self._take(each.known, each.seen, surely=self._is_quiet and not others)
        match each.kind:
            case Kind.UNFINISHED_STOP:
                reason = (each.known.stop_reason if each.known is not None else None) or _STOPPED_IN_BETWEEN
                return (await self._workspaces.stop(workspace_id, reason)).state is WorkspaceState.STOPPED
            case Kind.LEFTOVER:
                return await self._ending(workspace_id, "a workspace that is stopped", self._workspaces.clear)
            case Kind.PROBE:
                return await self._ending(workspace_id, "a probe of an image", self._probes.remove)
            case Kind.UNOWNED_CONTAINER:
                return await self._ending(workspace_id, "no workspace", self._end_unowned, audited=True)
            case Kind.UNOWNED_FOLDER:
                return await self._ending(workspace_id, "no workspace", self._remove_unowned)
        return False

    async def _take(self, known: Workspace, seen: Observation, *, surely: bool) -> bool:
        """Take in the engine's word. An inventory is a moment old, so the engine is asked again unless all is quiet."""
        fresh = seen if surely else await self._spawner.state(known.id)
        if (fresh.presence is Presence.RUNNING) is not (seen.presence is Presence.RUNNING):
            return False
        if fresh.is_paused is not seen.is_paused:
            return False
        after = await self._workspaces.take(known, fresh)
        reached(Point.RECONCILED_NEWS)
        if after is None:
            return False
        how = "paused" if after.paused_at is not None else after.state
        log.info("workspace %s is %s: %s", known.id, how, fresh.reason or fresh.presence)
        return True

    async def _ending(
        self,
        workspace_id: WorkspaceId,
        whose: str,
        end: Callable[[WorkspaceId], Awaitable[bool]],
        *,
        audited: bool = False,
    ) -> bool:
        reached(Point.RECONCILE_END_BEFORE)
        if not await end(workspace_id):
            return False
        reached(Point.RECONCILE_END_AFTER)
        log.info("removed what %s had left: %s", whose, workspace_id)
        if audited:
            async with self._store.unit() as unit:
                details = {"reason": "it belonged to no workspace"}
                await unit.audit.add(
                    AuditEvent(self._clock.now(), "workspace.unowned_ended", "hub", workspace_id, "", details)
                )
        return True

    async def _end_unowned(self, workspace_id: WorkspaceId) -> bool:
        if not await self._has_no_owner(workspace_id):
            return False
        log.warning("the container of %s belongs to no workspace of this hub: it is ended", workspace_id)
        await self._runner.stop(workspace_id)
        return True

    async def _remove_unowned(self, workspace_id: WorkspaceId) -> bool:
        if not await self._has_no_owner(workspace_id):
            return False
        if (await self._spawner.state(workspace_id)).presence is not Presence.ABSENT:
            return False
        return await self._runner.remove_folder(workspace_id)

    async def _has_no_owner(self, workspace_id: WorkspaceId) -> bool:
        async with self._store.reading() as unit:
            return await unit.workspaces.find(workspace_id) is None
