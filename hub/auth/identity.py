"""An identity: who a request comes from, by which credentials, and what it may do.

A browser's sign-in alone permits what is one's own. What reaches beyond, over other people and the hub, somebody at a
browser has only while it is proven that they sit there (hub.auth.presence); programs with a token have it always.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from hub.domain.ids import GroupId, PrincipalId, UserId
from hub.domain.permissions import NO_GRANTS, Grants, Reach
from hub.domain.roles import own_grants
from hub.domain.scopes import Scope
from hub.domain.users import User


class Credential(StrEnum):
    """How the request was authenticated. Only a cookie can be sent by a page that did not mean to."""

    COOKIE = "cookie"
    TOKEN = "token"  # noqa: S105 - the name of a kind, not a secret
    PASSWORD = "password"  # noqa: S105 - name and password came with this one request


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, the sign-in or token used, what it permits, and the token to expect in state-changing requests.

    `xsrf` is bound to the sign-in; it is empty for API tokens, which need none. `scopes` are those of a token, as they
    are kept; empty for sign-ins, and for tokens that inherit all from their owner. `grants`: everything that is held
    while presence is proven, with a token cut to its scopes. `present`: whether it is; False leaves what is one's own.
    `presence`: the token that proves it, which the hub's own pages carry; `presence_at`: when it was used last.
    `rotates`: the cookie is due for a fresh secret. `provided_by`: issuer and subject, where a provider signed them in.
    """

    user: User
    principal: PrincipalId
    credential: Credential
    xsrf: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ()
    grants: Grants = NO_GRANTS
    present: bool = True
    presence: str = field(default="", repr=False)
    presence_at: datetime | None = None
    rotates: bool = False
    provided_by: tuple[str, str] | None = None

    @property
    def effective(self) -> Grants:
        """What it permits now."""
        return self.grants if self.present else self.grants.cut(own_grants(self.user.role, self.user.id))

    @property
    def is_admin(self) -> bool:
        """Whether everything in the hub is permitted now; never with a token of restricted scopes."""
        return self.may(Scope.ADMIN_USERS) and self.user.is_admin and not self.scopes

    def may(
        self,
        scope: Scope,
        user: UserId | None = None,
        group: GroupId | None = None,
        groups: frozenset[GroupId] = frozenset(),
    ) -> bool:
        """Whether it permits this now: concerning a user, who is in `groups`, or a group; with neither, without limit.

        Where the user's groups are not known, `hub.http.handler.HubHandler.require` asks the database for them.
        """
        reach = self.reach(scope)
        if user is not None:
            return reach.has_user(user, groups)
        return reach.has_group(group) if group is not None else reach.everything

    def may_self(self, scope: Scope) -> bool:
        """Whether it permits this now concerning the asker's own things."""
        return self.reach(scope).has_user(self.user.id)

    def reach(self, scope: Scope) -> Reach:
        """Over whom it permits this now, for handlers of collections that filter; nobody, if not at all."""
        return self.effective.reach(scope)

    def could(self, scope: Scope) -> bool:
        """Whether it would permit this over anybody once presence is proven: for navigation, and to ask for it."""
        return bool(self.grants.reach(scope))

    @classmethod
    def of_own_things(cls, user: User) -> Identity:
        """Of somebody who gave name and password with this one request: only what is their own."""
        grants = own_grants(user.role, user.id)
        return cls(user, PrincipalId(""), Credential.PASSWORD, grants=grants, present=False)

    @property
    def sits_there(self) -> bool:
        """Whether it is proven that a person sits at a browser: a token never is, and scripts make tokens of `self`."""
        return self.present and self.credential is Credential.COOKIE

    def with_presence(self) -> Identity:
        """The same, with presence proven."""
        return self if self.present else replace(self, present=True)
