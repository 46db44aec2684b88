"""One-time links: for the first administrator, and for users to set their password."""

from __future__ import annotations

from datetime import timedelta

from hub.auth.digests import MAX_SECRET_CHARS, digest_of, new_secret
from hub.auth.passwords import Passwords
from hub.auth.recent import RecentIdentities
from hub.auth.users import username
from hub.domain.audit import AuditEvent
from hub.domain.users import Role, User
from hub.errors import LinkExpired
from hub.store.engine import Store
from proxy.kit.clock import Clock

SETUP = "setup"
PASSWORD = "password"  # noqa: S105 - what a link is for
SETUP_LIFETIME = timedelta(days=1)
PASSWORD_LIFETIME = timedelta(days=7)
_EXPIRED = "This link was used already, was replaced by a newer one, or is too old. Ask for a new one."


class Invitations:
    """One-time links. A link's secret is told once; using it up and what it permits are one unit of work."""

    def __init__(self, store: Store, clock: Clock, recent: RecentIdentities, passwords: Passwords) -> None:
        self._store = store
        self._clock = clock
        self._recent = recent
        self._passwords = passwords

    async def create_setup(self) -> str | None:
        """The secret of a link ``/hub/setup/<secret>`` for the first administrator; earlier ones end.

        None if there is an administrator already.
        """
        now, secret = self._clock.now(), new_secret()
        async with self._store.unit() as unit:
            if await unit.users.count_admins():
                return None
            await unit.invitations.withdraw(None, SETUP)
            await unit.invitations.add(None, SETUP, digest_of(secret), now + SETUP_LIFETIME)
        return secret

    async def create_for(self, user: User, actor: str, address: str = "") -> str:
        """The secret of a link ``/hub/invitation/<secret>`` to set a password; earlier ones end."""
        now, secret = self._clock.now(), new_secret()
        async with self._store.unit() as unit:
            await unit.invitations.withdraw(user.id, PASSWORD)
            await unit.invitations.add(user.id, PASSWORD, digest_of(secret), now + PASSWORD_LIFETIME)
            await unit.audit.add(AuditEvent(now, "invitation.created", actor, user.id, address))
        return secret

    async def check_setup(self, secret: str) -> None:
        """Raise LinkExpired unless this link can still make the first administrator."""
        async with self._store.reading() as unit:
            found = await unit.invitations.find(_digest(secret), SETUP, self._clock.now())
            if found is None or await unit.users.count_admins():
                raise LinkExpired(_EXPIRED)

    async def invited(self, secret: str) -> User:
        """The user whom this link lets set a password. Raises LinkExpired."""
        async with self._store.reading() as unit:
            found = await unit.invitations.find(_digest(secret), PASSWORD, self._clock.now())
            user = await unit.users.find(found.user_id) if found and found.user_id else None
        if user is None or user.disabled_at is not None:
            raise LinkExpired(_EXPIRED)
        return user

    async def accept_setup(self, secret: str, name: str, password: str, address: str) -> User:
        """Make the first administrator. Raises LinkExpired, BadRequest (name), PasswordRefused, Conflict."""
        await self.check_setup(secret)
        name = username(name)
        self._passwords.require_acceptable(password, name)
        hashed = await self._passwords.hash(password)
        now = self._clock.now()
        async with self._store.unit() as unit:
            taken = await unit.invitations.take(_digest(secret), SETUP, now)
            if taken is None or await unit.users.count_admins():
                raise LinkExpired(_EXPIRED)
            user = await unit.users.add(name, Role.ADMIN, now)
            await unit.passwords.save(user.id, hashed, now)
            await unit.audit.add(AuditEvent(now, "user.first_administrator", user.id, user.id, address))
        return user

    async def accept(self, secret: str, password: str, address: str) -> User:
        """Set the invited user's password and end their sign-ins. Raises LinkExpired, PasswordRefused."""
        user = await self.invited(secret)
        self._passwords.require_acceptable(password, user.name)
        hashed = await self._passwords.hash(password)
        now = self._clock.now()
        async with self._store.unit() as unit:
            taken = await unit.invitations.take(_digest(secret), PASSWORD, now)
            if taken is None or taken.user_id != user.id:
                raise LinkExpired(_EXPIRED)
            await unit.passwords.save(user.id, hashed, now)
            await unit.sign_ins.revoke_all(user.id, now)
            await unit.audit.add(AuditEvent(now, "invitation.accepted", user.id, user.id, address))
        self._recent.clear()
        return user


def _digest(secret: str) -> bytes:
    return digest_of(secret[:MAX_SECRET_CHARS])
