"""The shapes of the hub's REST API: JupyterHub's, where the meaning is the same (its rest-api.yml, 6.0).

hub.web.api.shown makes them of what the database holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from hub.domain.users import ApiToken, User


class NewUsers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /hub/api/users``."""

    usernames: list[str]
    admin: bool = False


class NewUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /hub/api/users/<name>``. `role` beats `admin`."""

    admin: bool = False
    role: str | None = None
    display_name: str | None = None
    email: str | None = None


class ChangedUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``PATCH /hub/api/users/<name>``; what is absent stays. `name`: another one."""

    name: str | None = None
    admin: bool | None = None
    role: str | None = None
    disabled: bool | None = None
    display_name: str | None = None
    email: str | None = None


class Activity(msgspec.Struct, frozen=True):
    """Body of ``POST /hub/api/users/<name>/activity``; of servers the hub knows better itself."""

    last_activity: datetime | None = None
    servers: dict[str, Any] = {}


class PasswordAuth(msgspec.Struct, frozen=True):
    """Name and password in a request for a token, as VS Code's JupyterHub extension sends them."""

    username: str
    password: str


class NewToken(msgspec.Struct, frozen=True):
    """Body of ``POST /hub/api/users/<name>/tokens``. `expires_in` in seconds; null: 30 days.

    Without `scopes` the token inherits what its user may do.
    """

    note: str = "made by the API"
    expires_in: int | None = None
    scopes: list[str] | None = None
    roles: list[str] | None = None
    auth: PasswordAuth | None = None


class StartServer(msgspec.Struct, frozen=True):
    """Body of ``POST /hub/api/users/<name>/server``; `profile` there is for those who start the one without a name."""

    profile: str | None = None
    display_name: str | None = None
    user_options: dict[str, Any] = {}


class StopServer(msgspec.Struct, frozen=True):
    """Body of ``DELETE /hub/api/users/<name>/servers/<profile>``; `remove` changes nothing, there is nothing kept."""

    remove: bool = False


class ServerModel(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace, in JupyterHub's words, and in ours its `state`, why it stopped, and since when it is paused."""

    name: str
    display_name: str
    ready: bool
    stopped: bool
    pending: str | None
    url: str
    full_url: str | None
    progress_url: str
    full_progress_url: str | None
    started: datetime | None
    last_activity: datetime | None
    user_options: dict[str, str]
    kernelhub_state: str
    stop_reason: str | None = None
    kernelhub_paused: datetime | None = None


class UserModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user, in JupyterHub's words; what the asker may not see is absent. The last two lines are ours."""

    name: str
    kind: str
    admin: bool | msgspec.UnsetType = msgspec.UNSET
    roles: list[str] | msgspec.UnsetType = msgspec.UNSET
    groups: list[str] | msgspec.UnsetType = msgspec.UNSET
    server: str | msgspec.UnsetType | None = msgspec.UNSET
    pending: str | msgspec.UnsetType | None = msgspec.UNSET
    created: datetime | msgspec.UnsetType = msgspec.UNSET
    last_activity: datetime | msgspec.UnsetType | None = msgspec.UNSET
    servers: dict[str, ServerModel] | msgspec.UnsetType = msgspec.UNSET
    scopes: list[str] | msgspec.UnsetType = msgspec.UNSET
    token_id: str | msgspec.UnsetType | None = msgspec.UNSET
    session_id: str | msgspec.UnsetType | None = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET
    display_name: str | msgspec.UnsetType | None = msgspec.UNSET
    email: str | msgspec.UnsetType | None = msgspec.UNSET


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

    items: Sequence[Any]
    pagination: Pagination = msgspec.field(name="_pagination")


class GroupModel(msgspec.Struct, frozen=True, kw_only=True):
    """A group, in JupyterHub's words: `users` are all in it. The last three are ours."""

    name: str
    kind: str
    users: list[str] | msgspec.UnsetType = msgspec.UNSET
    properties: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    roles: list[str] | msgspec.UnsetType = msgspec.UNSET
    owners: list[str] | msgspec.UnsetType = msgspec.UNSET
    display_name: str | msgspec.UnsetType = msgspec.UNSET
    source: str | msgspec.UnsetType = msgspec.UNSET


class NewGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /hub/api/groups/<name>``: who is in it from the start, and what it says."""

    users: list[str] = []
    owners: list[str] = []
    properties: dict[str, Any] = {}
    display_name: str = ""


class ChangedGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``PATCH /hub/api/groups/<name>``; what is absent stays."""

    name: str | None = None
    display_name: str | None = None


class Members(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST`` and ``DELETE /hub/api/groups/<name>/users``, and of ``…/owners``."""

    users: list[str]


class Shutdown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /hub/api/shutdown``. `proxy` false: only the hub's process ends, and is started again."""

    proxy: bool = True
    servers: bool = False


class ProgressEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of ``…/progress``, in JupyterHub's words."""

    progress: int
    message: str
    html_message: str | None = None
    ready: bool = False
    failed: bool = False
    url: str | None = None
    phase: str | None = None
    position: int | None = None


def token_model(
    token: ApiToken, user: User, scopes: list[str], value: str | msgspec.UnsetType = msgspec.UNSET
) -> TokenModel:
    """A token; `value` only when it has just been made."""
    return TokenModel(
        id=token.id,
        kind="api_token",
        user=user.name,
        roles=[],
        scopes=scopes,
        note=token.name,
        created=token.created_at,
        expires_at=token.expires_at,
        last_activity=token.last_used_at,
        token=value,
    )
