"""The hub's REST API below ``/hub/api``: users, their workspace as JupyterHub's *server*, tokens.

Scripts written for JupyterHub's users and tokens, and VS Code's JupyterHub extension, work with it.
"""

from __future__ import annotations

import platform
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from hub.auth.identity import Credential
from hub.auth.tokens import DEFAULT_LIFETIME, LONGEST_LIFETIME
from hub.auth.users import username
from hub.domain.ids import TokenId
from hub.domain.users import Role, User
from hub.domain.workspace import WorkspaceState
from hub.errors import BadRequest, Conflict, Forbidden, HubError, NotFound
from hub.http.handler import Access, HubHandler
from hub.store.unit import Unit
from hub.web import removal
from hub.web.api.models import (
    ChangedUser,
    NewToken,
    NewUser,
    NewUsers,
    Page,
    Pagination,
    UserModel,
    token_model,
    user_model,
)
from hub.workspaces.profiles import profiles_of

try:
    VERSION = version("kernelhub")
except PackageNotFoundError:  # run from a checkout that is not installed
    VERSION = "0"
PAGED = "application/jupyterhub-pagination+json"
DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_NEW_USERS = 1000


class ApiHandler(HubHandler):
    """Base of the API: JSON in and out."""

    access = Access.SIGNED_IN
    page = False

    def error_body(self, error: HubError) -> dict[str, Any]:
        """As everywhere, and `status`, which JupyterHub's clients read."""
        return {"status": error.status, **super().error_body(error)}

    async def target(self, name: str) -> User:
        """The user called `name`, for themselves and for administrators. Raises Forbidden, NotFound."""
        user = self.identity.user
        if self.identity.is_admin:
            return await self.services.users.get(name)
        if name != user.name:
            raise Forbidden("Only administrators may see or change other users.")
        return user

    def require_admin(self) -> None:
        """Raise Forbidden for anybody but administrators."""
        if not self.identity.is_admin:
            raise Forbidden("Only administrators may do this.")

    async def model(self, user: User) -> UserModel:
        """The user as the API shows them."""
        async with self.services.store.reading() as unit:
            return await self.model_in(unit, user)

    async def model_in(self, unit: Unit, user: User) -> UserModel:
        """The same, within a unit of work."""
        groups = [group.name for group in await unit.groups.list_for(user.id)]
        workspaces = await unit.workspaces.list_for(user.id)
        return user_model(user, groups, workspaces, self.services.settings.default_profile)


class Root(ApiHandler):
    """``/hub/api``: which hub this is."""

    access = Access.PUBLIC

    def get(self) -> None:
        """The version, for anyone."""
        self.write_json({"version": VERSION})


class Info(ApiHandler):
    """``/hub/api/info``."""

    access = Access.ADMIN

    def get(self) -> None:
        """What the hub runs on."""
        spawner = {"class": self.services.settings.spawner, "version": VERSION}
        python = {"version": VERSION, "python": platform.python_version()}
        self.write_json({**python, "spawner": spawner, "authenticator": {"class": "password"}})


class Self(ApiHandler):
    """``/hub/api/user``."""

    async def get(self) -> None:
        """Who asks, and by what."""
        identity = self.identity
        by_token = identity.credential is Credential.TOKEN
        model = msgspec.structs.replace(
            await self.model(identity.user),
            scopes=list(identity.scopes) or ["inherit"],
            token_id=identity.principal if by_token else None,
            session_id=None if by_token else identity.principal,
        )
        self.write_json(model)


