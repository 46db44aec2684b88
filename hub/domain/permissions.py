"""Permissions: which scopes somebody holds, and over whom. Sets that can be joined, cut and compared; pure.

Filters are ids here, never names, so that who is renamed keeps what they have and who takes over a name gets nothing.
A cut or a comparison may have to know in which groups a user is (is ``servers!user=alice`` no more than
``servers!group=physics``?): whoever asks gives the groups of the users concerned. What is not given counts as no group,
and two different groups have nothing in common, so that ignorance refuses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from hub.domain.ids import GroupId, UserId
from hub.domain.scopes import MEANING, OWN_ONLY, Concerns, Scope, ScopeText, with_included

GroupsOf = Mapping[UserId, Collection[GroupId]]
"""The groups of users, of those who matter."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Over whom a scope is held: everybody, or these users and everybody in these groups."""

    everything: bool = False
    users: frozenset[UserId] = frozenset()
    groups: frozenset[GroupId] = frozenset()

    def __bool__(self) -> bool:
        """Whether it is held over anybody at all."""
        return self.everything or bool(self.users) or bool(self.groups)

    def has_user(self, user: UserId, groups: Collection[GroupId] = ()) -> bool:
        """Whether a user is within; `groups` are the groups that the user is in."""
        return self.everything or user in self.users or not self.groups.isdisjoint(groups)

    def has_group(self, group: GroupId) -> bool:
        """Whether a group is within."""
        return self.everything or group in self.groups

    def join(self, other: Reach) -> Reach:
        """Everybody who is within either."""
        if self.everything or other.everything:
            return EVERYTHING
        return Reach(users=self.users | other.users, groups=self.groups | other.groups)

    def cut(self, other: Reach, groups_of: GroupsOf) -> Reach:
        """Only who is within both, as far as `groups_of` tells."""
        if self.everything:
            return other
        if other.everything:
            return self
        users = {user for user in self.users if other.has_user(user, groups_of.get(user, ()))}
        users |= {user for user in other.users if self.has_user(user, groups_of.get(user, ()))}
        return Reach(users=frozenset(users), groups=self.groups & other.groups)

    def is_within(self, other: Reach, groups_of: GroupsOf) -> bool:
        """Whether everybody within this is within the other, as far as `groups_of` tells."""
        if other.everything or not self:
            return True
        users_within = all(other.has_user(user, groups_of.get(user, ())) for user in self.users)
        return not self.everything and users_within and self.groups <= other.groups


NOBODY = Reach()
EVERYTHING = Reach(everything=True)


@dataclass(frozen=True, slots=True)
class Grants:
    """The scopes that somebody holds, included ones too, each with its reach."""

    held: Mapping[Scope, Reach] = field(default_factory=dict)

    def reach(self, scope: Scope) -> Reach:
        """Over whom the scope is held; nobody, if it is not."""
        return self.held.get(scope, NOBODY)

    def join(self, other: Grants) -> Grants:
        """What either permits."""
        scopes = self.held.keys() | other.held.keys()
        return Grants({scope: self.reach(scope).join(other.reach(scope)) for scope in scopes})

    def cut(self, other: Grants, groups_of: GroupsOf | None = None) -> Grants:
        """Only what both permit."""
        shared = ((scope, self.reach(scope).cut(other.reach(scope), groups_of or {})) for scope in self.held)
        return Grants({scope: reach for scope, reach in shared if reach})

    def without(self, scopes: Collection[Scope]) -> Grants:
        """The same but for these scopes."""
        return Grants({scope: reach for scope, reach in self.held.items() if scope not in scopes})

    def is_within(self, other: Grants, groups_of: GroupsOf | None = None) -> bool:
        """Whether this permits no more than the other."""
        return not self.beyond(other, groups_of)

    def beyond(self, other: Grants, groups_of: GroupsOf | None = None) -> list[Scope]:
        """The scopes that this holds, or over more, than the other; for telling what is refused."""
        held = self.held.items()
        return sorted(scope for scope, reach in held if not reach.is_within(other.reach(scope), groups_of or {}))

    @property
    def named_users(self) -> frozenset[UserId]:
        """The users whom filters name: those whose groups matter when this is cut or compared."""
        return frozenset().union(*(reach.users for reach in self.held.values()))


NO_GRANTS = Grants()


def granted(scopes: Iterable[ScopeText], own: UserId) -> Grants:
    """What scopes grant to the user `own`, with all that they include. Values of filters are ids."""
    held: dict[Scope, Reach] = {}
    for text in scopes:
        given = _reach(text, own)
        for scope in with_included(text.scope):
            held[scope] = held.get(scope, NOBODY).join(given)
    return Grants(held)


def _reach(text: ScopeText, own: UserId) -> Reach:
    if text.scope in OWN_ONLY:
        return Reach(users=frozenset({own}))
    if text.only is None:
        return EVERYTHING
    if text.only.kind == "group":
        return Reach(groups=frozenset({GroupId(text.only.value)}))
    if MEANING[text.scope][0] is not Concerns.USERS:
        return NOBODY
    return Reach(users=frozenset({UserId(text.only.value or own)}))
