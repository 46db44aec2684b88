"""A hub of two users with real files, real front ends and fake kernels, served on a port of its own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from hub.auth.identity import Credential, Identity
from hub.config import Settings
from hub.contents.service import ContentsOfUsers
from hub.contents.trash_info import TrashRules
from hub.domain.ids import KernelId, SessionId, UserId, WorkspaceId, new_uuid
from hub.domain.kernels import Kernel, KernelState, Session
from hub.domain.users import Role, User
from hub.errors import Conflict, HubError, NotFound, NotSignedIn, UnknownKernelspec
from hub.http.application import make_application
from hub.http.handler import INTERNAL_HEADER
from hub.http.services import Services
from hub.jupyter.frontends import FrontEnds
from hub.jupyter.routes import routes
from hub.running_settings import Running
from hub.spawn.folders import Folders
from hub.workspaces.ends import End
from hub.workspaces.image_kernelspecs import KernelspecList
from hub.workspaces.kernels import KernelModel
from hub.workspaces.sessions import SessionModel
from proxy.contract.agent import Kernelspec, TerminalInfo
from proxy.kit.clock import ManualClock
from tests.harness.grants import FakeAuthority, identity_of

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
XSRF = "form-token-of-"
RULES = TrashRules(("/home/jovyan",), 30)
PYTHON = Kernelspec(
    "python3", {"display_name": "Python 3", "argv": ["python"], "language": "python"}, ["logo-64x64.png"]
)


def user(name: str, number: int, role: Role = Role.USER) -> User:
    return User(UserId(f"id-{name}"), number, name, role, NOW)


USERS = {"alice": user("alice", 1), "bob": user("bob", 2), "root": user("root", 3, Role.ADMIN)}


class FakeGuard:
    """Knows who is who by ``Cookie: who=alice`` or ``Authorization: token alice``."""

    async def identify(
        self, cookie: str, authorization: str, query_token: str | None, address: str, user_agent: str
    ) -> Identity:
        credential = Credential.TOKEN if authorization else Credential.COOKIE
        name = authorization.removeprefix("token ") if authorization else cookie.partition("who=")[2].partition(";")[0]
        name, _, scopes = name.partition("+")
        if name not in USERS:
            raise NotSignedIn("Sign in first.")
        xsrf = "" if authorization else XSRF + name
        return identity_of(USERS[name], credential, xsrf, (scopes,) if scopes else (), name)


@dataclass
class NoEnds:
    """How kernels ended, by their ids; nothing unless a test says so."""

    ends: dict[str, End] = field(default_factory=dict)

    async def find(self, user: User, kernel_id: KernelId) -> End | None:
        return self.ends.get(kernel_id)


@dataclass
class FakeKernels:
    """Kernels in memory. `refusal` is raised by everything that starts one."""

    models: dict[str, KernelModel] = field(default_factory=dict)
    done: list[tuple[str, str]] = field(default_factory=list)
    refusal: HubError | None = None

    async def start(
        self, owner: User, spec_name: str | None, path: str = "", kernel_id: KernelId | None = None
    ) -> KernelModel:
        if self.refusal is not None:
            raise self.refusal
        if spec_name not in {None, "python3"}:
            raise UnknownKernelspec(f"The {spec_name!r} kernel is not available.")
        if kernel_id in self.models:
            raise Conflict("A kernel with that id exists already.")
        kernel = Kernel(
            kernel_id or KernelId(new_uuid()), WorkspaceId("w"), owner.id, "python3", KernelState.STARTING, NOW, NOW
        )
        self.models[kernel.id] = KernelModel(kernel, 0)
        return self.models[kernel.id]

    async def list(self, owner: User) -> list[KernelModel]:
        return [model for model in self.models.values() if model.kernel.user_id == owner.id]

    async def get(self, owner: User, kernel_id: KernelId) -> KernelModel:
        if self.refusal is not None:
            raise self.refusal
        model = self.models.get(kernel_id)
        if model is None or model.kernel.user_id != owner.id:
            raise NotFound(f"Kernel does not exist: {kernel_id}")
        return model

    async def interrupt(self, owner: User, kernel_id: KernelId) -> None:
        self.done.append(("interrupt", (await self.get(owner, kernel_id)).kernel.id))

    async def restart(self, owner: User, kernel_id: KernelId) -> KernelModel:
        self.done.append(("restart", kernel_id))
        return await self.get(owner, kernel_id)

    async def shutdown(self, owner: User, kernel_id: KernelId, reason: str = "") -> None:
        await self.get(owner, kernel_id)
        del self.models[kernel_id]


class FakeResults:
    """Nothing ran while nobody watched."""

    @asynccontextmanager
    async def opening(self, owner: User, path: str) -> AsyncIterator[None]:
        yield None

    async def saved(self, owner: User, path: str, ago_seconds: float = 0.0) -> None:
        return

    async def renamed(self, owner: User, old: str, new: str) -> None:
        return


@dataclass
class FakeSessions:
    """Sessions in memory."""

    kernels: FakeKernels
    rows: dict[str, Session] = field(default_factory=dict)

    async def list(self, owner: User) -> list[SessionModel]:
        return [await self.get(owner, row.id) for row in self.rows.values() if row.user_id == owner.id]

    async def create(
        self,
        owner: User,
        path: str,
        name: str,
        type: str,
        kernel_name: str | None = None,
        kernel_id: KernelId | None = None,
    ) -> SessionModel:
        for row in self.rows.values():
            if row.user_id == owner.id and row.path == path:
                return await self.get(owner, row.id)
        known = kernel_id is not None
        model = (
            await self.kernels.get(owner, kernel_id) if known else await self.kernels.start(owner, kernel_name, path)
        )
        row = Session(SessionId(new_uuid()), owner.id, model.kernel.id, path, name, type, NOW)
        self.rows[row.id] = row
        return SessionModel(row, model)

    async def get(self, owner: User, session_id: SessionId) -> SessionModel:
        row = self.rows.get(session_id)
        if row is None or row.user_id != owner.id:
            raise NotFound(f"Session not found: session_id={session_id!r}")
        return SessionModel(row, await self.kernels.get(owner, row.kernel_id))

    async def update(self, owner: User, session_id: SessionId, **changes: Any) -> SessionModel:
        before = await self.get(owner, session_id)
        kernel_name = changes.pop("kernel_name")
        if kernel_name is not None:
            changes["kernel_id"] = (await self.kernels.start(owner, kernel_name)).kernel.id
        given = {key: value for key, value in changes.items() if value is not None}
        self.rows[session_id] = replace(before.session, **given)
        return await self.get(owner, session_id)

    async def delete(self, owner: User, session_id: SessionId) -> None:
        model = await self.get(owner, session_id)
        await self.kernels.shutdown(owner, model.session.kernel_id)
        del self.rows[session_id]


@dataclass
class FakeKernelspecs:
    """One kernelspec, or an error."""

    listed: KernelspecList = field(default_factory=lambda: KernelspecList("python3", [PYTHON]))
    refusal: HubError | None = None

    async def list(self, owner: User) -> KernelspecList:
        if self.refusal is not None:
            raise self.refusal
        return self.listed

    async def resource(self, owner: User, name: str, file: str) -> bytes:
        if (name, file) != ("python3", "logo-64x64.png"):
            raise NotFound("There is no such file.")
        return b"\x89PNG"


@dataclass
class FakeTerminals:
    """Terminals in memory, all of alice's."""

    names: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    async def list(self, owner: User) -> list[TerminalInfo]:
        return [TerminalInfo(name, NOW.timestamp(), 0.0) for name in self.names if owner.name == "alice"]

    async def create(self, owner: User, cwd: str = "", profile: str | None = None) -> TerminalInfo:
        self.folders.append(cwd)
        self.names.append(str(len(self.names) + 1))
        return TerminalInfo(self.names[-1], 1e300, 0.0)

    async def get(self, owner: User, name: str) -> TerminalInfo:
        if name not in self.names or owner.name != "alice":
            raise NotFound(f"Terminal not found: {name}")
        return TerminalInfo(name, NOW.timestamp(), 0.0)

    async def delete(self, owner: User, name: str) -> None:
        await self.get(owner, name)
        self.names.remove(name)


