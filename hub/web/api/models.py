"""The shapes of the hub's REST API: JupyterHub's, where the meaning is the same (its rest-api.yml, 6.0).

The *servers* that JupyterHub knows of a user are here the workspaces: that of the default profile has no name, the
others have their profiles' names, and all have the same address, since the interface itself is always there.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from hub.domain.users import ApiToken, User
from hub.domain.workspace import Workspace, WorkspaceState
from hub.web.page import lab_path

_PENDING = {WorkspaceState.STARTING: "spawn", WorkspaceState.STOPPING: "stop"}


class NewUsers(msgspec.Struct, frozen=True):
    """Body of ``POST /hub/api/users``."""

    usernames: list[str]
    admin: bool = False


class NewUser(msgspec.Struct, frozen=True):
    """Body of ``POST /hub/api/users/<name>``."""

    admin: bool = False


class ChangedUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``PATCH /hub/api/users/<name>``; what is absent stays."""

    admin: bool | None = None
    disabled: bool | None = None


class PasswordAuth(msgspec.Struct, frozen=True):
    """Name and password in a request for a token, as VS Code's JupyterHub extension sends them."""

    username: str
    password: str


class NewToken(msgspec.Struct, frozen=True):
    """Body of ``POST /hub/api/users/<name>/tokens``. `expires_in` in seconds; null: 30 days."""

    note: str = "made by the API"
    expires_in: int | None = None
    auth: PasswordAuth | None = None


class ServerModel(msgspec.Struct, frozen=True):
    """A workspace, in JupyterHub's words."""

    name: str
    ready: bool
    stopped: bool
    pending: str | None
    url: str
    started: datetime | None
    last_activity: datetime | None
    user_options: dict[str, str]
    progress_url: str | None = None


class UserModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user, in JupyterHub's words, and `disabled`, which is ours."""

    name: str
    kind: str
    admin: bool
    roles: list[str]
    groups: list[str]
    server: str | None
    pending: str | None
    created: datetime
    last_activity: datetime | None
    servers: dict[str, ServerModel]
    disabled: bool
    scopes: list[str] | None = None
    token_id: str | None = None
    session_id: str | None = None


class TokenModel(msgspec.Struct, frozen=True, kw_only=True):
    """An API token; its value is in `token` only in the answer that creates it."""

    id: str
    kind: str
    user: str
    roles: list[str]
    scopes: list[str]
    note: str
    created: datetime
    expires_at: datetime
    last_activity: datetime | None
    token: str | msgspec.UnsetType = msgspec.UNSET


class Pagination(msgspec.Struct, frozen=True):
    """Where in a list a page is, and where the next one begins."""

    offset: int
    limit: int
    total: int
    next: dict[str, int | str] | None


class Page(msgspec.Struct, frozen=True):
    """A page of a list, for clients that accept ``application/jupyterhub-pagination+json``."""

    items: list[UserModel]
    pagination: Pagination = msgspec.field(name="_pagination")


def user_model(user: User, groups: list[str], workspaces: list[Workspace], default_profile: str) -> UserModel:
    """A user with what is known of their workspaces: the default profile's is the server without a name."""
    base = lab_path(user).removesuffix("lab")
    live = {
        "" if w.profile == default_profile else w.profile: w
        for w in workspaces
        if w.state is not WorkspaceState.STOPPED
    }
    workspace = live.get("")
    return UserModel(
        name=user.name,
        kind="user",
        admin=user.is_admin,
        roles=["admin", "user"] if user.is_admin else ["user"],
        groups=groups,
        server=base if workspace is not None and workspace.state is WorkspaceState.RUNNING else None,
        pending=_PENDING.get(workspace.state) if workspace is not None else None,
        created=user.created_at,
        last_activity=user.last_activity_at,
        servers={name: _server_model(name, each, base) for name, each in live.items()},
        disabled=user.disabled_at is not None,
    )


def token_model(token: ApiToken, user: User, value: str | msgspec.UnsetType = msgspec.UNSET) -> TokenModel:
    """A token; `value` only when it has just been made."""
    return TokenModel(
        id=token.id,
        kind="api_token",
        user=user.name,
        roles=[],
        scopes=list(token.scopes) or ["inherit"],
        note=token.name,
        created=token.created_at,
        expires_at=token.expires_at,
        last_activity=token.last_used_at,
        token=value,
    )


def _server_model(name: str, workspace: Workspace, base: str) -> ServerModel:
    return ServerModel(
        name=name,
        ready=workspace.state is WorkspaceState.RUNNING,
        stopped=False,
        pending=_PENDING.get(workspace.state),
        url=base,
        started=workspace.started_at,
        last_activity=workspace.last_activity_at,
        user_options={"profile": workspace.profile},
    )
