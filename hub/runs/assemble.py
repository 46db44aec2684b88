"""Puts the parts of runs together."""

from __future__ import annotations

from dataclasses import dataclass

from hub.config import Settings
from hub.contents.service import ContentsOfUsers
from hub.domain.runs import RunKind
from hub.runs.hidden_state import HiddenStates
from hub.runs.running import Running
from hub.runs.scratch import Scratches
from hub.runs.service import Runs
from hub.runs.verifications import Verifications
from hub.runs.verifying import Glance, Verifying
from hub.spawn.folders import Folders
from hub.spawn.protocol import Spawner
from hub.store.engine import Store
from hub.workspaces.agents import Agents
from hub.workspaces.kernels import Kernels
from hub.workspaces.kernelspecs import Kernelspecs
from proxy.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class RunParts:
    """Runs, verifications and hidden states; `runs` is closed by who made them."""

    runs: Runs
    verifications: Verifications
    hidden_states: HiddenStates

    async def resume(self) -> None:
        """Go on with what a hub before this one began, and remove what it left."""
        await self.runs.resume()
        await self.verifications.sweep()


def make_runs(
    settings: Settings,
    store: Store,
    spawner: Spawner,
    folders: Folders,
    agents: Agents,
    kernels: Kernels,
    kernelspecs: Kernelspecs,
    contents: ContentsOfUsers,
    glance: Glance,
    clock: Clock,
) -> RunParts:
    """Everybody's runs and verifications."""
    scratches = Scratches(settings, spawner, folders, agents, contents)
    running = Running(store, agents, kernels, contents, clock)
    verifying = Verifying(settings, scratches, agents, kernelspecs, contents, glance, clock)
    runs = Runs(store, kernelspecs, contents, {RunKind.RUN: running, RunKind.VERIFY: verifying}, clock)
    verifications = Verifications(store, runs, contents, glance, scratches)
    return RunParts(runs, verifications, HiddenStates(store, agents, contents))