class Users(ApiHandler):
    """``/hub/api/users``."""

    access = Access.ADMIN

    async def get(self) -> None:
        """Users in order of their names: query `offset`, `limit`, `name_filter` (how names begin)."""
        offset = self._number("offset", 0, 10**9)
        limit = max(1, self._number("limit", DEFAULT_LIMIT, MAX_LIMIT))
        prefix = self.get_query_argument("name_filter", "")[:64]
        async with self.services.store.reading() as unit:
            total = await unit.users.count(prefix)
            users = await unit.users.list(prefix, offset, limit)
            models = [await self.model_in(unit, user) for user in users]
        if PAGED not in self.request.headers.get("Accept", ""):
            self.write_json(models)
            return
        after = offset + limit
        url = self.services.settings.public_url or f"{self.scheme}://{self.request.host}"
        query = f"offset={after}&limit={limit}"
        following: dict[str, int | str] = {
            "offset": after,
            "limit": limit,
            "url": f"{url.rstrip('/')}/hub/api/users?{query}",
        }
        pagination = Pagination(offset, limit, total, following if after < total else None)
        self.write_json(Page(models, pagination))

    async def post(self) -> None:
        """Add users; all or none of the names must be possible, names that exist are left out."""
        wanted = self.body(NewUsers)
        if not 1 <= len(wanted.usernames) <= MAX_NEW_USERS:
            raise BadRequest(f"usernames must hold 1 to {MAX_NEW_USERS} names.")
        role, added = Role.ADMIN if wanted.admin else Role.USER, []
        for name in _canonical(wanted.usernames):
            try:
                added.append(await self.services.users.add(name, role, self.identity.user.id, self.address))
            except Conflict:
                continue
        if not added:
            raise Conflict("All of these users exist already.")
        self.write_json([await self.model(user) for user in added], 201)

    def _number(self, name: str, default: int, most: int) -> int:
        text = self.get_query_argument(name, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise BadRequest(f"{name} must be a number.")
        return min(int(text), most)


class OneUser(ApiHandler):
    """``/hub/api/users/<name>``."""

    async def get(self, name: str) -> None:
        """The user."""
        self.write_json(await self.model(await self.target(name)))

    async def post(self, name: str) -> None:
        """Add a user (201)."""
        self.require_admin()
        role = Role.ADMIN if self.body(NewUser).admin else Role.USER
        user = await self.services.users.add(name, role, self.identity.user.id, self.address)
        self.write_json(await self.model(user), 201)

    async def patch(self, name: str) -> None:
        """Make an administrator or no longer one; disable or enable."""
        self.require_admin()
        change, services = self.body(ChangedUser), self.services
        actor, user = self.identity.user.id, await services.users.get(name)
        if change.admin is not None and change.admin != user.is_admin:
            role = Role.ADMIN if change.admin else Role.USER
            user = await services.users.set_role(user, role, actor, self.address)
        if change.disabled is True:
            user = await removal.disable(services, user, actor, self.address)
        elif change.disabled is False:
            user = await services.users.enable(user, actor, self.address)
        self.write_json(await self.model(user))

    async def delete(self, name: str) -> None:
        """Stop the user's containers and delete the user (204)."""
        self.require_admin()
        user = await self.services.users.get(name)
        await removal.delete(self.services, user, self.identity.user.id, self.address)
        self.set_status(204)


class Server(ApiHandler):
    """``/hub/api/users/<name>/server`` and ``…/servers/<profile>``: the user's workspace of a profile."""

    async def post(self, name: str, profile: str = "") -> None:
        """Start it: 201 if it runs, else 202, and the user's model says when it is ready."""
        user = await self.target(name)
        wanted = self._profile(user, profile)
        workspace = await self.services.workspaces.find(user, wanted)
        if workspace is not None and workspace.state is WorkspaceState.RUNNING:
            self.set_status(201)
            return
        self.services.workspaces.ensure_soon(user, wanted)
        self.set_status(202)

    async def delete(self, name: str, profile: str = "") -> None:
        """Stop it (204); the user's other workspaces go on."""
        user = await self.target(name)
        actor = self.identity.user
        reason = "stopped by its user" if actor.id == user.id else "stopped by an administrator"
        workspace = await self.services.workspaces.find(user, self._profile(user, profile))
        if workspace is not None and workspace.state is not WorkspaceState.STOPPED:
            await self.services.workspaces.stop(workspace.id, reason, actor=actor.id)
        self.set_status(204)

    def _profile(self, user: User, name: str) -> str:
        """The profile of that name, the default one without a name. Raises NotFound."""
        profiles = profiles_of(self.services.settings, user)
        if name and name not in profiles:
            raise NotFound(f"There is no profile {name[:64]!r}; there are {', '.join(profiles)}.")
        return name or next(iter(profiles))


class UserTokens(ApiHandler):
    """``/hub/api/users/<name>/tokens``."""

    access = Access.PUBLIC

    def check_meant(self) -> None:
        """As everywhere; but who sends name and password in the body relies on no cookie."""
        if self.found_identity is not None:
            super().check_meant()

    async def get(self, name: str) -> None:
        """The user's tokens, without their values."""
        user = await self.target(name)
        tokens = await self.services.tokens.list(user)
        self.write_json({"api_tokens": [token_model(token, user) for token in tokens]})

    async def post(self, name: str) -> None:
        """Make a token for oneself (201), also by name and password in the body's `auth`.

        An administrator cannot make one for somebody else: it would open their files.
        """
        wanted = self.body(NewToken)
        if self.found_identity is None and wanted.auth is not None:
            username, password = wanted.auth.username, wanted.auth.password
            user = await self.services.passwords.check(username, password, self.address)
        else:
            user = self.identity.user
            if self.identity.scopes:
                raise Forbidden("A token with restricted scopes cannot make tokens.")
        if name != user.name:
            raise Forbidden("Tokens are made by the user whose they are.")
        lifetime = DEFAULT_LIFETIME if wanted.expires_in is None else _lifetime(wanted.expires_in)
        token, value = await self.services.tokens.create(
            user, wanted.note, lifetime, actor=user.id, address=self.address
        )
        self.write_json(token_model(token, user, value), 201)


class OneToken(ApiHandler):
    """``/hub/api/users/<name>/tokens/<id>``."""

    async def get(self, name: str, token_id: str) -> None:
        """The token, without its value."""
        user = await self.target(name)
        for token in await self.services.tokens.list(user):
            if token.id == token_id:
                self.write_json(token_model(token, user))
                return
        raise NotFound("There is no such token.")

    async def delete(self, name: str, token_id: str) -> None:
        """Revoke the token (204)."""
        user = await self.target(name)
        actor = self.identity.user.id
        await self.services.tokens.revoke(user, TokenId(token_id), actor, self.address)
        self.set_status(204)


class NoSuchApi(ApiHandler):
    """Anything else below ``/hub/api``."""

    access = Access.PUBLIC

    async def prepare(self) -> None:
        """404 as JSON, whatever the method and whoever asks."""
        self._begin()
        raise NotFound("There is nothing at this address.")


def _canonical(names: list[str]) -> list[str]:
    return list(dict.fromkeys(username(name) for name in names))


def _lifetime(seconds: int) -> timedelta:
    if not 1 <= seconds <= LONGEST_LIFETIME.total_seconds():
        raise BadRequest(f"expires_in must be between 1 and {int(LONGEST_LIFETIME.total_seconds())} seconds.")
    return timedelta(seconds=seconds)
