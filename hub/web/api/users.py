"""``/hub/api/user`` and ``/hub/api/users``: who asks, and everybody within their reach."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

import msgspec

from hub.auth.identity import Credential
from hub.domain.scopes import Scope
from hub.domain.users import Role, User
from hub.errors import BadRequest, Conflict
from hub.http.handler import Over
from hub.store.directory import Having, Order, Wanted
from hub.web import removal
from hub.web.api.base import ApiHandler
from hub.web.api.models import Activity, ChangedUser, NewUser, NewUsers, UserModel
from hub.web.api.shown import View

MAX_NEW_USERS = 1000
MAX_FILTER_CHARS = 64
MAX_SKEW = timedelta(minutes=1)
_ORDERS = {"id": Order.ADDED, "name": Order.NAME, "last_activity": Order.ACTIVITY}


class UsersHandler(ApiHandler):
    """Base of what answers with users."""

    @property
    def view(self) -> View:
        """How the asker sees things."""
        settings = self.services.settings
        origin = settings.public_url.rstrip("/") if settings.public_url else None
        return View(self.identity, self.services.running.default_profile, origin)

    async def model(self, user: User, *, stopped: bool = False) -> UserModel:
        """The user as the asker sees them."""
        async with self.services.store.reading() as unit:
            [shown] = await self.view.users(unit, [user], stopped=stopped)
        return shown


class Self(UsersHandler):
    """``/hub/api/user``."""

    over = Over.NOTHING

    async def get(self) -> None:
        """Who asks, and by what."""
        identity = self.identity
        by_token = identity.credential is Credential.TOKEN
        scopes = await self.services.authority.show_scopes(identity.scopes) if by_token else ["inherit"]
        shown = msgspec.structs.replace(
            await self.model(identity.user),
            scopes=scopes,
            token_id=identity.principal if by_token else None,
            session_id=None if by_token else identity.principal,
        )
        self.write_json(shown)


class Users(UsersHandler):
    """``/hub/api/users``."""

    permission: ClassVar[Mapping[str, Scope]] = {"GET": Scope.LIST_USERS, "POST": Scope.ADMIN_USERS}
    over = Over.SOME
    repeatable = True

    async def get(self) -> None:
        """People within the asker's reach, by page; see the OpenAPI file for the query."""
        within = self.identity.reach(Scope.LIST_USERS)
        part, stopped = self.slice(), self.flag("include_stopped_servers")
        state, sort = self.get_query_argument("state", ""), self.get_query_argument("sort", "name")
        name_filter = self.get_query_argument("name_filter", "")[:MAX_FILTER_CHARS]
        if state not in {"", *Having}:
            raise BadRequest("state must be active, inactive or ready.")
        if sort.removeprefix("-") not in _ORDERS:
            raise BadRequest(f"sort must be one of {', '.join(_ORDERS)}, with a dash before it to turn it round.")
        wanted = Wanted(name_filter=name_filter, having=Having(state) if state else None, within=within)
        order = _ORDERS[sort.removeprefix("-")]
        async with self.services.store.reading() as unit:
            total = await unit.directory.count(wanted)
            users = await unit.directory.page(wanted, part.offset, part.limit, order, descending=sort.startswith("-"))
            models = await self.view.users(unit, users, stopped=stopped)
        query = {"state": state, "name_filter": name_filter, "sort": sort if sort != "name" else ""}
        self.write_page(models, part, total, **query, include_stopped_servers="1" if stopped else "")

    async def post(self) -> None:
        """Add users; all or none of the names must be possible, names that exist are left out."""
        await self.require(Scope.ADMIN_USERS)
        wanted = self.body(NewUsers)
        if not 1 <= len(wanted.usernames) <= MAX_NEW_USERS:
            raise BadRequest(f"usernames must hold 1 to {MAX_NEW_USERS} names.")
        role, actor = Role.ADMIN if wanted.admin else Role.USER, self.identity.user.id
        await self.services.authority.check_role(self.identity, role)
        added = await self.services.users.add_many(wanted.usernames, role, actor, self.address)
        if not added:
            raise Conflict("All of these users exist already.")
        async with self.services.store.reading() as unit:
            models = await self.view.users(unit, added)
        self.write_json(models, 201)


