"""``/hub/api/users/<name>/server`` and ``…/servers/<profile>``: the user's workspace of a profile."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Mapping
from contextlib import aclosing
from typing import ClassVar
from urllib.parse import quote

import msgspec
import tornado.iostream

from hub.auth.arrivals import is_barred
from hub.domain.scopes import Scope
from hub.domain.workspace import Workspace, WorkspaceState
from hub.errors import BadRequest, Conflict, NotFound
from hub.http.handler import Over
from hub.web.api.models import ProgressEvent, StartServer, StopServer
from hub.web.api.users import UsersHandler
from hub.workspaces.profiles import profiles_of
from hub.workspaces.progress import Phase, StartKey, Step

BREATH_SECONDS = 8.0
"""A stream that says nothing for so long is kept open by an empty line."""
LONGEST_STREAM_SECONDS = 900.0


class ServerHandler(UsersHandler):
    """Base of what concerns one workspace."""

    over = Over.USER

    def profile(self, name: str, wanted: str | None = None) -> str:
        """The profile that a server's name means: the default one for none, unless `wanted` says another.

        Raises NotFound for one that the user may not use or that does not exist.
        """
        profiles = profiles_of(self.services.running, self.user)
        chosen = name or wanted or self.services.running.default_profile
        if chosen not in profiles:
            raise NotFound(f"There is no profile {chosen[:64]!r}; there are {', '.join(profiles)}.")
        return chosen

    async def find(self, profile: str) -> Workspace | None:
        """The user's workspace of a profile, None if there never was one."""
        return await self.services.workspaces.find(self.user, profile)


class Server(ServerHandler):
    """One workspace."""

    permission: ClassVar[Mapping[str, Scope]] = {
        "GET": Scope.READ_SERVERS,
        "POST": Scope.START_SERVERS,
        "PUT": Scope.START_SERVERS,
        "PATCH": Scope.START_SERVERS,
        "DELETE": Scope.DELETE_SERVERS,
    }

    async def get(self, _name: str, server: str = "") -> None:
        """The server, also one that does not run. Raises NotFound for one that never ran."""
        workspace = await self.find(self.profile(server))
        if workspace is None:
            raise NotFound("This server was never started.")
        self.write_json(self.view.server(self.user, workspace))

    async def post(self, _name: str, server: str = "") -> None:
        """Start it: 201 if it runs, else 202, and its progress says when it is ready.

        Which profile is in the name, or for the server without one in `user_options.profile`. Other options are for
        JupyterHub's spawners and mean nothing here.
        """
        options = self.body(StartServer)
        wanted = options.profile or options.user_options.get("profile")
        if wanted is not None and not isinstance(wanted, str):
            raise BadRequest("user_options.profile must be the name of a profile.")
        profile = self.profile(server, wanted)
        workspace = await self.find(profile)
        if workspace is not None and workspace.state is WorkspaceState.RUNNING:
            self.set_status(201)
            return
        if is_barred(self.user):
            raise Conflict(f"{self.user.name} is disabled; nothing of theirs starts.")
        self.services.workspaces.ensure_soon(self.user, profile)
        self.set_status(202)

    async def put(self, _name: str, server: str = "") -> None:
        """JupyterHub's creating without starting: nothing has to be created here, so 200, and the server as it is."""
        workspace = await self.find(self.profile(server))
        self.write_json({} if workspace is None else self.view.server(self.user, workspace))

    async def patch(self, _name: str, server: str = "") -> None:
        """Options of the next start: the profile is the server's name, so there is only that one to confirm."""
        wanted = self.body(StartServer).user_options.get("profile")
        profile = self.profile(server)
        if wanted is not None and wanted != profile:
            raise BadRequest(f"user_options.profile: this server is of the profile {profile!r}; start another server.")
        workspace = await self.find(profile)
        self.write_json({} if workspace is None else self.view.server(self.user, workspace))

    async def delete(self, _name: str, server: str = "") -> None:
        """Stop it (204); the user's other workspaces go on."""
        self.body(StopServer)
        user, actor = self.user, self.identity.user
        reason = "stopped by its user" if actor.id == user.id else "stopped by an administrator"
        workspace = await self.find(self.profile(server))
        if workspace is not None and workspace.state is not WorkspaceState.STOPPED:
            await self.services.workspaces.stop(workspace.id, reason, actor=actor.id)
        self.set_status(204)


class ServerProgress(ServerHandler):
    """``…/progress``: how far a start is, as server-sent events in JupyterHub's words."""

    permission = Scope.READ_SERVERS

    async def get(self, _name: str, server: str = "") -> None:
        """One event for each step, and nothing after the one with `ready` or `failed`.

        Raises BadRequest, as JupyterHub does, where nothing is being started.
        """
        profile = self.profile(server)
        key = StartKey(self.user.id, profile)
        workspace = await self.find(profile)
        step = self.services.workspaces.progress.find(key)
        under_way = step is not None and not step.has_ended
        if workspace is not None and workspace.state is WorkspaceState.RUNNING and not under_way:
            await self._begin_stream()
            await self._send(Step(Phase.READY, "Your container is ready."))
        elif step is None or (step.phase is Phase.READY):
            raise BadRequest("This server is not being started.")
        else:
            with self.limits.stream(self.identity.user.id):
                await self._begin_stream()
                await self._tell(key)

    async def _tell(self, key: StartKey) -> None:
        steps = self.services.workspaces.progress.follow(key)
        async with aclosing(steps), asyncio.timeout(LONGEST_STREAM_SECONDS):
            following = asyncio.ensure_future(anext(steps, None))
            try:
                while True:
                    done, _ = await asyncio.wait([following], timeout=BREATH_SECONDS)
                    if not done:
                        self.write(":\n\n")
                        await self.flush()
                        continue
                    step = following.result()
                    if step is None:
                        return
                    await self._send(step)
                    following = asyncio.ensure_future(anext(steps, None))
            except tornado.iostream.StreamClosedError:
                return
            finally:
                following.cancel()

    async def _begin_stream(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")

    async def _send(self, step: Step) -> None:
        url = self.view_path() if step.phase is Phase.READY else None
        message = f"Server ready at {url}" if url else step.message
        event = ProgressEvent(
            progress=step.percent,
            message=message,
            html_message=f'Server ready at <a href="{html.escape(url)}">{html.escape(url)}</a>' if url else None,
            ready=step.phase is Phase.READY,
            failed=step.phase is Phase.FAILED,
            url=url,
            phase=step.phase.value,
            position=step.position if step.phase is Phase.QUEUED else None,
        )
        self.write(b"data: " + msgspec.json.encode(event) + b"\n\n")
        await self.flush()

    def view_path(self) -> str:
        """Where the user's interface is."""
        return f"/user/{quote(self.user.name, safe='@+')}/"
