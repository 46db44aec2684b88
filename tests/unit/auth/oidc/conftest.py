"""A provider that is really asked over HTTP, and the hub's side of it over a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.fernet import Fernet

from hub.auth.oidc.service import Providers, Purpose, Return
from hub.auth.secrets import Secrets
from hub.config.providers import Provider
from hub.domain.users import User
from hub.store.engine import Store
from proxy.kit.clock import SystemClock
from tests.harness.openid import CLIENT_ID, CLIENT_SECRET, FakeOpenId, fake_openid

CALLBACK = "http://127.0.0.1:8000/hub/oauth/idp/callback"
BROWSER = "the-secret-of-the-browsers-own-cookie"


class MovableClock(SystemClock):
    """The real time, and what a test adds to the monotonic one."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@dataclass
class Relying:
    """The hub with one provider, ``idp``."""

    providers: Providers
    fake: FakeOpenId
    store: Store
    clock: MovableClock
    settings: dict[str, Any] = field(default_factory=dict)

    async def start(self, purpose: Purpose = Purpose.SIGN_IN, user: User | None = None, next: str = "") -> str:
        """Begin in our browser; the provider's address."""
        return await self.providers.start("idp", BROWSER, CALLBACK, purpose=purpose, next=next, user=user)

    async def sign_in(self, **more: str) -> Return:
        """Begin, agree at the provider, come back."""
        return await self.providers.finish("idp", BROWSER, self.fake.agree(await self.start(), **more))


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenId]:
    async with fake_openid() as running:
        yield running


@pytest.fixture
async def make_relying(fake: FakeOpenId, store: Store) -> AsyncIterator[Callable[..., Relying]]:
    """Makes the hub's side; keyword arguments are the provider's settings."""
    made: list[Providers] = []

    def make(**settings: Any) -> Relying:
        base = {"kind": "oidc", "issuer": fake.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        given = {name: value for name, value in {**base, **settings}.items() if value is not None}
        clock = MovableClock()
        secrets = Secrets([Fernet.generate_key()])
        made.append(Providers({"idp": Provider.model_validate(given)}, store, secrets, clock))
        return Relying(made[-1], fake, store, clock)

    yield make
    for providers in made:
        await providers.close()


@pytest.fixture
def relying(make_relying: Callable[..., Relying]) -> Relying:
    """A hub with one plain provider."""
    return make_relying()
