"""Roles: names for sets of scopes. Three are built in, others come from the configuration; owning a group is one too.

What a role grants is of two parts: what is one's own, which a browser's sign-in alone permits, and what reaches beyond,
for which somebody at a browser has to have proven lately that they sit there (hub.auth.presence).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from hub.domain.ids import GroupId, UserId
from hub.domain.permissions import Grants, granted
from hub.domain.scopes import MEANING, Concerns, Filter, Scope, ScopeText
from hub.domain.users import Group, Role

BUILT_IN = frozenset(Role)
"""Names that no role of the configuration may have."""
OWN_SOURCE = "hub"

OWNER_OVER_MEMBERS: tuple[Scope, ...] = (
    Scope.LIST_USERS,
    Scope.READ_USERS,
    Scope.READ_USERS_ACTIVITY,
    Scope.SERVERS,
    Scope.READ_HISTORY,
    Scope.MESSAGE_USERS,
)
"""What owning a group permits concerning the users in it."""
OWNER_OVER_GROUP: tuple[Scope, ...] = (Scope.GROUPS, Scope.LIST_GROUPS)
"""What owning a group permits concerning the group itself."""


@dataclass(frozen=True, slots=True)
class CustomRole:
    """A role of the configuration, in addition to being a member. Its filters are names until `resolved`.

    `groups`: whom the hub's people have put into these has the role; with ``keycloak:physics``, whom the provider of
    that name has put into physics. So no learning platform's course gives a role by being called like a team.
    """

    name: str
    scopes: tuple[ScopeText, ...]
    groups: tuple[str, ...] = ()

    def is_given_by(self, group: Group, source: str) -> bool:
        """Whether somebody has the role whom `source`, the hub's people or a provider, has put into the group."""
        return (group.name if source == OWN_SOURCE else f"{source}:{group.name}") in self.groups

    def could_be_given_by(self, group: Group) -> bool:
        """Whether some in a group of this name have the role, whoever puts them there."""
        return any(group.name in (entry, entry.partition(":")[2]) for entry in self.groups)


def is_named(group: Group, entry: str) -> bool:
    """Whether an entry of the configuration means this group."""
    return entry == (group.name if group.source == OWN_SOURCE else f"{group.source}:{group.name}")


def own_grants(role: str, user: UserId) -> Grants:
    """What concerns nobody but the user: everything for members, all but tokens for guests."""
    grants = granted([ScopeText(Scope.SELF)], user)
    return grants.without({Scope.TOKENS, Scope.READ_TOKENS}) if role == Role.GUEST else grants


def built_in_grants(role: str, user: UserId) -> Grants:
    """What a role that is built in permits; any other name only what is one's own."""
    every = granted(map(ScopeText, Scope), user) if role == Role.ADMIN else Grants()
    return own_grants(role, user).join(every)


def owner_grants(groups: Collection[GroupId], user: UserId) -> Grants:
    """What owning these groups permits."""
    scopes = (*OWNER_OVER_MEMBERS, *OWNER_OVER_GROUP)
    return granted((ScopeText(scope, Filter("group", group)) for group in groups for scope in scopes), user)


def resolved(
    scopes: Iterable[ScopeText], users: Mapping[str, UserId], groups: Mapping[str, GroupId]
) -> list[ScopeText]:
    """The scopes with ids in place of names; those whose filter names nobody are left out."""
    found = []
    for text in scopes:
        if text.only is None or not text.only.value:
            found.append(text)
        elif (value := (users if text.only.kind == "user" else groups).get(text.only.value)) is not None:
            found.append(ScopeText(text.scope, Filter(text.only.kind, value)))
    return found


def concerns_users(scope: Scope) -> bool:
    """Whether the scope is about users, and so can be held over some of them."""
    return MEANING[scope][0] is Concerns.USERS
