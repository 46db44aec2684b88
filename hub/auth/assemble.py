"""Puts the parts of authentication together: for the service, the command line and tests."""

from __future__ import annotations

from dataclasses import dataclass

from hub.auth.guard import Guard
from hub.auth.invitations import Invitations
from hub.auth.passwords import Passwords
from hub.auth.recent import RecentIdentities
from hub.auth.sign_ins import SignIns
from hub.auth.tokens import Tokens
from hub.auth.users import Users
from hub.config import Settings
from hub.store.engine import Store
from proxy.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class Auth:
    """The services of authentication. They share the identities found moments ago."""

    guard: Guard
    users: Users
    passwords: Passwords
    sign_ins: SignIns
    tokens: Tokens
    invitations: Invitations

    async def close(self) -> None:
        """Let go of the threads that check passwords."""
        await self.passwords.close()


def make_auth(settings: Settings, store: Store, clock: Clock) -> Auth:
    """Everything of hub.auth, over one store. Close it with `Auth.close`; the store stays open."""
    recent = RecentIdentities(clock)
    sign_ins = SignIns(store, clock, recent, idle=settings.sign_in_idle, longest=settings.sign_in_max)
    tokens = Tokens(store, clock, recent)
    passwords = Passwords(store, clock, recent)
    return Auth(
        guard=Guard(sign_ins, tokens, recent, secure=settings.secure_cookies),
        users=Users(store, clock, recent),
        passwords=passwords,
        sign_ins=sign_ins,
        tokens=tokens,
        invitations=Invitations(store, clock, recent, passwords),
    )