class OneUser(UsersHandler):
    """``/hub/api/users/<name>``."""

    permission: ClassVar[Mapping[str, Scope]] = {
        "GET": Scope.READ_USERS_NAME,
        "POST": Scope.ADMIN_USERS,
        "PATCH": Scope.ADMIN_USERS,
        "DELETE": Scope.DELETE_USERS,
    }
    over = Over.USER
    repeatable = True

    async def get(self, _name: str) -> None:
        """The user, with containers that do not run if ``include_stopped_servers`` is asked for."""
        user = self.user
        self.write_json(await self.model(user, stopped=self.flag("include_stopped_servers")))

    async def post(self, name: str) -> None:
        """Add a user (201)."""
        wanted = self.body(NewUser)
        role = wanted.role if wanted.role is not None else (Role.ADMIN if wanted.admin else Role.USER)
        actor, services = self.identity.user.id, self.services
        await services.authority.check_role(self.identity, role)
        user = await services.users.add(name, role, actor, self.address)
        if wanted.display_name or wanted.email:
            user = await services.users.describe(
                user, actor, self.address, display_name=wanted.display_name, email=wanted.email
            )
        self.write_json(await self.model(user), 201)

    async def patch(self, _name: str) -> None:
        """Change what is given: name, role (or `admin`), disabled, display name, e-mail address."""
        user = self.user
        change, services, actor = self.body(ChangedUser), self.services, self.identity.user.id
        await services.authority.check_over(self.identity, user)
        user = await self._with_role(user, change)
        if change.disabled is not None and change.disabled != (user.disabled_at is not None):
            if change.disabled:
                user = await removal.disable(services, user, actor, self.address)
            else:
                user = await services.users.enable(user, actor, self.address)
        if change.display_name is not None or change.email is not None:
            user = await services.users.describe(
                user, actor, self.address, display_name=change.display_name, email=change.email
            )
        if change.name is not None:
            user = await services.users.rename(user, change.name, actor, self.address)
        self.write_json(await self.model(user))

    async def delete(self, _name: str) -> None:
        """Stop the user's containers and delete the user (204)."""
        user = self.user
        await self.services.authority.check_over(self.identity, user)
        if user.id == self.identity.user.id:
            raise BadRequest("You cannot delete yourself; another administrator can.")
        await removal.delete(self.services, user, self.identity.user.id, self.address)
        self.set_status(204)

    async def _with_role(self, user: User, change: ChangedUser) -> User:
        role = change.role
        if role is None and change.admin is not None and change.admin != user.is_admin:
            role = Role.ADMIN if change.admin else Role.USER
        if role is None or role == user.role:
            return user
        await self.services.authority.check_role(self.identity, role, user.id)
        return await self.services.users.set_role(user, role, self.identity.user.id, self.address)


class UserActivity(ApiHandler):
    """``/hub/api/users/<name>/activity``: what JupyterHub's servers report; the hub sees most of it itself."""

    permission = Scope.USERS
    over = Over.USER

    async def post(self, _name: str) -> None:
        """Remember a later `last_activity` than is known; what is said of servers is accepted and dropped."""
        user = self.user
        at, now = self.body(Activity).last_activity, self.services.clock.now()
        if at is not None and at.tzinfo is None:
            raise BadRequest("last_activity must say its offset from UTC, as 2026-01-31T12:00:00Z does.")
        if at is not None and at <= now + MAX_SKEW and (user.last_activity_at is None or at > user.last_activity_at):
            async with self.services.store.unit() as unit:
                await unit.users.touch(user.id, min(at, now))
        self.write_json({}, 200)
