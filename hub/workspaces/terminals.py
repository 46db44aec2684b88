"""Use cases of terminals: shells in the user's container. Only agents know them; they end with the container."""

from __future__ import annotations

from hub.domain.users import User
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import AgentSilent, NotFound
from hub.workspaces.agents import Agents, ask
from hub.workspaces.service import Workspaces
from proxy.contract.agent import TerminalInfo


class Terminals:
    """Terminals of users, in their workspaces."""

    def __init__(self, workspaces: Workspaces, agents: Agents) -> None:
        self._workspaces = workspaces
        self._agents = agents

    async def list(self, user: User) -> list[TerminalInfo]:
        """The user's terminals; none while the container does not run or cannot be asked."""
        workspace = await self._running(user)
        if workspace is None:
            return []
        try:
            return (await self._agents.status(workspace.id)).terminals
        except AgentSilent:
            return []

    async def create(self, user: User, cwd: str = "") -> TerminalInfo:
        """Open a terminal in `cwd`, a path in the home, starting the workspace first if need be."""
        workspace = await self._workspaces.ensure(user)
        try:
            return await ask(self._agents.client(workspace.id).create_terminal(cwd))
        finally:
            self._agents.forget_status(workspace.id)

    async def get(self, user: User, name: str) -> TerminalInfo:
        """One terminal. Raises NotFound, and AgentSilent when the container cannot be asked."""
        workspace = await self.workspace_of(user, name)
        live = await self._agents.status(workspace.id, max_age=0.0)
        return next(terminal for terminal in live.terminals if terminal.name == name)

    async def delete(self, user: User, name: str) -> None:
        """End a terminal and its shell. Raises NotFound."""
        workspace = await self.workspace_of(user, name)
        try:
            await ask(self._agents.client(workspace.id).delete_terminal(name))
        finally:
            self._agents.forget_status(workspace.id)

    async def workspace_of(self, user: User, name: str) -> Workspace:
        """The workspace that holds a user's terminal, for routing. Raises NotFound, AgentSilent."""
        workspace = await self._running(user)
        if workspace is not None:
            live = await self._agents.status(workspace.id)
            if any(terminal.name == name for terminal in live.terminals):
                return workspace
        raise NotFound(f"Terminal not found: {name}")

    async def _running(self, user: User) -> Workspace | None:
        workspace = await self._workspaces.find(user)
        return workspace if workspace is not None and workspace.state is WorkspaceState.RUNNING else None
