"""Permission: what a handler takes to be called, and whether whoever asks has it. Nothing is permitted by silence.

A handler declares `access` and, unless it is for everybody, `permission`: a scope, or one for each method. `over` says
over whom it must be held. By default that is everybody, so that somebody whose scopes are restricted to a group is
refused by a handler that knows nothing of restrictions; one that filters by itself says so with `Over.SOME`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, NoReturn

import tornado.web

from hub.auth.identity import Identity
from hub.domain.ids import GroupId, UserId
from hub.domain.scopes import OWN_ONLY, Scope
from hub.domain.users import Group, User
from hub.errors import Forbidden, NotFound, PresenceRequired
from hub.http.access_log import printable, shown_path

if TYPE_CHECKING:
    from hub.http.services import Services

PROVE = "For this you must confirm that it is you: open the page anew and try again."


class Access(Enum):
    """Who may call a handler, before its `permission` is looked at."""

    PUBLIC = "anyone"
    SIGNED_IN = "any user"
    OWNER = "the user whose name is in the path"
    ADMIN = "whoever has the permission"


class Over(Enum):
    """Over whom somebody must hold a handler's permission to call it."""

    HUB = "everybody: it is about the hub, or all users or groups"
    SELF = "themselves"
    USER = "the user whose name is the first group of the address's pattern"
    GROUP = "the group whose name is the first group of the address's pattern"
    NOTHING = "nobody: whoever is identified may, as when they ask who they are"
    SOME = "anybody: the handler leaves out what is beyond `Identity.reach`, or asks `require`"


class Permitted(tornado.web.RequestHandler):
    """The part of every handler that decides about permission."""

    access: ClassVar[Access | None] = None
    """Who may call it. None, the default, refuses everybody."""
    permission: ClassVar[Scope | Mapping[str, Scope] | None] = None
    """What it takes to call it, by method if it is not the same for all; None, the default, refuses everybody."""
    over: ClassVar[Over | None] = None
    """Over whom; None: themselves where the permission is for one's own things only, everybody for all others."""

    found_identity: Identity | None = None
    found_user: User | None = None
    """Of handlers `over` a user: the one whom the address names; None while there is none of that name."""
    found_group: Group | None = None
    """Of handlers `over` a group: the one that the address names; None while there is none of that name."""
    address: str = ""
    _groups_of_found: frozenset[GroupId] = frozenset()

    @property
    def services(self) -> Services:
        """Everything that `hub.app` has wired."""
        services: Services = self.application.settings["services"]
        return services

    @property
    def identity(self) -> Identity:
        """Who asks. Raises NotSignedIn where nobody is signed in."""
        raise NotImplementedError

    @classmethod
    def is_declared(cls) -> bool:
        """Whether the handler says who may call it; one that does not refuses everybody."""
        by_permission = cls.permission is not None or cls.over is Over.NOTHING
        return cls.access is Access.PUBLIC or (cls.access is not None and by_permission)

    @classmethod
    def permission_for(cls, method: str) -> Scope | None:
        """What it takes to call this method; None: nobody may."""
        if cls.permission is None or isinstance(cls.permission, Scope):
            return cls.permission
        return cls.permission.get("GET" if method == "HEAD" else method)

    @classmethod
    def over_whom(cls, scope: Scope) -> Over:
        """Over whom the scope has to be held."""
        if cls.over is not None:
            return cls.over
        return Over.SELF if scope in OWN_ONLY else Over.HUB

    async def require(
        self, scope: Scope, user: User | UserId | None = None, group: Group | GroupId | None = None
    ) -> None:
        """Go on only if the asker holds the scope over a user or a group, or with neither over everybody.

        Raises Forbidden, which is audited, or PresenceRequired where only the proof of presence is missing.
        """
        user_id = user.id if isinstance(user, User) else user
        group_id = group.id if isinstance(group, Group) else group
        identity, groups = self.identity, frozenset[GroupId]()
        if user_id is not None and identity.grants.reach(scope).groups:
            groups = await self.services.authority.groups_of(user_id)
        if identity.may(scope, user_id, group_id, groups):
            return
        if identity.with_presence().may(scope, user_id, group_id, groups):
            raise PresenceRequired(PROVE)
        await self.refuse(scope, user_id or group_id or "")

    async def check_permission(self) -> None:
        """Decide by `permission` and `over`, as if presence were proven. Raises Forbidden, which is audited."""
        if self.access is Access.PUBLIC:
            return
        if self.over is Over.NOTHING:
            return
        scope = self.permission_for(self.request.method or "")
        if scope is None:
            await self.refuse(None)
        over, identity = self.over_whom(scope), self.identity.with_presence()
        if over is Over.USER:
            await self._find_user(identity, scope)
        elif over is Over.GROUP:
            async with self.services.store.reading() as unit:
                self.found_group = await unit.groups.find_by_name(self.path_args[0])
        if not self._holds(identity, scope):
            await self.refuse(scope, self.found_user.id if self.found_user is not None else "")

    def lacks_presence(self) -> bool:
        """Whether what `check_permission` allowed is allowed only once presence is proven."""
        scope = self.permission_for(self.request.method or "")
        open_to_all = self.access is Access.PUBLIC or self.over is Over.NOTHING
        return not open_to_all and scope is not None and not self._holds(self.identity, scope)

    async def refuse(self, scope: Scope | None, subject: str = "", message: str = "") -> NoReturn:
        """Audit a refusal of permission, and raise Forbidden."""
        identity = self.identity
        what = f"{printable(self.request.method or '', 16)} {shown_path(self.request.path)}"
        await self.services.authority.refusals.note(identity, what, scope or "", subject, self.address)
        if identity.scopes and not message:
            needed = "" if scope is None else f" It takes {scope}."
            raise Forbidden(f"This token's scopes do not include this.{needed}")
        raise Forbidden(message or "You have no permission to do this.")

    async def _find_user(self, identity: Identity, scope: Scope) -> None:
        name = self.path_args[0]
        if name == identity.user.name:
            self.found_user = identity.user
            return
        with contextlib.suppress(NotFound):
            self.found_user = await self.services.users.get(name)
        if self.found_user is not None and identity.reach(scope).groups:
            self._groups_of_found = await self.services.authority.groups_of(self.found_user.id)

    def _holds(self, identity: Identity, scope: Scope) -> bool:
        """Whether it is held over whom it must be. Over a name that nobody has: only if it is over everybody."""
        match self.over_whom(scope):
            case Over.SELF:
                return identity.may_self(scope)
            case Over.SOME:
                return bool(identity.reach(scope))
            case Over.USER if self.found_user is not None:
                return identity.may(scope, self.found_user.id, groups=self._groups_of_found)
            case Over.GROUP if self.found_group is not None:
                return identity.may(scope, group=self.found_group.id)
        return identity.may(scope)
