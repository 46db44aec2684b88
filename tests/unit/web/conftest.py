"""A hub with a real database and real authentication, fake containers, and browsers to visit it with."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from hub.auth.assemble import Auth, make_auth
from hub.config import Profile, Settings
from hub.cull.loop import Culler
from hub.cull.postponing import Postponing
from hub.cull.ruling import Ruling
from hub.domain.ids import KernelId, WorkspaceId, new_id
from hub.domain.kernels import Kernel, KernelState
from hub.domain.users import Role, User
from hub.domain.workspace import Limits, Workspace, WorkspaceState
from hub.errors import EngineSilent, HubError, NotFound
from hub.history_counts import HistoryCounts
from hub.http.application import make_application
from hub.http.handler import INTERNAL_HEADER
from hub.http.services import Services
from hub.jupyter.announcements import Events
from hub.jupyter.routes import routes as jupyter_routes
from hub.live.service import Live
from hub.live.sizes import HomeSizes
from hub.people.departures import Departures, LeavingRules
from hub.people.rosters import Rosters
from hub.running_settings import Running
from hub.spawn.folders import Folders
from hub.store.engine import Store
from hub.web.pages import error_page
from hub.web.routes import routes
from hub.workspaces.connections import Connections
from hub.workspaces.ends import Ends
from hub.workspaces.image_kernelspecs import KernelspecList
from hub.workspaces.kernels import KernelModel
from hub.workspaces.progress import Progress
from hub.workspaces.quotas import Quotas
from proxy.contract.agent import JobOutput
from proxy.kit.clock import ManualClock

INTERNAL_TOKEN = "internal-token-of-tests"
PASSWORD = "four quiet purple otters"
OTHER_PASSWORD = "seven louder green herons"


@dataclass
class FakeWorkspaces:
    """Containers in memory. `engine_silent`: nothing can be started or stopped."""

    clock: ManualClock
    rows: dict[str, Workspace] = field(default_factory=dict)
    asked_for: list[str] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    engine_silent: bool = False
    progress: Progress = field(default_factory=Progress)

    def run(self, user: User, profile: str = "datascience") -> Workspace:
        """A running workspace of the user."""
        workspace = Workspace(
            WorkspaceId(new_id()),
            user.id,
            profile,
            WorkspaceState.RUNNING,
            "kernelhub/datascience:latest",
            Limits(None, None, None),
            "container",
            self.clock.now() - timedelta(minutes=12),
        )
        self.rows[workspace.id] = workspace
        return workspace

    def ensure_soon(self, user: User, profile: str | None = None) -> None:
        self.asked_for.append(user.name if profile in (None, "datascience") else f"{user.name}/{profile}")

    async def find(self, user: User, profile: str | None = None) -> Workspace | None:
        return next((w for w in await self.list_for(user) if w.profile == (profile or "datascience")), None)

    async def list_for(self, user: User) -> list[Workspace]:
        return [row for row in self.rows.values() if row.user_id == user.id]

    async def list_running(self) -> list[Workspace]:
        return [row for row in self.rows.values() if row.state is not WorkspaceState.STOPPED]

    async def stop_all(self, user: User, reason: str, actor: str = "hub") -> None:
        for workspace in await self.list_for(user):
            if workspace.state is not WorkspaceState.STOPPED:
                await self.stop(workspace.id, reason, actor)

    async def stop(self, workspace_id: WorkspaceId, reason: str, actor: str = "hub") -> Workspace:
        if self.engine_silent:
            raise EngineSilent("The container engine does not answer.")
        if workspace_id not in self.rows:
            raise NotFound("There is no such workspace.")
        self.stopped.append((workspace_id, actor))
        self.reasons.append(reason)
        self.rows[workspace_id] = replace(
            self.rows[workspace_id], state=WorkspaceState.STOPPED, container_id=None, stop_reason=reason
        )
        return self.rows[workspace_id]


@dataclass
class FakeKernels:
    """Kernels in memory."""

    models: list[KernelModel] = field(default_factory=list)
    refusal: HubError | None = None

    def run(self, workspace: Workspace, state: KernelState, connections: int = 0, **more: Any) -> None:
        moment = workspace.started_at
        assert moment is not None
        kernel = Kernel(KernelId(new_id()), workspace.id, workspace.user_id, "python3", state, moment, moment, **more)
        self.models.append(KernelModel(kernel, connections))

    async def list(self, user: User) -> list[KernelModel]:
        if self.refusal is not None:
            raise self.refusal
        return [model for model in self.models if model.kernel.user_id == user.id]


@dataclass
class FakeKernelspecs:
    """Kernelspecs in memory, all of them known. `said`: why those of a profile are not."""

    listed: KernelspecList = field(default_factory=lambda: KernelspecList("", []))
    said: dict[str, str] = field(default_factory=dict)

    async def known(self, user: User) -> KernelspecList:
        return self.listed

    async def problems(self, user: User) -> dict[str, str]:
        return self.said

    async def images(self) -> list[str]:
        return ["kernelhub/r:latest"]

    async def try_out(self, profile: Profile) -> KernelspecList:
        return self.listed


@dataclass
class FakeJobs:
    """Jobs in memory: what was started, and what is answered about the one that is looked at."""

    started: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)
    answer: JobOutput | HubError | None = None

    def start_soon(self, user: User, program: str, arguments: dict[str, object]) -> str:
        if isinstance(self.answer, HubError):
            raise self.answer
        self.started.append((user.name, program, arguments))
        return "0f7e8d3e-0000-4000-8000-000000000000"

    async def look(self, user: User, job_id: str) -> JobOutput | None:
        if isinstance(self.answer, HubError):
            raise self.answer
        return self.answer


@dataclass
class Answer:
    """An answer as tests look at it."""

    response: HTTPResponse

    @property
    def status(self) -> int:
        return self.response.code

    @property
    def headers(self) -> Any:
        return self.response.headers

    @property
    def text(self) -> str:
        return self.response.body.decode()

    @property
    def location(self) -> str:
        return self.response.headers.get("Location", "")

    @property
    def cookies(self) -> list[str]:
        return self.response.headers.get_list("Set-Cookie")

    def json(self) -> Any:
        return msgspec.json.decode(self.response.body)

    def value_of(self, name: str) -> str:
        """The value of the first input of that name or id in the page."""
        found = re.search(rf'<input[^>]*(?:name|id)="{re.escape(name)}"[^>]*value="([^"]*)"', self.text)
        assert found, f"no input {name!r} in {self.text}"
        return unescape(found[1])


@dataclass
class Browser:
    """A browser: it keeps cookies, and sends what browsers send. `headers` are added to every request."""

    address: str
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    client: str = "192.0.2.7"
    user_agent: str = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
    presence: str = ""

    async def send(self, method: str, path: str, body: bytes | str | None = None, **headers: str | None) -> Answer:
        """One request, as a proxy hands it on. A header that is None is left out."""
        sent: dict[str, str | None] = {
            INTERNAL_HEADER: INTERNAL_TOKEN,
            "X-Forwarded-For": self.client,
            "X-Forwarded-Proto": "http",
            "User-Agent": self.user_agent,
            "Accept": "text/html",
            **({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} if method == "GET" else {}),
            **self.headers,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if self.cookies:
            sent.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        request = HTTPRequest(
            self.address + path,
            method=method,
            headers={name: value for name, value in sent.items() if value is not None},
            body=body,
            follow_redirects=False,
            allow_nonstandard_methods=True,
            decompress_response=False,
        )
        answer = Answer(await AsyncHTTPClient().fetch(request, raise_error=False))
        self._keep(answer)
        return answer

    async def get(self, path: str, **headers: str | None) -> Answer:
        return await self.send("GET", path, **headers)

    async def post(self, path: str, fields: dict[str, str] | None = None, **headers: str | None) -> Answer:
        """Send a form the way one of our own pages does."""
        ours: dict[str, str | None] = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": self.address,
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        }
        return await self.send("POST", path, urlencode(fields or {}), **{**ours, **headers})

    async def api(self, method: str, path: str, value: Any = None, **headers: str | None) -> Answer:
        """Send JSON, as a script of the pages does: with the token of a presence that was proven here."""
        body = None if value is None else msgspec.json.encode(value)
        ours: dict[str, str | None] = {"Accept": "application/json", "Content-Type": "application/json"}
        ours |= {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
        if self.presence and method == "GET":
            ours["X-XSRFToken"] = self.presence
        return await self.send(method, path, body, **{**ours, **headers})

    async def form_token(self, page: str = "/hub/home") -> str:
        """The form token that a page of ours holds."""
        return (await self.get(page)).value_of("_xsrf")

    async def submit(self, path: str, fields: dict[str, str] | None = None, page: str = "/hub/home") -> Answer:
        """Open a page and send its form."""
        return await self.post(path, {**(fields or {}), "_xsrf": await self.form_token(page)})

    async def sign_in(self, name: str, password: str = PASSWORD, next: str = "") -> Answer:
        """Open the sign-in page and send it."""
        return await self.submit("/hub/login", {"username": name, "password": password, "next": next}, "/hub/login")

    async def prove_presence(self, password: str = PASSWORD) -> None:
        """Confirm, as administrators must before they act as such; pages of the hub carry its token from then on."""
        assert (await self.submit("/hub/confirm", {"password": password})).status == 302
        self.presence = await self.form_token()

    def _keep(self, answer: Answer) -> None:
        for line in answer.cookies:
            pair, *attributes = line.split("; ")
            name, _, value = pair.partition("=")
            if "Path=/" not in attributes:
                continue
            if value in {"", '""'}:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


@dataclass
class Site:
    """The hub under test."""

    address: str
    services: Services
    auth: Auth
    clock: ManualClock
    workspaces: FakeWorkspaces
    kernels: FakeKernels
    store: Store

    def browser(self, **settings: Any) -> Browser:
        """A browser that has not been here."""
        return Browser(self.address, **settings)

    async def add(self, name: str, role: str = Role.USER, password: str = PASSWORD) -> User:
        """A user with a password."""
        user = await self.auth.users.add(name, role, actor="test")
        await self.auth.passwords.set(user, password, actor="test")
        return user

    async def signed_in(self, name: str, role: Role = Role.USER, **settings: Any) -> Browser:
        """A browser in which a new user is signed in; an administrator has proven presence, too."""
        await self.add(name, role)
        browser = self.browser(**settings)
        assert (await browser.sign_in(name)).status == 302
        if role is Role.ADMIN:
            await browser.prove_presence()
        return browser

    async def token_of(self, name: str, days: int = 1) -> str:
        """A fresh API token of a user."""
        user = await self.auth.users.get(name)
        return (await self.auth.tokens.create(user, "test", timedelta(days=days), actor="test"))[1]

    async def actions(self, prefix: str = "") -> list[str]:
        """The audit log's actions, newest first."""
        async with self.store.reading() as unit:
            return [event.action for event in await unit.audit.list(action_prefix=prefix)]

    async def audit_text(self) -> str:
        """Everything in the audit log as text."""
        async with self.store.reading() as unit:
            return repr(await unit.audit.list(limit=1000))


