"""``api/terminals``: shells in the user's container. Their WebSocket is the proxy's."""

from __future__ import annotations

from hub.jupyter.handler import JupyterHandler
from hub.jupyter.kernels import optional_text
from hub.jupyter.models import terminal_model
from hub.workspaces.profiles import profiles_of, within_home


class TerminalsHandler(JupyterHandler):
    """The user's terminals."""

    async def get(self, _name: str) -> None:
        """List them; front ends ask every few seconds."""
        now = self.services.clock.now()
        self.write_json([terminal_model(t, now) for t in await self.services.terminals.list(self.user)])

    async def post(self, _name: str) -> None:
        """Open one, in the folder `cwd` of the home and the container of the profile `profile` if they are given."""
        body = self.json_body() or {}
        cwd = optional_text(body, "cwd") or ""
        inside = within_home(profiles_of(self.services.running, self.user), cwd)
        folder = (cwd if inside is None else inside).strip("/")
        terminal = await self.services.terminals.create(self.user, folder, optional_text(body, "profile", 64))
        self.write_json(terminal_model(terminal, self.services.clock.now()))


class TerminalHandler(JupyterHandler):
    """One terminal."""

    async def get(self, _name: str, terminal: str) -> None:
        """Its model."""
        found = await self.services.terminals.get(self.user, terminal)
        self.write_json(terminal_model(found, self.services.clock.now()))

    async def delete(self, _name: str, terminal: str) -> None:
        """End it and what runs in it."""
        await self.services.terminals.delete(self.user, terminal)
        self.write_nothing()
