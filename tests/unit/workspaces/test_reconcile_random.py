"""Random lives of hubs, engines, agents and people: what runs is what the database says, whatever happened before.

In the suite some hundred steps, the same ones each time; ``RANDOM_STEPS=10000`` walks as many (``make faults``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from hub.domain.ids import WorkspaceId
from hub.domain.users import User
from hub.errors import HubError
from hub.spawn.protocol import Presence
from hub.store.engine import Store
from proxy.kit.clock import ManualClock
from tests.conftest import sqlite_url
from tests.unit.workspaces.reconcile_world import HubDied, World

T = TypeVar("T")
STEPS = int(os.environ.get("RANDOM_STEPS") or (10_000 if os.environ.get("FAULTS") == "full" else 200))
STEPS_EACH = 25
NAMES = st.sampled_from(["ada", "ben", "eve"])
FAULTS = st.sampled_from(["", "", "", "lost", "before", "after"])
_migrated: list[Path] = []


class Lives(RuleBasedStateMachine):
    """`expected` are the containers and kernels that nobody ended: they must be there at every moment."""

    def __init__(self) -> None:
        super().__init__()
        shm = Path("/dev/shm")  # where syncing costs nothing
        self.folder = Path(tempfile.mkdtemp(prefix="kh-", dir=shm if shm.is_dir() else None))
        shutil.copy(_migrated[0], self.folder / "kernelhub.db")
        self.loop = asyncio.new_event_loop()
        self.store = Store(sqlite_url(self.folder / "kernelhub.db"))
        self.clock = ManualClock()
        self.expected: dict[str, set[str]] = {}
        self.renamed: dict[str, str] = {}

    @initialize()
    def begin(self) -> None:
        async def make() -> World:
            return World(self.store, self.clock, self.folder)

        self.world = self.run(make())
        self.run(self.world.restart())

    def run(self, what: Awaitable[T]) -> T:
        return self.loop.run_until_complete(self._patiently(what))

    @staticmethod
    async def _patiently(what: Awaitable[T]) -> T:
        return await what

    # ---- what people do, with an engine that may lose its answer or take the hub along

    @rule(name=NAMES, fault=FAULTS)
    def start(self, name: str, fault: str) -> None:
        self.world.spawner.next_fault = fault
        self.perform(self.start_for(name))

    @rule(name=NAMES, fault=FAULTS)
    def stop(self, name: str, fault: str) -> None:
        self.world.spawner.next_fault = fault
        self.perform(self.stop_for(name))

    @rule(name=NAMES, fault=FAULTS)
    def start_a_kernel(self, name: str, fault: str) -> None:
        self.perform(self.start_for(name))
        self.world.agents.next_fault = fault
        self.perform(self.kernel_for(name))

    @rule(name=NAMES, fault=FAULTS)
    def shut_a_kernel(self, name: str, fault: str) -> None:
        self.world.agents.next_fault = fault
        self.perform(self.shut_for(name))

    @rule(name=NAMES, fault=FAULTS)
    def delete_the_user(self, name: str, fault: str) -> None:
        self.world.spawner.next_fault = fault
        self.perform(self.delete(name))

    @rule(name=NAMES, fault=FAULTS)
    def pause(self, name: str, fault: str) -> None:
        self.clock.advance(timedelta(seconds=6))  # nobody has asked for it lately
        self.world.spawner.next_fault = fault
        self.perform(self.pause_for(name))

    @rule(name=NAMES, fault=FAULTS)
    def thaw(self, name: str, fault: str) -> None:
        self.world.spawner.next_fault = fault
        self.perform(self.thaw_for(name))

    @rule(name=NAMES, is_paused=st.booleans())
    def somebody_pauses_or_thaws_by_hand(self, name: str, is_paused: bool) -> None:
        workspace_id = self.run(self.workspace_of(name))
        seen = self.world.spawner.containers.get(workspace_id)
        if seen is not None and seen.presence is Presence.RUNNING:
            self.world.spawner.containers[workspace_id] = replace(seen, is_paused=is_paused)

    @rule(name=NAMES)
    def rename_the_user(self, name: str) -> None:
        self.perform(self.rename(name))

    # ---- what happens by itself

    @rule()
    def the_hub_dies(self) -> None:
        self.run(self.world.restart())

    @rule(name=NAMES)
    def a_container_ends(self, name: str) -> None:
        workspace_id = self.run(self.workspace_of(name))
        if workspace_id in self.world.spawner.containers:
            self.world.spawner.end(workspace_id)
            self.expected.pop(workspace_id, None)

    @rule(name=NAMES)
    def a_kernel_is_lost(self, name: str) -> None:
        """The agent has forgotten it, as one does that was started anew in its container."""
        workspace_id = self.run(self.workspace_of(name))
        with contextlib.suppress(HubError):
            kernels = self.world.agents.of(workspace_id)
            for kernel_id in list(kernels)[:1]:
                del kernels[kernel_id]
                self.expected.get(workspace_id, set()).discard(kernel_id)

    @rule(silent=st.booleans())
    def the_engine_falls_silent_or_speaks(self, silent: bool) -> None:
        self.world.spawner.silent = silent

    @rule(name=NAMES)
    def an_agent_falls_silent_or_speaks(self, name: str) -> None:
        self.world.agents.silent ^= {self.run(self.workspace_of(name))}

    @rule(rounds=st.integers(1, 4), seconds=st.sampled_from([15.0, 60.0]))
    def time_passes(self, rounds: int, seconds: float) -> None:
        self.perform(self.world.rounds(rounds, seconds))

    @rule(hours=st.sampled_from([-24, -1, 1, 24]))
    def the_clock_jumps(self, hours: int) -> None:
        self.clock.jump(timedelta(hours=hours))

    @rule()
    def all_is_quiet_for_a_while(self) -> None:
        """Then everything is in order."""
        self.world.spawner.silent, self.world.agents.silent = False, set()
        self.world.spawner.next_fault = self.world.agents.next_fault = ""
        self.run(self.world.rounds(12))
        self.run(self.world.require_order())

    # ---- what holds always

    @invariant()
    def nobody_loses_what_runs(self) -> None:
        if not hasattr(self, "world"):
            return
        for workspace_id, kernels in self.expected.items():
            seen = self.world.spawner.containers.get(WorkspaceId(workspace_id))
            assert seen is not None and seen.presence is Presence.RUNNING, "a container was ended that nobody ended"
            there = set(self.world.agents.kernels.get(str(seen.container_id), {}))
            assert kernels <= there, "a kernel was ended that nobody ended"

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.all_is_quiet_for_a_while()
                self.nobody_loses_what_runs()
                self.run(self.world.close())
        finally:
            self.run(self.store.close())
            self.loop.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- the steps

    def perform(self, step: Awaitable[object]) -> None:
        """One step, which may be refused, or may be the hub's last."""
        try:
            self.run(step)
        except HubDied:
            self.run(self.world.restart())
        except HubError:
            pass

    async def who(self, name: str) -> User:
        return await self.world.user(self.renamed.get(name, name))

    async def workspace_of(self, name: str) -> WorkspaceId:
        found = await self.world.hub.workspaces.find(await self.who(name))
        return WorkspaceId("none") if found is None else found.id

    async def start_for(self, name: str) -> None:
        workspace = await self.world.hub.workspaces.ensure(await self.who(name))
        self.expected.setdefault(workspace.id, set())

    async def stop_for(self, name: str) -> None:
        workspace_id = await self.workspace_of(name)
        self.expected.pop(workspace_id, None)
        await self.world.hub.workspaces.stop(workspace_id, "its user asked for it")

    async def pause_for(self, name: str) -> None:
        await self.world.hub.freezer.pause(await self.workspace_of(name), timedelta(0))

    async def thaw_for(self, name: str) -> None:
        await self.world.hub.freezer.thaw(await self.workspace_of(name), "message")

    async def kernel_for(self, name: str) -> None:
        model = await self.world.hub.kernels.start(await self.who(name), None)
        self.expected.setdefault(model.kernel.workspace_id, set()).add(model.kernel.id)

    async def shut_for(self, name: str) -> None:
        user = await self.who(name)
        for model in (await self.world.hub.kernels.list(user))[:1]:
            self.expected.get(model.kernel.workspace_id, set()).discard(model.kernel.id)
            await self.world.hub.kernels.shutdown(user, model.kernel.id)

    async def delete(self, name: str) -> None:
        user = await self.who(name)
        self.expected.pop(await self.workspace_of(name), None)
        await self.world.hub.workspaces.stop_all(user, "the account is being deleted")
        async with self.store.unit() as unit:
            await unit.users.delete(user.id)

    async def rename(self, name: str) -> None:
        user = await self.who(name)
        number = int(user.name.partition("-")[2] or "0") + 1
        async with self.store.unit() as unit:
            await unit.users.save(_renamed(user, f"{name}-{number}"))
        self.renamed[name] = f"{name}-{number}"


def _renamed(user: User, name: str) -> User:
    return replace(user, name=name)


def test_whatever_happens_what_runs_is_what_the_database_says(migrated_sqlite: Path) -> None:
    _migrated[:] = [migrated_sqlite]
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=max(1, STEPS // STEPS_EACH),
            stateful_step_count=STEPS_EACH,
            deadline=None,
            derandomize=STEPS <= 1000,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
