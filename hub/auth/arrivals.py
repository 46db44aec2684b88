"""Arrivals: people whom somebody else has signed in, an OpenID provider, a learning platform or a gateway.

All of them end in `Arrivals.arrive`. Who somebody is, is the pair of issuer and subject and nothing else: an e-mail
address or a name that a provider asserts finds no account, or whoever runs one provider could become anybody
(CVE-2024-29033, CVE-2026-33175). A name is only suggested, and an account that has it already keeps it.
"""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hub.auth.recent import RecentIdentities
from hub.domain.audit import AuditEvent
from hub.domain.ids import UserId
from hub.domain.users import MAX_USERNAME_CHARS, InvalidUsername, Role, User, normalise_username
from hub.errors import BadRequest, Conflict, NotAdmitted, NotFound
from hub.store.engine import Store
from hub.store.identities import HUB, ProviderIdentity
from hub.store.unit import Unit
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

MAX_ISSUER_CHARS = 1000
MAX_SUBJECT_CHARS = 1000
MAX_GROUPS = 1000
MAX_GROUP_NAME_CHARS = 200
MAX_DESCRIPTION_CHARS = 200
GROUP_ROLES = frozenset({"member", "owner"})
_TRIES = 5
_NUMBERED_NAMES = 20
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._@+-]+")


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a provider says about somebody, once the provider's own part has checked every bit of it."""

    provider: str
    """The provider's name in the settings; the source of the memberships that it gives."""
    issuer: str
    subject: str
    suggested_name: str
    """What the user name is made from (``preferred_username``, an e-mail's local part); any text."""
    display_name: str = ""
    email: str = ""
    groups: Mapping[str, str] | None = None
    """Names of groups, each with ``member`` or ``owner``; None: the provider says nothing about groups."""
    role: str | None = None
    """The role in the hub, where the settings let this provider decide about it; None: it does not."""
    sid: str = ""
    """The provider's id of its own session with this browser, for its logout messages."""
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the provider's part wants to find with the sign-in later; secrets sealed (hub.auth.secrets)."""
    hub_groups: bool = False
    """Whether `groups` may name groups that the hub's people keep: only where an administrator wrote those names into
    the settings. Otherwise a name that happens to match would make a platform's teacher the owner of a team."""
    leave_other_groups: bool = False
    """Whether groups that are not named stay as they are: a learning platform names one course at a time."""


class Arrivals:
    """Finds or makes the users whom providers sign in, and links identities to users who are there."""

    def __init__(self, store: Store, clock: Clock, recent: RecentIdentities) -> None:
        self._store = store
        self._clock = clock
        self._recent = recent

    async def arrive(self, assertion: Assertion, address: str = "", *, may_be_new: bool = True) -> User:
        """The user whom this assertion is about, made if there is none, in the groups that it names.

        `may_be_new`: whether the provider's settings let people in whom the hub does not know yet. Raises
        NotAdmitted for new people where it is False and for users who are disabled or removed, and BadRequest
        for an assertion that cannot be kept. `PageHandler.begin_sign_in` comes next.
        """
        _require_sound(assertion)
        for attempt in range(_TRIES):
            try:
                async with self._store.unit() as unit:
                    user = await self._arrive(unit, assertion, address, may_be_new)
                break
            except Conflict:  # somebody took the name, or made the group, at the same moment
                if attempt == _TRIES - 1:
                    raise
        else:
            raise AssertionError("unreachable")
        if user is None:
            raise NotAdmitted("You are not among those who may enter here; ask your administrator.")
        if is_barred(user):
            raise NotAdmitted("This account is disabled; ask your administrator.")
        self._recent.clear()
        return user

    async def link(self, user: User, assertion: Assertion, address: str = "") -> None:
        """Let a signed-in user come by this provider, too. Raises Conflict if that identity is somebody else's."""
        _require_sound(assertion)
        now = self._clock.now()
        async with self._store.unit() as unit:
            known = await unit.identities.find(assertion.issuer, assertion.subject)
            if known is not None and known.user_id != user.id:
                raise Conflict("This identity belongs to another account of this hub.")
            if known is None:
                await unit.identities.add(_identity(assertion, user.id, now))
                details: dict[str, Any] = {"provider": assertion.provider, "issuer": assertion.issuer}
                await unit.audit.add(AuditEvent(now, "identity.linked", user.id, user.id, address, details))

    async def unlink(self, user: User, issuer: str, subject: str, actor: str, address: str = "") -> None:
        """Forget an identity of a user. Raises NotFound, and Conflict when they could not sign in any more."""
        now = self._clock.now()
        async with self._store.unit() as unit:
            mine = await unit.identities.list(user.id)
            if (issuer, subject) not in {(identity.issuer, identity.subject) for identity in mine}:
                raise NotFound("There is no such link.")
            if len(mine) == 1 and await unit.passwords.find(user.id) is None:
                raise Conflict("This is the only way to sign in to this account; set a password first.")
            await unit.identities.remove(user.id, issuer, subject)
            await unit.audit.add(AuditEvent(now, "identity.unlinked", actor, user.id, address, {"issuer": issuer}))

    async def identities_of(self, user: User) -> list[ProviderIdentity]:
        """By which providers the user may come."""
        async with self._store.reading() as unit:
            return await unit.identities.list(user.id)

    async def _arrive(self, unit: Unit, assertion: Assertion, address: str, may_be_new: bool) -> User | None:
        """The user, barred or not; None for somebody new who may not be new. A refusal leaves its audit line."""
        now = self._clock.now()
        known = await unit.identities.find(assertion.issuer, assertion.subject)
        user = await unit.users.find(known.user_id) if known is not None else None
        if user is None and not may_be_new:
            await unit.audit.add(_refusal(assertion, now, address, "", "unknown to the hub"))
            return None
        if user is not None and is_barred(user):
            await unit.audit.add(_refusal(assertion, now, address, user.id, "account disabled"))
            return user
        if user is None:
            user = await self._add(unit, assertion, address, now)
        else:
            await unit.identities.used(assertion.issuer, assertion.subject, _claims(assertion), now)
        await unit.identities.describe(user.id, assertion.display_name.strip(), assertion.email.strip())
        user = await self._with_role(unit, user, assertion, address, now)
        await self._with_groups(unit, user, assertion, address, now)
        return user

    async def _add(self, unit: Unit, assertion: Assertion, address: str, now: datetime) -> User:
        for name in _names(assertion.suggested_name):
            if await unit.users.find_by_name(name) is None:
                break
        user = await unit.users.add(name, Role.USER, now)
        await unit.identities.add(_identity(assertion, user.id, now))
        details: dict[str, Any] = {"name": name, "provider": assertion.provider, "issuer": assertion.issuer}
        await unit.audit.add(AuditEvent(now, "user.added", f"provider:{assertion.provider}", user.id, address, details))
        return user

    async def _with_role(self, unit: Unit, user: User, assertion: Assertion, address: str, now: datetime) -> User:
        if assertion.role is None or assertion.role == user.role:
            return user
        if user.is_admin and await unit.users.count_admins() <= 1:
            log.warning("%s stays the last administrator, whatever %s says", user.id, assertion.provider)
            return user
        changed = replace(user, role=assertion.role)
        await unit.users.save(changed)
        await unit.invitations.withdraw(user.id)
        details: dict[str, Any] = {"role": assertion.role, "provider": assertion.provider}
        actor = f"provider:{assertion.provider}"
        await unit.audit.add(AuditEvent(now, "user.role_changed", actor, user.id, address, details))
        return changed

    async def _with_groups(self, unit: Unit, user: User, assertion: Assertion, address: str, now: datetime) -> None:
        if assertion.groups is None:
            return
        changes = await unit.identities.put_into_groups(
            user.id,
            assertion.provider,
            assertion.groups,
            now,
            hub_groups=assertion.hub_groups,
            leave_others=assertion.leave_other_groups,
        )
        if changes:
            details: dict[str, Any] = {"changes": " ".join(changes), "provider": assertion.provider}
            actor = f"provider:{assertion.provider}"
            await unit.audit.add(AuditEvent(now, "user.groups_changed", actor, user.id, address, details))


