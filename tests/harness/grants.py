"""Identities for handlers' tests that have no database: what the guard would work out."""

from __future__ import annotations

from dataclasses import dataclass, field

from hub.auth.identity import Credential, Identity
from hub.domain.ids import PrincipalId
from hub.domain.permissions import granted
from hub.domain.roles import built_in_grants
from hub.domain.scopes import InvalidScope, parse_scope
from hub.domain.users import User


def identity_of(
    user: User, credential: Credential, xsrf: str = "", scopes: tuple[str, ...] = (), principal: str = "p"
) -> Identity:
    """An identity with the grants of the user's role, cut to a token's scopes; presence counts as proven."""
    grants = built_in_grants(user.role, user.id)
    if scopes:
        known = []
        for scope in scopes:
            try:
                known.append(parse_scope(scope))
            except InvalidScope:
                continue
        grants = granted(known, user.id).cut(grants)
    return Identity(user, PrincipalId(principal), credential, xsrf, scopes, grants)


@dataclass
class FakeRefusals:
    """Refusals in memory."""

    noted: list[str] = field(default_factory=list)

    async def note(self, identity: Identity, what: str, scope: str, subject: str, address: str) -> None:
        self.noted.append(what)


@dataclass
class FakeAuthority:
    """Nobody is in any group, and refusals are kept here."""

    refusals: FakeRefusals = field(default_factory=FakeRefusals)

    async def groups_of(self, user: str) -> frozenset[str]:
        return frozenset()
