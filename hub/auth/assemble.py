"""Puts the parts of authentication together: for the service, the command line and tests."""

from __future__ import annotations

from dataclasses import dataclass

from hub.auth.arrivals import Arrivals
from hub.auth.authority import Authority
from hub.auth.groups import Groups
from hub.auth.guard import Guard
from hub.auth.invitations import Invitations
from hub.auth.lti.assemble import Lti, make_lti
from hub.auth.oidc.service import Providers
from hub.auth.passwords import Passwords
from hub.auth.presence import Presence
from hub.auth.recent import RecentIdentities
from hub.auth.registrations import Registrations
from hub.auth.second_factors import SecondFactors
from hub.auth.secrets import Secrets, read_or_make_secrets
from hub.auth.sign_ins import SignIns
from hub.auth.throttle import SharedThrottle
from hub.auth.tokens import Tokens
from hub.auth.users import Users
from hub.config import Settings
from hub.config.roles import custom_roles
from hub.store.engine import Store
from proxy.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class Auth:
    """The services of authentication. They share the identities found moments ago."""

    guard: Guard
    authority: Authority
    users: Users
    passwords: Passwords
    sign_ins: SignIns
    tokens: Tokens
    invitations: Invitations
    arrivals: Arrivals
    presence: Presence
    secrets: Secrets
    second_factors: SecondFactors
    registrations: Registrations
    groups: Groups
    providers: Providers
    lti: Lti
    recent: RecentIdentities

    async def close(self) -> None:
        """Let go of the threads that check passwords, and of connections to providers."""
        await self.passwords.close()
        await self.providers.close()
        await self.lti.close()


def make_auth(settings: Settings, store: Store, clock: Clock) -> Auth:
    """Everything of hub.auth, over one store. Close it with `Auth.close`; the store stays open."""
    recent = RecentIdentities(clock)
    authority = Authority(store, clock, custom_roles(settings.roles))
    sign_ins = SignIns(store, clock, recent, idle=settings.sign_in_idle, longest=settings.sign_in_max)
    tokens = Tokens(store, clock, recent, authority)
    throttle = SharedThrottle(store, clock)
    passwords = Passwords(store, clock, recent, throttle)
    presence = Presence(store, clock, recent, settings.presence)
    secrets = read_or_make_secrets(settings.data_dir)
    arrivals = Arrivals(store, clock, recent)
    return Auth(
        guard=Guard(sign_ins, tokens, authority, presence, recent, secure=settings.secure_cookies),
        authority=authority,
        users=Users(store, clock, recent),
        passwords=passwords,
        sign_ins=sign_ins,
        tokens=tokens,
        invitations=Invitations(store, clock, recent, passwords),
        arrivals=arrivals,
        presence=presence,
        secrets=secrets,
        registrations=Registrations(store, clock, passwords, lambda: settings.registration),
        second_factors=SecondFactors(*(store, clock, recent, secrets, throttle, authority, settings.second_factor)),
        groups=Groups(store, clock, recent),
        providers=Providers(settings.providers, store, secrets, clock),
        lti=make_lti(settings.lti, store, clock, arrivals, secrets),
        recent=recent,
    )