def is_barred(user: User) -> bool:
    """Whether the user is disabled or marked for deletion."""
    return user.disabled_at is not None or getattr(user, "removed_at", None) is not None


def suggested_username(text: str) -> str:
    """A user name made of any text: what may not stand in one becomes a hyphen; ``user`` if nothing is left."""
    folded = unicodedata.normalize("NFKD", text[: MAX_USERNAME_CHARS * 4]).casefold()
    ascii_only = "".join(char for char in folded if not unicodedata.combining(char))
    name = _NOT_IN_NAMES.sub("-", ascii_only).strip("-._@+")[: MAX_USERNAME_CHARS - 8].rstrip("-._@+")
    return name or "user"


def _names(suggested: str) -> Iterator[str]:
    """The names to try, one after the other: as suggested, with a number, and at last with one nobody has."""
    base = suggested_username(suggested)
    candidates = (f"{base}{number}" if number > 1 else base for number in range(1, _NUMBERED_NAMES))
    for name in itertools.chain(candidates, (f"{base}-{secrets.token_hex(3)}",)):
        try:
            yield normalise_username(name)
        except InvalidUsername:  # one that the hub uses in its own addresses
            continue


def _require_sound(assertion: Assertion) -> None:
    groups = assertion.groups or {}
    sound = (
        0 < len(assertion.issuer) <= MAX_ISSUER_CHARS
        and 0 < len(assertion.subject) <= MAX_SUBJECT_CHARS
        and assertion.provider not in ("", HUB)
        and len(groups) <= MAX_GROUPS
        and all(0 < len(name) <= MAX_GROUP_NAME_CHARS and name.isprintable() for name in groups)
        and GROUP_ROLES.issuperset(groups.values())
        and max(len(assertion.display_name), len(assertion.email)) <= MAX_DESCRIPTION_CHARS
    )
    if not sound:
        raise BadRequest("What the provider says about you cannot be kept; ask your administrator.")


def _identity(assertion: Assertion, user_id: UserId, now: datetime) -> ProviderIdentity:
    claims = _claims(assertion)
    return ProviderIdentity(
        assertion.issuer, assertion.subject, user_id, assertion.provider, claims, created_at=now, last_used_at=now
    )


def _claims(assertion: Assertion) -> dict[str, Any]:
    said = {"name": assertion.suggested_name, "display_name": assertion.display_name, "email": assertion.email}
    return {name: value[:MAX_DESCRIPTION_CHARS] for name, value in said.items() if value}


def _refusal(assertion: Assertion, now: datetime, address: str, user_id: str, reason: str) -> AuditEvent:
    details: dict[str, Any] = {"reason": reason, "provider": assertion.provider, "issuer": assertion.issuer}
    return AuditEvent(now, "sign_in.refused", user_id, user_id, address, details)
