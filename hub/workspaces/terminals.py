"""Use cases of terminals: shells in the user's containers. Only agents know them; they end with their container.

A user's terminals are one list for front ends, whichever containers they are in, so their names are chosen here and
none is given twice.
"""

from __future__ import annotations

import asyncio
import builtins
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from hub.config import Settings
from hub.domain.ids import UserId
from hub.domain.users import User
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import AgentSilent, Conflict, EngineSilent, NotFound
from hub.workspaces.agents import Agents, Live, ask
from hub.workspaces.profiles import ProfileSource, profiles_of
from hub.workspaces.service import Workspaces
from proxy.contract.agent import TerminalInfo

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Terminals:
    """Terminals of users, in their workspaces."""

    def __init__(self, profiles: Settings | ProfileSource, workspaces: Workspaces, agents: Agents) -> None:
        self._profiles = profiles
        self._workspaces = workspaces
        self._agents = agents
        self._opening: WeakValueDictionary[UserId, asyncio.Lock] = WeakValueDictionary()

    async def list(self, user: User) -> list[TerminalInfo]:
        """The user's terminals; none of a container that does not run or cannot be asked."""
        found: dict[str, TerminalInfo] = {}
        for workspace in await self._running(user):
            try:
                live = await self._status(workspace, 2.0)
            except (AgentSilent, EngineSilent, Conflict):
                continue
            for terminal in live.terminals:
                found.setdefault(terminal.name, terminal)
        return sorted(found.values(), key=lambda terminal: (len(terminal.name), terminal.name))

    async def create(self, user: User, cwd: str = "", profile: str | None = None) -> TerminalInfo:
        """Open a terminal in `cwd`, a path in the home, starting its workspace first if need be.

        `profile` None means the default profile's workspace, unless only others run: then it is in the one that was
        started last, where the user's work is. Raises what `Workspaces.ensure` raises.
        """
        workspace = await self._workspaces.ensure(user, profile or await self._profile_in_use(user))
        async with self._one_at_a_time(user):
            taken = {terminal.name for terminal in await self.list(user)}
            name = next(str(number) for number in itertools.count(1) if str(number) not in taken)
            try:
                return await ask(self._agents.client(workspace.id).create_terminal(cwd, name))
            finally:
                self._agents.forget_status(workspace.id)

    async def get(self, user: User, name: str) -> TerminalInfo:
        """One terminal. Raises NotFound, and AgentSilent when its container cannot be asked."""
        return (await self._find(user, name, max_age=0.0))[1]

    async def delete(self, user: User, name: str) -> None:
        """End a terminal and its shell. Raises NotFound."""
        workspace = await self.workspace_of(user, name)
        try:
            await ask(self._agents.client(workspace.id).delete_terminal(name))
        finally:
            self._agents.forget_status(workspace.id)

    async def workspace_of(self, user: User, name: str) -> Workspace:
        """The workspace that holds a user's terminal, for routing. Raises NotFound, AgentSilent."""
        return (await self._find(user, name))[0]

    async def _find(self, user: User, name: str, max_age: float = 2.0) -> tuple[Workspace, TerminalInfo]:
        silent: AgentSilent | EngineSilent | None = None
        for workspace in await self._running(user):
            try:
                live = await self._status(workspace, max_age)
            except (AgentSilent, EngineSilent) as error:
                silent = error
                continue
            for terminal in live.terminals:
                if terminal.name == name:
                    return workspace, terminal
        if silent is not None:
            raise silent
        raise NotFound(f"Terminal not found: {name}")

    async def _status(self, workspace: Workspace, max_age: float) -> Live:
        """What is known of a container. One that is paused goes on if no agent has told of its terminals yet."""
        live = await self._agents.status(workspace.id, max_age)
        if live.is_told:
            return live
        await self._agents.wake(workspace.id)
        return await self._agents.status(workspace.id, 0.0)

    async def _profile_in_use(self, user: User) -> str:
        default, *others = profiles_of(self._profiles, user)
        found = {workspace.profile: workspace for workspace in await self._workspaces.list_for(user)}
        if default in found and found[default].state is not WorkspaceState.STOPPED:
            return default
        running = [found[name] for name in others if name in found and found[name].state is WorkspaceState.RUNNING]
        latest = max(running, key=lambda workspace: workspace.started_at or _LONG_AGO, default=None)
        return default if latest is None else latest.profile

    async def _running(self, user: User) -> builtins.list[Workspace]:
        found = await self._workspaces.list_for(user)
        return [workspace for workspace in found if workspace.state is WorkspaceState.RUNNING]

    @asynccontextmanager
    async def _one_at_a_time(self, user: User) -> AsyncIterator[None]:
        """Two tabs that open terminals at once must not choose the same name."""
        lock = self._opening.setdefault(user.id, asyncio.Lock())
        async with lock:
            yield
