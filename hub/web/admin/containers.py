"""Administrators' pages about running containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hub.domain.ids import WorkspaceId
from hub.domain.kernels import KernelState
from hub.domain.users import User
from hub.domain.workspace import Workspace
from hub.errors import NotFound
from hub.web.admin.page import AdminPage


@dataclass(frozen=True, slots=True)
class RunningPlace:
    """A workspace that is not stopped, whose it is, and how many kernels it has and how many are busy."""

    workspace: Workspace
    owner: User | None
    kernels: int
    busy: int


class ContainersPage(AdminPage):
    """``/hub/admin/containers``: what runs."""

    active = "containers"

    async def get(self) -> None:
        """List the running containers, the longest running first."""
        places = await self._places()
        several = len(self.services.settings.profiles) > 1
        self.show("containers.html", places=places, several=several, done=self.done(), problem="")

    async def _places(self) -> list[RunningPlace]:
        running = await self.services.workspaces.list_running()
        places = []
        async with self.services.store.reading() as unit:
            for workspace in running:
                kernels = await unit.kernels.list_in(workspace.id)
                owner = await unit.users.find(workspace.user_id)
                busy = sum(kernel.state is KernelState.BUSY for kernel in kernels)
                places.append(RunningPlace(workspace, owner, len(kernels), busy))
        return sorted(places, key=_by_start)


class StopContainer(AdminPage):
    """``/hub/admin/containers/<id>/stop``."""

    async def post(self, workspace_id: str) -> None:
        """Stop it, and go back to where the button was."""
        actor = self.identity.user.id
        await self.services.workspaces.stop(WorkspaceId(workspace_id), "stopped by an administrator", actor=actor)
        back = self.field("back", 64)
        if not back:
            self.redirect("/hub/admin/containers?done=stopped")
            return
        try:
            person = await self.services.users.get(back)
        except NotFound:
            self.redirect("/hub/admin?done=stopped")
            return
        self.redirect(f"/hub/admin/users/{quote(person.name, safe='@+')}?done=stopped")


def _by_start(place: RunningPlace) -> Any:
    started = place.workspace.started_at
    return (started is None, started.timestamp() if started else 0.0)
