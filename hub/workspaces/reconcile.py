"""Reconciliation: what the database says against what the engine says.

Positive answers only: a container that the engine lists as running is running, one that it does not list is
gone. When the engine is silent nothing changes. A container that carries this hub's label but is unknown to
the database is reported, never touched, unless a probe of an image left it behind.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import EngineSilent, HubError
from hub.spawn.protocol import Observation, Presence, Spawner
from hub.store.engine import Store
from hub.workspaces.probes import Probes, probe_began_at
from hub.workspaces.service import Workspaces

log = logging.getLogger(__name__)

SCRATCH_PREFIX = "verify-"
"""The ids of throw-away containers begin so: those of no workspace, in which notebooks are verified."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What differs: words of the engine to take in, and containers that nobody owns."""

    news: list[Observation]
    unowned: list[Observation]


def compare(workspaces: list[Workspace], inventory: list[Observation]) -> Findings:
    """The differences between the database and the engine. Workspaces in transition are left to who moves them."""
    listed = {seen.workspace_id: seen for seen in inventory}
    known = {workspace.id for workspace in workspaces}
    news = []
    for workspace in workspaces:
        seen = listed.get(workspace.id) or Observation(workspace.id, Presence.ABSENT)
        running = seen.presence is Presence.RUNNING
        differs = {
            WorkspaceState.STOPPED: running,
            WorkspaceState.RUNNING: not running,
            WorkspaceState.UNKNOWN: True,
            WorkspaceState.STARTING: True,
            WorkspaceState.STOPPING: not running,
        }[workspace.state]
        if differs:
            news.append(seen)
    return Findings(news, [seen for seen in inventory if seen.workspace_id not in known])


class Reconciler:
    """Takes the engine's inventory into the database."""

    def __init__(self, store: Store, spawner: Spawner, workspaces: Workspaces, probes: Probes) -> None:
        self._store = store
        self._spawner = spawner
        self._workspaces = workspaces
        self._probes = probes

    async def run_once(self) -> Findings | None:
        """Compare and take in the differences; None when the engine did not answer."""
        try:
            inventory = await self._spawner.inventory()
        except EngineSilent as error:
            log.warning("not reconciled: %s", error.message)
            return None
        async with self._store.reading() as unit:
            workspaces = await unit.workspaces.list()
        findings = compare(workspaces, inventory)
        for seen in findings.news:
            after = await self._workspaces.observe(seen)
            if after is not None:
                log.info("workspace %s is %s: %s", seen.workspace_id, after.state, seen.reason or seen.presence)
        for seen in findings.unowned:
            if probe_began_at(seen.workspace_id) is not None:
                await self._remove_probe(seen)
                continue
            if seen.workspace_id.startswith(SCRATCH_PREFIX):
                continue  # hub.runs.scratch looks after these
            log.warning("container %s belongs to no workspace of this hub; it is left alone", seen.container_id)
        return findings

    async def _remove_probe(self, seen: Observation) -> None:
        """Remove a probe's container that was left behind; one that may be under way is left alone."""
        try:
            if await self._probes.remove(seen.workspace_id):
                log.info("removed container %s, which a probe of an image had left", seen.container_id)
        except (HubError, OSError) as error:
            log.warning("container %s of a probe was not removed: %s", seen.container_id, error)
