"""Scopes: what can be permitted, one name each, and which of them another one includes.

Names and hierarchy are JupyterHub's where the meaning is the same (its docs, "Scopes in JupyterHub"), so that scripts
and habits carry over; a few are ours, marked so in `MEANING`. A scope alone says what may be done; a filter behind it
says to whom: ``servers`` everybody's, ``servers!user`` one's own, ``servers!user=alice``, ``servers!group=physics``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

INHERIT = "inherit"
"""Of a token: everything that its owner may do, at each use."""
MAX_SCOPE_CHARS = 200
MAX_SCOPES = 50


class InvalidScope(ValueError):
    """The text is no scope of this hub; the message says what is wrong and what there is."""


class Scope(StrEnum):
    """What can be permitted."""

    SELF = "self"
    JUPYTER = "jupyter"
    READ_JUPYTER = "read:jupyter"
    ADMIN_UI = "admin-ui"
    ADMIN_USERS = "admin:users"
    USERS = "users"
    DELETE_USERS = "delete:users"
    LIST_USERS = "list:users"
    READ_USERS = "read:users"
    READ_USERS_NAME = "read:users:name"
    READ_USERS_GROUPS = "read:users:groups"
    READ_USERS_ACTIVITY = "read:users:activity"
    ADMIN_SERVERS = "admin:servers"
    SERVERS = "servers"
    READ_SERVERS = "read:servers"
    START_SERVERS = "start:servers"
    DELETE_SERVERS = "delete:servers"
    ACCESS_SERVERS = "access:servers"
    TOKENS = "tokens"
    READ_TOKENS = "read:tokens"
    ADMIN_GROUPS = "admin:groups"
    GROUPS = "groups"
    LIST_GROUPS = "list:groups"
    READ_GROUPS = "read:groups"
    READ_GROUPS_NAME = "read:groups:name"
    DELETE_GROUPS = "delete:groups"
    READ_HISTORY = "read:history"
    MESSAGE_USERS = "message:users"
    VIEW_USERS = "view:users"
    READ_HUB = "read:hub"
    READ_METRICS = "read:metrics"
    READ_AUDIT = "read:audit"
    ADMIN_SETTINGS = "admin:settings"
    ADMIN_PROFILES = "admin:profiles"
    SHUTDOWN = "shutdown"


class Concerns(StrEnum):
    """What a scope is about, which decides what filters it takes."""

    USERS = "users"
    GROUPS = "groups"
    HUB = "the hub"


MEANING: dict[Scope, tuple[Concerns, str]] = {
    Scope.SELF: (Concerns.USERS, "everything of one's own: notebooks, kernels, containers, tokens, sign-ins"),
    Scope.JUPYTER: (Concerns.USERS, "JupyterLab, files, kernels and terminals of one's own (ours)"),
    Scope.READ_JUPYTER: (Concerns.USERS, "the same, looking only: files, kernels, sessions (ours)"),
    Scope.ADMIN_UI: (Concerns.HUB, "the administrators' pages, as far as other scopes fill them"),
    Scope.ADMIN_USERS: (Concerns.USERS, "add, rename, suspend and invite users, and give them roles"),
    Scope.USERS: (Concerns.USERS, "change what is said of users, end their sign-ins"),
    Scope.DELETE_USERS: (Concerns.USERS, "delete users"),
    Scope.LIST_USERS: (Concerns.USERS, "list users"),
    Scope.READ_USERS: (Concerns.USERS, "see users: names, roles, groups, activity"),
    Scope.READ_USERS_NAME: (Concerns.USERS, "see users' names"),
    Scope.READ_USERS_GROUPS: (Concerns.USERS, "see which groups users are in"),
    Scope.READ_USERS_ACTIVITY: (Concerns.USERS, "see when users were last active"),
    Scope.ADMIN_SERVERS: (Concerns.USERS, "everything about users' containers"),
    Scope.SERVERS: (Concerns.USERS, "start, stop and see users' containers and kernels"),
    Scope.READ_SERVERS: (Concerns.USERS, "see users' containers and kernels"),
    Scope.START_SERVERS: (Concerns.USERS, "start users' containers"),
    Scope.DELETE_SERVERS: (Concerns.USERS, "stop users' containers and kernels"),
    Scope.ACCESS_SERVERS: (Concerns.USERS, "open one's own workspace; another's takes view:users"),
    Scope.TOKENS: (Concerns.USERS, "make tokens of one's own; see and revoke users' tokens"),
    Scope.READ_TOKENS: (Concerns.USERS, "see users' tokens, never their values"),
    Scope.ADMIN_GROUPS: (Concerns.GROUPS, "make groups, and everything about them"),
    Scope.GROUPS: (Concerns.GROUPS, "change groups' members and properties"),
    Scope.LIST_GROUPS: (Concerns.GROUPS, "list groups"),
    Scope.READ_GROUPS: (Concerns.GROUPS, "see groups and who is in them"),
    Scope.READ_GROUPS_NAME: (Concerns.GROUPS, "see groups' names"),
    Scope.DELETE_GROUPS: (Concerns.GROUPS, "delete groups"),
    Scope.READ_HISTORY: (Concerns.USERS, "see the history of users' containers and hours (ours)"),
    Scope.MESSAGE_USERS: (Concerns.USERS, "send users a message that the hub shows (ours)"),
    Scope.VIEW_USERS: (Concerns.USERS, "look into users' files; each look is audited and shown to them (ours)"),
    Scope.READ_HUB: (Concerns.HUB, "see what the hub runs on and how it is"),
    Scope.READ_METRICS: (Concerns.HUB, "read metrics"),
    Scope.READ_AUDIT: (Concerns.HUB, "read the audit log (ours)"),
    Scope.ADMIN_SETTINGS: (Concerns.HUB, "change settings while the hub runs (ours)"),
    Scope.ADMIN_PROFILES: (Concerns.HUB, "change what users can start (ours)"),
    Scope.SHUTDOWN: (Concerns.HUB, "shut the hub down"),
}
"""Of each scope what it is about, and in words what it permits."""

INCLUDES: dict[Scope, tuple[Scope, ...]] = {
    Scope.SELF: (Scope.JUPYTER, Scope.USERS, Scope.SERVERS, Scope.ACCESS_SERVERS, Scope.TOKENS),
    Scope.JUPYTER: (Scope.READ_JUPYTER,),
    Scope.ADMIN_USERS: (Scope.USERS, Scope.LIST_USERS, Scope.DELETE_USERS),
    Scope.USERS: (Scope.READ_USERS,),
    Scope.LIST_USERS: (Scope.READ_USERS_NAME,),
    Scope.READ_USERS: (Scope.READ_USERS_NAME, Scope.READ_USERS_GROUPS, Scope.READ_USERS_ACTIVITY),
    Scope.READ_USERS_GROUPS: (Scope.READ_USERS_NAME,),
    Scope.READ_USERS_ACTIVITY: (Scope.READ_USERS_NAME,),
    Scope.ADMIN_SERVERS: (Scope.SERVERS,),
    Scope.SERVERS: (Scope.READ_SERVERS, Scope.START_SERVERS, Scope.DELETE_SERVERS),
    Scope.READ_SERVERS: (Scope.READ_USERS_NAME,),
    Scope.TOKENS: (Scope.READ_TOKENS,),
    Scope.ADMIN_GROUPS: (Scope.GROUPS, Scope.LIST_GROUPS, Scope.DELETE_GROUPS),
    Scope.GROUPS: (Scope.READ_GROUPS,),
    Scope.LIST_GROUPS: (Scope.READ_GROUPS_NAME,),
    Scope.READ_GROUPS: (Scope.READ_GROUPS_NAME,),
}
"""What each scope includes directly; see `with_included`. A filter of the whole holds for what is included."""

OWN_ONLY = frozenset({Scope.SELF, Scope.JUPYTER, Scope.READ_JUPYTER})
"""Scopes that nobody, administrators neither, has for anybody but themselves: they have no filter but the owner."""


@cache
def with_included(scope: Scope) -> frozenset[Scope]:
    """The scope and all that it includes."""
    found = {scope}
    for included in INCLUDES.get(scope, ()):
        found |= with_included(included)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Filter:
    """To whom a scope is restricted: `kind` is ``user`` or ``group``; `value` a name, or an id once it is resolved.

    ``!user`` alone has an empty value: the owner.
    """

    kind: str
    value: str

    def __str__(self) -> str:
        return f"!{self.kind}={self.value}" if self.value else f"!{self.kind}"


@dataclass(frozen=True, slots=True)
class ScopeText:
    """A scope as it is written and kept. `only` None: without a filter."""

    scope: Scope
    only: Filter | None = None

    def __str__(self) -> str:
        return f"{self.scope.value}{self.only or ''}"


def parse_scope(text: str) -> ScopeText:
    """A scope as people and programs write it. Raises InvalidScope for what this hub does not know."""
    if len(text) > MAX_SCOPE_CHARS or not text.isprintable():
        raise InvalidScope("this is no scope")
    name, has_filter, rest = text.partition("!")
    try:
        scope = Scope(name)
    except ValueError:
        raise InvalidScope(f"there is no scope {name!r}; there are {', '.join(Scope)}") from None
    if not has_filter:
        return ScopeText(scope)
    kind, equals, value = rest.partition("=")
    if kind not in {"user", "group"} or bool(equals) != bool(value) or (kind == "group" and not value):
        raise InvalidScope(f"the filter of {text!r} is none of !user, !user=<name> and !group=<name>")
    concerns, own = MEANING[scope][0], (kind, value) == ("user", "")
    fits = {Concerns.USERS: True, Concerns.GROUPS: kind == "group", Concerns.HUB: False}[concerns]
    if not fits or (scope in OWN_ONLY and not own):
        raise InvalidScope(f"the scope {scope.value!r} cannot have the filter !{rest}")
    return ScopeText(scope, Filter(kind, value))
