"""Authority: what everybody may do, worked out from roles, groups and tokens' scopes; and what may be given to others.

Nobody can give what they do not have: a role, a token, a place in a group, a link with which somebody signs in, all
pass one of the `check_` methods here, which compare what the receiver would hold with what the giver holds now
(CVE-2024-41942). Names, as the configuration and people write them, become ids here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hub.auth.identity import Identity
from hub.auth.refusals import Refusals
from hub.domain.ids import GroupId, UserId
from hub.domain.permissions import Grants, GroupsOf, Reach, granted
from hub.domain.roles import (
    BUILT_IN,
    OWNER_OVER_MEMBERS,
    CustomRole,
    built_in_grants,
    is_named,
    owner_grants,
    resolved,
)
from hub.domain.scopes import INHERIT, MAX_SCOPES, Filter, InvalidScope, Scope, ScopeText, parse_scope, with_included
from hub.domain.users import ApiToken, Group, InvalidUsername, MemberRole, Role, User, normalise_username
from hub.errors import BadRequest, Forbidden
from hub.store.engine import Store
from hub.store.permissions import Place
from hub.store.unit import Unit
from proxy.kit.clock import Clock


class Authority:
    """Works out grants. `roles`: those of the configuration, by name."""

    def __init__(self, store: Store, clock: Clock, roles: Mapping[str, CustomRole]) -> None:
        self._store = store
        self._roles = roles
        self.refusals = Refusals(store, clock)

    @property
    def role_names(self) -> list[str]:
        """The names of all roles, those of the configuration last."""
        return [*Role, *self._roles]

    def known_role(self, name: str) -> str:
        """The name, if there is such a role. Raises BadRequest."""
        if name not in self.role_names:
            raise BadRequest(f"There is no role {name[:40]!r}; there are {', '.join(self.role_names)}.")
        return name

    # -- what somebody may do ---------------------------------------------------------------------------

    async def grants_of(self, user: User) -> Grants:
        """Everything that a user may do, once they have proven to be present."""
        async with self._store.reading() as unit:
            places = await unit.permissions.places(user.id)
            owned = [place.group.id for place in places if place.owns]
            applying = self._applying(user.role, places)
            grants = built_in_grants(user.role, user.id).join(owner_grants(owned, user.id))
            return grants.join(await self._of_roles(unit, applying, user.id))

    async def grants_of_token(self, token: ApiToken, user: User) -> Grants:
        """Its scopes, cut to what its owner may do now; all of that for a token that inherits."""
        owners = await self.grants_of(user)
        if not token.scopes or INHERIT in token.scopes:
            return owners
        wanted = granted(_known(token.scopes), user.id)
        return wanted.cut(owners, await self.groups_that_matter(wanted, owners))

    async def groups_of(self, user: UserId) -> frozenset[GroupId]:
        """The groups that a user is in, as `Identity.may` wants them."""
        async with self._store.reading() as unit:
            return (await unit.permissions.groups_of([user]))[user]

    async def groups_that_matter(self, *grants: Grants) -> GroupsOf:
        """The groups of the users whom these grants name; nothing where no grant names a group either."""
        if not any(reach.groups for each in grants for reach in each.held.values()):
            return {}
        async with self._store.reading() as unit:
            return await unit.permissions.groups_of(frozenset().union(*(each.named_users for each in grants)))

    def _applying(self, role: str, places: Iterable[Place]) -> list[CustomRole]:
        given = [r for r in self._roles.values() if any(r.is_given_by(place.group, place.source) for place in places)]
        own = self._roles.get(role) if role not in BUILT_IN else None
        return given if own is None else [own, *given]

    async def _of_roles(self, unit: Unit, roles: Sequence[CustomRole], user: UserId) -> Grants:
        texts = [text for role in roles for text in role.scopes]
        users = {text.only.value for text in texts if text.only and text.only.kind == "user" and text.only.value}
        entries = {text.only.value for text in texts if text.only and text.only.kind == "group"}
        user_ids = await unit.permissions.user_ids(users) if users else {}
        names = {name for entry in entries for name in (entry, entry.partition(":")[2]) if name}
        found = await unit.permissions.groups_named(names) if names else []
        groups = {entry: group.id for entry in entries for group in found if is_named(group, entry)}
        return granted(resolved(texts, user_ids, groups), user)

    # -- scopes as people write them --------------------------------------------------------------------

    async def read_scopes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Scopes for a token, as they are kept: with ids in their filters.

        Raises BadRequest for an unknown scope, user or group, and for too many.
        """
        if not 1 <= len(texts) <= MAX_SCOPES:
            raise BadRequest(f"A token has 1 to {MAX_SCOPES} scopes.")
        if INHERIT in texts:
            return (INHERIT,)
        try:
            parsed = [_canonical(parse_scope(text)) for text in dict.fromkeys(texts)]
        except InvalidScope as error:
            raise BadRequest(f"A scope is not as expected: {error}.") from error
        names = {text.only.value for text in parsed if text.only and text.only.kind == "user" and text.only.value}
        groups = {text.only.value for text in parsed if text.only and text.only.kind == "group"}
        async with self._store.reading() as unit:
            user_ids = await unit.permissions.user_ids(names) if names else {}
            found = await unit.permissions.groups_named(groups) if groups else []
        ids = resolved(parsed, user_ids, {group.name: group.id for group in found})
        if len(ids) != len(parsed):
            # The same words whether they do not exist or may not be known about.
            raise BadRequest("A scope's filter names a user or a group that does not exist.")
        return tuple(map(str, ids))

    async def show_scopes(self, scopes: Iterable[str]) -> list[str]:
        """Scopes as they are kept, with the names of now; what is gone is left out. ``inherit`` for none."""
        parsed = list(_known(scopes))
        ids = {text.only.value for text in parsed if text.only}
        if not parsed:
            return [INHERIT] if not list(scopes) or INHERIT in scopes else []
        if not ids:
            return list(map(str, parsed))
        async with self._store.reading() as unit:
            names = await unit.permissions.user_names(ids) | await unit.permissions.group_names(ids)
        return [
            f"{text.scope.value}!{text.only.kind}={names[text.only.value]}"
            if text.only and text.only.value
            else str(text)
            for text in parsed
            if not text.only or not text.only.value or text.only.value in names
        ]

    # -- what may be given ------------------------------------------------------------------------------

    async def check_no_more(
        self, giver: Identity, given: Grants, what: str, subject: str = "", *, audited: bool = True
    ) -> None:
        """Raise Forbidden, audited, unless `given` is within what the giver holds now.

        `what`: what would hold it, in words; `subject`: the id of who would.
        """
        beyond = given.beyond(giver.effective, await self.groups_that_matter(given, giver.effective))
        if beyond:
            most = [scope for scope in beyond if not any(scope in with_included(each) - {each} for each in beyond)]
            shown = ", ".join(most[:5]) + (", …" if len(most) > 5 else "")
            if audited:
                await self.refusals.note(giver, f"giving {what} more than is held", most[0], subject, "")
            raise Forbidden(
                f"You cannot give {what} more than you may do yourself: {shown} is not yours to give so far."
            )

    async def check_role(self, giver: Identity, role: str, user: UserId | None = None) -> None:
        """Whether the giver may give a role to a user, who is new if None. Raises BadRequest, Forbidden."""
        self.known_role(role)
        receiver = user or UserId("")
        async with self._store.reading() as unit:
            custom = await self._of_roles(unit, self._applying(role, []), receiver)
        await self.check_no_more(
            giver, _beyond_own(built_in_grants(role, receiver).join(custom), receiver), "a role", receiver
        )

    async def check_over(self, giver: Identity, user: User) -> None:
        """Whether the giver may act upon a user's account, who may hold no more than the giver beyond their own.

        For everything with which one becomes another or keeps them out: links to set a password, suspending, deleting,
        renaming, ending sign-ins, resetting second factors. Raises Forbidden.
        """
        if user.id != giver.user.id:
            await self.check_no_more(giver, _beyond_own(await self.grants_of(user), user.id), "somebody", user.id)

    async def check_place(self, giver: Identity, group: Group, user: User, role: MemberRole) -> None:
        """Whether the giver may put a user into a group, as a member or an owner. Raises Forbidden.

        A member comes under the power of the group's owners, and gets the roles that the group gives: the giver must
        hold both. So an owner adds to a group only whom they reach already, not anybody of the hub.
        """
        mine, groups = giver.effective, await self.groups_of(user.id)
        if not all(mine.reach(scope).has_user(user.id, groups) for scope in OWNER_OVER_MEMBERS):
            await self.refusals.note(giver, f"putting somebody into {group.name}", Scope.LIST_USERS, user.id, "")
            raise Forbidden(f"You cannot put {user.name} into a group: you reach only the people of your own groups.")
        await self.check_group(giver, group)
        if role is MemberRole.OWNER:
            await self.check_no_more(giver, owner_grants([group.id], user.id), "an owner", user.id)

    async def check_group(self, giver: Identity, group: Group) -> None:
        """Whether the giver may make a group, rename one so, or fill it: roles of the configuration may come with it.

        Raises Forbidden.
        """
        for role in self._roles.values():
            if role.could_be_given_by(group):
                await self.check_role(giver, role.name)


def _beyond_own(grants: Grants, user: UserId) -> Grants:
    """The grants without what concerns only the user: that comes with being somebody, whoever makes them."""
    kept = {}
    for scope, reach in grants.held.items():
        others = Reach(reach.everything, reach.users - {user}, reach.groups)
        if others:
            kept[scope] = others
    return Grants(kept)


def _canonical(text: ScopeText) -> ScopeText:
    """The scope with the user's name of its filter, if any, as names are kept."""
    if text.only is None or text.only.kind != "user" or not text.only.value:
        return text
    try:
        return ScopeText(text.scope, Filter("user", normalise_username(text.only.value)))
    except InvalidUsername as error:
        raise BadRequest(f"A scope's filter names nobody: {error}") from error


def _known(scopes: Iterable[str]) -> Iterable[ScopeText]:
    """The scopes that this release knows; others grant nothing."""
    for text in scopes:
        try:
            yield parse_scope(text)
        except InvalidScope:
            continue