class NoFreezer:
    """Nothing is ever paused."""

    async def open(self, workspace: Workspace) -> None: ...

    async def thaw(self, workspace_id: str, why: str) -> None: ...

    def paused(self) -> frozenset[str]:
        return frozenset()


SiteMaker = Callable[..., Any]


def make_live(store: Store, workspaces: Any, clock: ManualClock, data_dir: Path) -> Live:
    """The present of a hub whose containers are rows only: no agent is asked, the culler has decided nothing."""

    async def count(user: User) -> tuple[int, int, bool]:
        return 3_400_000, 12, True

    nothing: Any = SimpleNamespace(name="docker")
    connections, sizes = Connections(clock), HomeSizes(count, clock)
    decided = (None, [])
    return Live(store, workspaces, nothing, nothing, connections, lambda _: decided, Progress(), sizes, data_dir, clock)


async def as_html(reader: User, owner: User, title: str, notebook: bytes) -> str:
    """In place of nbconvert."""
    return f"<h1>{title}</h1>"


@pytest.fixture
async def make_site(store: Store, clock: ManualClock, tmp_path: Path) -> AsyncIterator[SiteMaker]:
    """Makes a hub; keyword arguments are settings, `warning`, and `jupyter`: with the routes of front ends."""
    servers: list[HTTPServer] = []
    auths: list[Auth] = []

    async def make(warning: str | None = None, jupyter: bool = False, **settings: Any) -> Site:
        chosen = Settings(data_dir=tmp_path, **settings)
        auth = make_auth(chosen, store, clock)
        workspaces, kernels = FakeWorkspaces(clock), FakeKernels()
        absent: Any = SimpleNamespace()
        no_files: Any = SimpleNamespace(forget=lambda user_id: None)
        running = Running(chosen, store, clock)
        culler = Culler(chosen, store, workspaces, kernels, absent, absent, clock, running)  # type: ignore[arg-type]
        services = Services(
            settings=chosen,
            running=running,
            history=HistoryCounts(store, clock),
            clock=clock,
            store=store,
            guard=auth.guard,
            authority=auth.authority,
            users=auth.users,
            passwords=auth.passwords,
            sign_ins=auth.sign_ins,
            tokens=auth.tokens,
            invitations=auth.invitations,
            arrivals=auth.arrivals,
            presence=auth.presence,
            rosters=Rosters(store, clock, auth.recent),
            quotas=Quotas(store, clock, lambda: chosen.limits, lambda user: 3_400_000, lambda user: None),
            departures=Departures(
                *(store, clock, auth.recent, Folders(tmp_path, None, None), no_files, workspaces.stop_all),
                LeavingRules(chosen.removal_grace, chosen.archive_kept),
            ),
            secrets=auth.secrets,
            second_factors=auth.second_factors,
            registrations=auth.registrations,
            groups=auth.groups,
            providers=auth.providers,
            lti=auth.lti,
            workspaces=workspaces,  # type: ignore[arg-type]
            kernels=kernels,  # type: ignore[arg-type]
            kernelspecs=FakeKernelspecs(),  # type: ignore[arg-type]
            sessions=absent,
            terminals=absent,
            jobs=FakeJobs(),  # type: ignore[arg-type]
            runs=absent,
            verifications=absent,
            hidden_states=absent,
            connections=absent,
            freezer=NoFreezer(),  # type: ignore[arg-type]
            ends=Ends(store, workspaces, clock),  # type: ignore[arg-type]
            culler=culler,
            postponing=Postponing(store, culler, clock),
            ruling=Ruling(store, clock, lambda: running.current.culling),
            contents=absent,
            results=absent,
            frontends=SimpleNamespace(events=Events()),  # type: ignore[arg-type]
            live=make_live(store, workspaces, clock, tmp_path),
            notebook_html=as_html,
            internal_token=INTERNAL_TOKEN,
            warning=warning,
        )
        server = HTTPServer(make_application(services, [*routes(), *(jupyter_routes() if jupyter else [])], error_page))
        socket, port = bind_unused_port()
        server.add_sockets([socket])
        servers.append(server)
        auths.append(auth)
        return Site(f"http://127.0.0.1:{port}", services, auth, clock, workspaces, kernels, store)

    yield make
    for server in servers:
        server.stop()
        await server.close_all_connections()
    for auth in auths:
        await auth.close()


@pytest.fixture
async def site(make_site: SiteMaker) -> Site:
    """A hub with default settings."""
    made: Site = await make_site()
    return made
