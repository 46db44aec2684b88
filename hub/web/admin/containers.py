"""What people in charge do to running containers and kernels: interrupt, restart, stop."""

from __future__ import annotations

from urllib.parse import quote

from hub.domain.audit import AuditEvent
from hub.domain.ids import KernelId, UserId, WorkspaceId, new_id
from hub.domain.messages import LIFETIMES, Message
from hub.domain.scopes import Scope
from hub.errors import NotFound
from hub.http.permitted import Over
from hub.web.admin.page import AdminPage
from hub.web.live_stream import LiveAction
from hub.web.notices import announce


class OldContainersPage(AdminPage):
    """``/hub/admin/containers``: where containers were listed before; the page "Now" shows them."""

    def get(self) -> None:
        """Redirect."""
        self.redirect("/hub/admin")


class StopContainer(LiveAction, AdminPage):
    """``/hub/admin/containers/<id>/stop``."""

    permission = Scope.DELETE_SERVERS
    over = Over.SOME

    async def post(self, workspace_id: str) -> None:
        """Stop it, and go back to where the button was. Raises NotFound."""
        actor = self.identity.user.id
        async with self.services.store.reading() as unit:
            workspace = await unit.workspaces.find(WorkspaceId(workspace_id))
        if workspace is None:
            raise NotFound("There is no such container.")
        await self.require(Scope.DELETE_SERVERS, user=workspace.user_id)
        await self.services.workspaces.stop(WorkspaceId(workspace_id), self.why_stopped(), actor=actor)
        if workspace.user_id != actor:
            await self._tell_owner(workspace.user_id)
        self.tell_done("The container was stopped.", await self._back())

    async def _tell_owner(self, owner: UserId) -> None:
        """Say it where the owner works: a kernel that is gone without a word looks like a fault."""
        now, sender = self.services.clock.now(), self.identity.user
        text = f"Your container was {self.why_stopped()}. Files are kept; running code and variables are gone."
        message = Message(new_id(), owner, sender.id, sender.name, text, now, now + LIFETIMES["1h"])
        async with self.services.store.unit() as unit:
            await unit.messages.add([message])
        announce(self.services, owner)

    async def _back(self) -> str:
        back = self.field("back", 64)
        if not back:
            return "/hub/admin?done=stopped"
        try:
            person = await self.services.users.get(back)
        except NotFound:
            return "/hub/admin?done=stopped"
        return f"/hub/admin/users/{quote(person.name, safe='@+')}?done=stopped"


class KernelAction(LiveAction, AdminPage):
    """``/hub/admin/users/<name>/kernels/<id>/<action>``: interrupt, restart or stop somebody's kernel."""

    permission = Scope.DELETE_SERVERS
    over = Over.USER

    async def post(self, name: str, kernel_id: str, action: str) -> None:
        """Do it. Raises NotFound unless it is a kernel of that user."""
        person, actor = await self.services.users.get(name), self.identity.user
        kernels = self.services.kernels
        if action == "stop":
            kernel = await kernels.row(person, KernelId(kernel_id))
            await kernels.end(kernel, f"stopped by {actor.name}, who is in charge", actor=actor.id)
            self.tell_done("The kernel was stopped.", "/hub/admin?done=kernel-stopped")
            return
        await (kernels.interrupt if action == "interrupt" else kernels.restart)(person, KernelId(kernel_id))
        done = f"{action}ed"
        async with self.services.store.unit() as unit:
            details = {"user": person.id}
            now = self.services.clock.now()
            await unit.audit.add(AuditEvent(now, f"kernel.{done}", actor.id, kernel_id, self.address, details))
        self.tell_done(f"The kernel was {done}.", f"/hub/admin?done=kernel-{done}")
