"""Registrations: people who make an account themselves, at once or after an administrator's word."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from hub.auth.passwords import Passwords
from hub.auth.users import username
from hub.config.sign_in import Registration as Rule
from hub.domain.addresses import address_key
from hub.domain.audit import AuditEvent
from hub.domain.ids import new_id
from hub.domain.users import Role, User
from hub.errors import BadRequest, Conflict, Forbidden, NotFound, TooManyRequests
from hub.store.engine import Store
from hub.store.registrations import Registration
from hub.store.unit import Unit
from proxy.kit.clock import Clock

MAX_WAITING = 5_000
MOST_PER_ADDRESS = 100
"""Most tries from one address within an hour of each other: a class behind one router, but no script."""
COUNTED_SECONDS = 10.0
"""So old may the number be that the navigation shows."""
MAX_TEXT_CHARS = 200
MAX_MESSAGE_CHARS = 1000
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody typed into the form."""

    name: str
    password: str
    display_name: str = ""
    email: str = ""
    message: str = ""


class Registrations:
    """Accounts that people ask for. `rule` says what is allowed at the moment: it may change while the hub runs."""

    def __init__(self, store: Store, clock: Clock, passwords: Passwords, rule: Callable[[], Rule]) -> None:
        self._store = store
        self._clock = clock
        self._passwords = passwords
        self._rule = rule
        self._counted = (float("-inf"), 0)

    def follow(self, rule: Callable[[], Rule]) -> None:
        """From now on, `rule` says what is allowed: settings that change while the hub runs."""
        self._rule = rule

    @property
    def rule(self) -> Rule:
        """``closed``, ``approval`` or ``open``."""
        return self._rule()

    async def ask(self, wish: Wish, address: str) -> User | None:
        """Make the account and give its user; None where an administrator decides about it.

        Raises Forbidden where registration is closed, BadRequest (name, texts), PasswordRefused, Conflict (the name is
        taken), TooManyRequests.
        """
        if self.rule == "closed":
            raise Forbidden("Nobody can register here; ask an administrator for an account.")
        name = username(wish.name)
        _require_short(wish)
        self._passwords.require_acceptable(wish.password, name)
        await self._count_try(address)
        hashed = await self._passwords.hash(wish.password)
        async with self._store.unit() as unit:
            if await unit.users.find_by_name(name) is not None:
                raise Conflict(f"There is a user named {name!r} already; choose another name.")
            if self.rule == "open":
                return await self._make(unit, name, hashed, wish.display_name, wish.email, "", address)
            await self._note(unit, name, hashed, wish, address)
        self._counted = (float("-inf"), 0)
        return None

    async def list(self, offset: int = 0, limit: int = 100) -> list[Registration]:
        """Those who wait, the longest first."""
        async with self._store.reading() as unit:
            return await unit.registrations.list(offset, limit)

    async def count(self) -> int:
        """How many wait; a few seconds old."""
        then, count = self._counted
        now = self._clock.monotonic()
        if now - then >= COUNTED_SECONDS:
            async with self._store.reading() as unit:
                count = await unit.registrations.count()
            self._counted = (now, count)
        return count

    async def approve(self, registration_id: str, actor: str, address: str = "") -> User:
        """Make the account. Raises NotFound, and Conflict if the name was given to somebody else meanwhile."""
        async with self._store.unit() as unit:
            wish = await self._take(unit, registration_id)
            user = await self._make(
                unit, wish.name, wish.password_hash, wish.display_name, wish.email, actor, address, approved=True
            )
        self._counted = (float("-inf"), 0)
        return user

    async def refuse(self, registration_id: str, actor: str, address: str = "") -> None:
        """Forget a wish. Raises NotFound."""
        async with self._store.unit() as unit:
            wish = await self._take(unit, registration_id)
            event = AuditEvent(self._clock.now(), "registration.refused", actor, wish.id, address, {"name": wish.name})
            await unit.audit.add(event)
        self._counted = (float("-inf"), 0)

    async def _take(self, unit: Unit, registration_id: str) -> Registration:
        wish = await unit.registrations.find(registration_id)
        if wish is None or not await unit.registrations.remove(registration_id):
            raise NotFound("This wish was decided about already.")
        return wish

    async def _note(self, unit: Unit, name: str, hashed: str, wish: Wish, address: str) -> None:
        if await unit.registrations.count() >= MAX_WAITING:
            raise TooManyRequests("Very many people wait for an account already. Try again tomorrow.", 3600)
        now = self._clock.now()
        noted = Registration(
            id=new_id(),
            name=name,
            password_hash=hashed,
            display_name=wish.display_name.strip(),
            email=wish.email.strip(),
            message=wish.message.strip(),
            address=address,
            created_at=now,
        )
        await unit.registrations.add(noted)
        await unit.audit.add(AuditEvent(now, "registration.asked", "", noted.id, address, {"name": name}))

    async def _make(
        self,
        unit: Unit,
        name: str,
        hashed: str,
        display_name: str,
        email: str,
        actor: str,
        address: str,
        approved: bool = False,
    ) -> User:
        now = self._clock.now()
        user = await unit.users.add(name, Role.USER, now)
        await unit.passwords.save(user.id, hashed, now)
        await unit.identities.describe(user.id, display_name.strip(), email.strip())
        action = "registration.approved" if approved else "user.registered"
        await unit.audit.add(AuditEvent(now, action, actor or user.id, user.id, address, {"name": name}))
        return user

    async def _count_try(self, address: str) -> None:
        key = ("registration", hashlib.sha256(address_key(address).encode("utf-8", "surrogatepass")).hexdigest())
        async with self._store.unit() as unit:
            counts = await unit.sign_in_failures.add([key], self._clock.now(), _HOUR)
        if counts[key] > MOST_PER_ADDRESS:
            raise TooManyRequests("Too many accounts were asked for from your network. Try again in an hour.", 3600)


def _require_short(wish: Wish) -> None:
    texts = (wish.display_name, wish.email)
    if any(len(text) > MAX_TEXT_CHARS or not text.isprintable() for text in texts):
        raise BadRequest(f"Name and e-mail address have at most {MAX_TEXT_CHARS} characters.")
    if len(wish.message) > MAX_MESSAGE_CHARS or "\0" in wish.message:
        raise BadRequest(f"The message has at most {MAX_MESSAGE_CHARS} characters.")
    if wish.email and wish.email.strip().count("@") != 1:
        raise BadRequest("This is no e-mail address; leave it empty if you do not want to give one.")
