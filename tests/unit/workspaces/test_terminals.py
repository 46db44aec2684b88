"""Terminals of a user in several containers: which one, under which name, and how one is found again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from hub.config import Profile, Settings
from hub.domain.ids import UserId, WorkspaceId
from hub.domain.users import Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import AgentSilent, NotFound
from hub.workspaces.agents import Live
from hub.workspaces.terminals import Terminals
from proxy.contract.agent import ContainerInfo, TerminalInfo

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA = User(UserId("ada-id"), 1, "ada", Role.USER, NOW)
SETTINGS = Settings(default_profile="base", profiles={"base": Profile(), "r": Profile(), "gpu": Profile()})


@dataclass
class World:
    """Workspaces and agents in memory. `silent`: profiles whose container does not answer."""

    places: dict[str, Workspace] = field(default_factory=dict)
    terminals: dict[str, list[str]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)

    def run(self, profile: str, state: WorkspaceState = WorkspaceState.RUNNING, age: int = 0) -> None:
        limits = Limits(None, None, None)
        started = NOW - timedelta(minutes=age)
        place = Workspace(WorkspaceId(profile), ADA.id, profile, state, "i", limits, started_at=started)
        self.places[profile] = place
        self.terminals.setdefault(profile, [])

    async def list_for(self, user: User) -> list[Workspace]:
        return list(self.places.values())

    async def ensure(self, user: User, profile: str) -> Workspace:
        await asyncio.sleep(0)
        if profile not in self.places or self.places[profile].state is WorkspaceState.STOPPED:
            self.run(profile)
        return self.places[profile]

    async def status(self, workspace_id: WorkspaceId, max_age: float = 2.0) -> Live:
        await asyncio.sleep(0)
        if workspace_id in self.silent:
            raise AgentSilent("It does not answer.")
        return Live(0.0, {}, [TerminalInfo(n, 0.0, 0.0) for n in self.terminals[workspace_id]], ContainerInfo())

    def forget_status(self, workspace_id: WorkspaceId) -> None:
        pass

    def client(self, workspace_id: WorkspaceId) -> Any:
        world = self

        class Client:
            async def create_terminal(self, cwd: str, name: str) -> TerminalInfo:
                await asyncio.sleep(0)
                world.terminals[workspace_id].append(name)
                return TerminalInfo(name, 0.0, 0.0)

            async def delete_terminal(self, name: str) -> None:
                world.terminals[workspace_id].remove(name)

        return Client()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def terminals(world: World) -> Terminals:
    part = cast(Any, world)
    return Terminals(SETTINGS, part, part)


async def test_a_terminal_is_in_the_default_container_which_is_started_for_it(
    world: World, terminals: Terminals
) -> None:
    await terminals.create(ADA)
    assert world.terminals == {"base": ["1"]}


async def test_a_terminal_is_where_the_work_is_if_only_other_containers_run(world: World, terminals: Terminals) -> None:
    world.run("base", WorkspaceState.STOPPED)
    world.run("r", age=1)
    world.run("gpu", age=9)
    await terminals.create(ADA)
    assert world.terminals == {"base": [], "r": ["1"], "gpu": []}


@pytest.mark.parametrize("state", [WorkspaceState.RUNNING, WorkspaceState.STARTING])
async def test_the_default_container_is_taken_as_soon_as_it_is_not_stopped(
    world: World, terminals: Terminals, state: WorkspaceState
) -> None:
    world.run("base", state)
    world.run("r")
    await terminals.create(ADA)
    assert world.terminals["base"] == ["1"]


async def test_a_profile_that_is_no_more_is_no_place_for_a_new_terminal(world: World, terminals: Terminals) -> None:
    world.run("removed")
    await terminals.create(ADA)
    assert world.terminals == {"removed": [], "base": ["1"]}


async def test_names_are_unique_across_containers_also_when_tabs_open_terminals_at_once(
    world: World, terminals: Terminals
) -> None:
    world.run("base")
    world.run("r")
    await asyncio.gather(*(terminals.create(ADA, profile=p) for p in ("base", "r", "base", "r")))
    assert sorted(world.terminals["base"] + world.terminals["r"]) == ["1", "2", "3", "4"]
    assert [terminal.name for terminal in await terminals.list(ADA)] == ["1", "2", "3", "4"]


async def test_a_terminal_is_found_and_ended_in_the_container_that_has_it(world: World, terminals: Terminals) -> None:
    world.run("base")
    await terminals.create(ADA)
    await terminals.create(ADA, profile="r")
    assert (await terminals.workspace_of(ADA, "2")).profile == "r"
    assert (await terminals.get(ADA, "1")).name == "1"
    await terminals.delete(ADA, "2")
    assert world.terminals == {"base": ["1"], "r": []}
    with pytest.raises(NotFound):
        await terminals.get(ADA, "2")


async def test_a_silent_container_hides_no_other_ones_terminals_and_nothing_is_said_to_be_gone(
    world: World, terminals: Terminals
) -> None:
    world.run("base")
    await terminals.create(ADA, profile="r")
    world.silent.add("base")
    assert [terminal.name for terminal in await terminals.list(ADA)] == ["1"]
    assert (await terminals.workspace_of(ADA, "1")).profile == "r"
    with pytest.raises(AgentSilent):
        await terminals.workspace_of(ADA, "7")
