"""What only the hub's own processes ask: routes of WebSockets, activity of proxies, thaws, the supervisor's welcome.

A request here carries the internal token (checked by `HubHandler`), and never comes from outside: proxies
answer 404 to ``/internal/`` themselves.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from hub.auth.identity import Credential
from hub.config import Settings
from hub.domain.ids import SignInId, TokenId, WorkspaceId
from hub.domain.scopes import Scope
from hub.errors import Forbidden, HubError, NotFound, Unavailable
from hub.http.access_log import shown_path
from hub.http.cors import check_socket_origin
from hub.http.handler import Access, HubHandler
from hub.http.services import Services
from hub.web.socket_paths import KernelSocket, TerminalSocket, parse_socket_path
from hub.welcome import Welcome
from proxy.contract.activity import ActivityAnswer, ActivityReport
from proxy.contract.ends import EndsQuestion
from proxy.contract.route import KernelRoute, Refusal, RouteAnswer, RouteQuestion, TerminalRoute
from proxy.contract.thaw import ThawAnswer, ThawQuestion

SESSION_CHARACTERS = 128
"""As much of a front end's own name as proxies report."""


class InternalHandler(HubHandler):
    """Base: anyone who has the internal token, which no browser ever sends."""

    access = Access.PUBLIC
    csrf_exempt = True

    @classmethod
    def body_limit(cls, settings: Settings) -> int:
        """A report of ten thousand connections fits."""
        return 8 * 1024 * 1024


class RouteHandler(InternalHandler):
    """``POST /internal/route``: may this WebSocket be opened, and where does it lead?"""

    async def post(self) -> None:
        """Answer a `RouteQuestion` with a route, or with a refusal and its HTTP status."""
        self.write_json(await answer_route(self.services, self.body(RouteQuestion)))


class ActivityHandler(InternalHandler):
    """``POST /internal/activity``: what a proxy holds open, answered by what it has to close."""

    async def post(self) -> None:
        """Take an `ActivityReport`, answer an `ActivityAnswer`."""
        report = self.body(ActivityReport)
        services = self.services
        services.connections.report(report)
        if report.ended:
            await services.results.note_ended(report.ended)
        held = {connection.principal for connection in report.connections}
        live: set[str] = set()
        if held:
            live |= await services.sign_ins.live({SignInId(principal) for principal in held})
            live |= await services.tokens.live({TokenId(principal) for principal in held})
        paused = services.freezer.paused() & {connection.workspace_id for connection in report.connections}
        self.write_json(ActivityAnswer(sorted(held - live), sorted(paused)))


class ThawHandler(InternalHandler):
    """``POST /internal/thaw``: a message is under way into a container that may be paused."""

    async def post(self) -> None:
        """Take a `ThawQuestion`, answer a `ThawAnswer` when the container goes on."""
        question = self.body(ThawQuestion)
        try:
            await self.services.freezer.thaw(WorkspaceId(question.workspace_id[:64]), "message")
        except HubError as error:
            again = isinstance(error, Unavailable)
            self.write_json(ThawAnswer(False, error.message, again))
            return
        self.write_json(ThawAnswer(True))


class EndsHandler(InternalHandler):
    """``POST /internal/ends``: a proxy lost an agent; have its kernels ended, and why?"""

    async def post(self) -> None:
        """Take an `EndsQuestion`, answer an `EndsAnswer`, after a few seconds at most."""
        self.write_json(await self.services.ends.answer(self.body(EndsQuestion)))


class WelcomeHandler(InternalHandler):
    """``POST /internal/welcome``: what the supervisor prints."""

    async def post(self) -> None:
        """A new link for the first administrator while there is none, and the warning if there is one."""
        token = await self.services.invitations.create_setup()
        path = f"/hub/setup/{token}" if token else None
        self.write_json(Welcome(path, self.services.warning))


async def answer_route(services: Services, question: RouteQuestion) -> RouteAnswer:
    """Decide about one upgrade. Never raises a HubError: a refusal is an answer."""
    try:
        return await _route(services, question)
    except HubError as error:
        return Refusal(error.status, error.code, error.message)


async def _route(services: Services, question: RouteQuestion) -> RouteAnswer:
    wanted = parse_socket_path(question.path)
    if wanted is None:
        raise NotFound("There is no WebSocket at this address.")
    token = parse_qs(question.query).get("token", [None])[0]
    identity = await services.guard.identify(
        question.cookie, question.authorization, token, question.address, question.user_agent
    )
    by_token = identity.credential is Credential.TOKEN
    check_socket_origin(question.origin, question.host, by_token, services.settings.allowed_origins)
    is_own = identity.user.name == wanted.user_name
    if not is_own or not identity.may_self(Scope.JUPYTER):
        what = f"WebSocket {shown_path(question.path)}"
        await services.authority.refusals.note(identity, what, Scope.JUPYTER, "", question.address)
        if is_own:
            raise Forbidden("This token's scopes do not include this.")
        raise Forbidden(f"This belongs to another user; you are signed in as {identity.user.name}.")
    match wanted:
        case KernelSocket(kernel_id=kernel_id):
            workspace = await services.kernels.workspace_of(identity.user.id, kernel_id)
            await services.freezer.open(workspace)
            place = services.workspaces.place_of(workspace, identity.user)
            services.connections.admit(
                kernel_id, parse_qs(question.query).get("session_id", [""])[0][:SESSION_CHARACTERS]
            )
            return KernelRoute(
                principal=identity.principal,
                user_id=identity.user.id,
                workspace_id=workspace.id,
                kernel_id=kernel_id,
                run_folder=str(place.run_folder),
                owner_uid=place.owner_uid,
            )
        case TerminalSocket(terminal=terminal):
            workspace = await services.terminals.workspace_of(identity.user, terminal)
            await services.freezer.open(workspace)
            place = services.workspaces.place_of(workspace, identity.user)
            return TerminalRoute(
                principal=identity.principal,
                user_id=identity.user.id,
                workspace_id=workspace.id,
                terminal=terminal,
                run_folder=str(place.run_folder),
                owner_uid=place.owner_uid,
            )