@dataclass
class FakeWorkspaces:
    """Remembers for whom a container was wanted."""

    wanted: list[str] = field(default_factory=list)

    def ensure_soon(self, owner: User) -> None:
        self.wanted.append(owner.name)


@dataclass
class Hub:
    """The hub under test, and a client that comes through its proxy."""

    port: int
    services: Services
    results: FakeResults
    kernels: FakeKernels
    sessions: FakeSessions
    kernelspecs: FakeKernelspecs
    terminals: FakeTerminals
    workspaces: FakeWorkspaces
    home: Path
    application: Application

    async def fetch(
        self, method: str, path: str, body: Any = None, who: str | None = "alice", **headers: str
    ) -> HTTPResponse:
        """A request as a page of `who` would send it; with a body that is not bytes, as JSON."""
        sent = {INTERNAL_HEADER: "internal", "Accept": "*/*"}
        if who is not None:
            sent["Cookie"] = f"who={who}"
            sent["X-XSRFToken"] = XSRF + who
            sent["Origin"] = f"http://127.0.0.1:{self.port}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        for name, value in headers.items():
            sent[name.replace("_", "-")] = value
            if not value:
                del sent[name.replace("_", "-")]
        request = HTTPRequest(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            headers=sent,
            body=data,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            decompress_response=False,
        )
        return await AsyncHTTPClient().fetch(request, raise_error=False)

    async def json(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """The JSON of an answer to alice, whose status is checked."""
        response = await self.fetch(method, f"/user/alice/{path}", body, **headers)
        assert response.code == status, (response.code, response.body)
        return json.loads(response.body) if response.body else None


@pytest.fixture(scope="session")
def catalogue_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the catalogue of the installed JupyterLab is kept between tests: it takes seconds to build."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
async def hub(tmp_path: Path, catalogue_cache: Path) -> AsyncIterator[Hub]:
    (tmp_path / "cache").symlink_to(catalogue_cache)
    folders = Folders(tmp_path, None, None)
    home = folders.home(USERS["alice"].id)
    for each in USERS.values():
        folders.home(each.id).mkdir(parents=True, mode=0o700)
    clock = ManualClock(NOW)
    contents = ContentsOfUsers(folders, tmp_path / "contents", clock, impersonate=False, trash=RULES)
    frontends = FrontEnds(tmp_path)
    await frontends.catalogue()
    kernels = FakeKernels()
    fakes: dict[str, Any] = {
        "results": FakeResults(),
        "kernels": kernels,
        "sessions": FakeSessions(kernels),
        "kernelspecs": FakeKernelspecs(),
        "terminals": FakeTerminals(),
        "workspaces": FakeWorkspaces(),
    }
    unused: dict[str, Any] = {each.name: None for each in dataclasses.fields(Services)}
    used: dict[str, Any] = {
        "settings": Settings(data_dir=tmp_path),
        "running": Running(Settings(data_dir=tmp_path), unused["store"], clock),
        "clock": clock,
        "guard": FakeGuard(),
        "authority": FakeAuthority(),
        "contents": contents,
        "ends": NoEnds(),
        "frontends": frontends,
        "internal_token": "internal",
    }
    services = Services(**{**unused, **used, **fakes})
    application = make_application(services, routes())
    server = HTTPServer(application)
    listening, port = bind_unused_port()
    server.add_socket(listening)
    yield Hub(port=port, services=services, home=home, application=application, **fakes)
    server.stop()
    await server.close_all_connections()
    await frontends.close()
    await contents.close()
