"""Users: added, found, disabled, deleted, made administrators; each change with its line in the audit log."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace

from hub.auth.recent import RecentIdentities
from hub.auth.sign_ins import LONG_AGO
from hub.domain.audit import AuditEvent
from hub.domain.users import InvalidUsername, Role, User, normalise_username
from hub.errors import BadRequest, Conflict, NotFound
from hub.store.engine import Store
from hub.store.unit import Unit
from proxy.kit.clock import Clock

MAX_DESCRIPTION_CHARS = 200
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@]{1,190}\Z")


def username(raw: str) -> str:
    """The canonical form of a name that somebody typed. Raises BadRequest with what is allowed."""
    try:
        return normalise_username(raw)
    except InvalidUsername as error:
        raise BadRequest(str(error)) from error


class Users:
    """The hub's users. `actor` is the id of the user who acts, or ``hub`` or ``cli``."""

    def __init__(self, store: Store, clock: Clock, recent: RecentIdentities) -> None:
        self._store = store
        self._clock = clock
        self._recent = recent

    async def add(self, name: str, role: str, actor: str, address: str = "") -> User:
        """A new user, without a password. Raises BadRequest for an impossible name, Conflict for a taken."""
        name, now = username(name), self._clock.now()
        async with self._store.unit() as unit:
            user = await unit.users.add(name, role, now)
            details: dict[str, str | int | float | bool | None] = {"name": name, "role": str(role)}
            await unit.audit.add(AuditEvent(now, "user.added", actor, user.id, address, details))
        return user

    async def add_many(self, names: Iterable[str], role: str, actor: str, address: str = "") -> list[User]:
        """New users without passwords, all of them or none; gives those who were added.

        Names that exist are left out. Raises BadRequest for an impossible name, and Conflict for one that somebody else
        takes at the same moment.
        """
        wanted, now = list(dict.fromkeys(username(name) for name in names)), self._clock.now()
        added = []
        async with self._store.unit() as unit:
            known = await unit.directory.named(wanted)
            for name in wanted:
                if name in known:
                    continue
                added.append(await unit.users.add(name, role, now))
                details: dict[str, str | int | float | bool | None] = {"name": name, "role": str(role)}
                await unit.audit.add(AuditEvent(now, "user.added", actor, added[-1].id, address, details))
        return added

    async def get(self, name: str) -> User:
        """The user with this name, in any spelling. Raises NotFound."""
        try:
            canonical = normalise_username(name)
        except InvalidUsername:
            raise NotFound("There is no such user.") from None
        async with self._store.reading() as unit:
            return _existing(await unit.users.find_by_name(canonical))

    async def list(self, prefix: str = "", offset: int = 0, limit: int = 100) -> list[User]:
        """Users whose names begin with `prefix`, in order of their names."""
        async with self._store.reading() as unit:
            return await unit.users.list(prefix.casefold(), offset, limit)

    async def count(self, prefix: str = "") -> int:
        """How many users there are whose names begin with `prefix`."""
        async with self._store.reading() as unit:
            return await unit.users.count(prefix.casefold())

    async def disable(self, user: User, actor: str, address: str = "") -> User:
        """Bar a user: nothing of theirs is lost, but no credential of theirs is valid until `enable`.

        Raises Conflict for the last administrator.
        """
        now = self._clock.now()
        async with self._store.unit() as unit:
            current = await _find_dispensable(unit, user)
            changed = replace(current, disabled_at=current.disabled_at or now)
            await unit.users.save(changed)
            await unit.sign_ins.revoke_all(user.id, now)
            await unit.audit.add(AuditEvent(now, "user.disabled", actor, user.id, address))
        self._recent.clear()
        return changed

    async def enable(self, user: User, actor: str, address: str = "") -> User:
        """Let a disabled user in again; they have to sign in anew."""
        now = self._clock.now()
        async with self._store.unit() as unit:
            changed = replace(_existing(await unit.users.find(user.id)), disabled_at=None)
            await unit.users.save(changed)
            await unit.audit.add(AuditEvent(now, "user.enabled", actor, user.id, address))
        self._recent.clear()
        return changed

    async def set_role(self, user: User, role: str, actor: str, address: str = "") -> User:
        """Make a user an administrator, or no longer one. Raises Conflict for the last administrator."""
        now = self._clock.now()
        async with self._store.unit() as unit:
            demoting = role != Role.ADMIN
            current = await _find_dispensable(unit, user) if demoting else _existing(await unit.users.find(user.id))
            changed = replace(current, role=role)
            await unit.users.save(changed)
            if changed.role != current.role:  # who made a link for the one they were gets nobody else by it
                await unit.invitations.withdraw(user.id)
            await unit.sign_ins.rotate_soon(user.id, LONG_AGO)
            event = AuditEvent(now, "user.role_changed", actor, user.id, address, {"role": str(role)})
            await unit.audit.add(event)
        self._recent.clear()
        return changed

    async def rename(self, user: User, name: str, actor: str, address: str = "") -> User:
        """Another name: addresses and sign-in change, what belongs to the user stays theirs.

        Raises BadRequest for an impossible name, Conflict for a taken one, NotFound.
        """
        name, now = username(name), self._clock.now()
        async with self._store.unit() as unit:
            current = _existing(await unit.users.find(user.id))
            changed = replace(current, name=name)
            if changed != current:
                await unit.users.save(changed)
                details: dict[str, str | int | float | bool | None] = {"name": name, "was": current.name}
                await unit.audit.add(AuditEvent(now, "user.renamed", actor, user.id, address, details))
        self._recent.clear()
        return changed

    async def describe(
        self,
        user: User,
        actor: str,
        address: str = "",
        *,
        display_name: str | None = None,
        email: str | None = None,
    ) -> User:
        """What people read of a user, and where mail reaches them; empty clears, None leaves.

        Neither identifies anybody. Raises BadRequest for what is too long or not one line, NotFound.
        """
        now = self._clock.now()
        async with self._store.unit() as unit:
            current = _existing(await unit.users.find(user.id))
            changed = replace(
                current,
                display_name=current.display_name if display_name is None else _line("display_name", display_name),
                email=current.email if email is None else _address(email),
            )
            if changed != current:
                await unit.users.save(changed)
                await unit.audit.add(AuditEvent(now, "user.described", actor, user.id, address))
        self._recent.clear()
        return changed

    async def delete(self, user: User, actor: str, address: str = "") -> None:
        """Delete a user and all their credentials. Their id, number and home are never given to another.

        Whoever calls this stops the user's workspaces first. Raises Conflict for the last administrator.
        """
        now = self._clock.now()
        async with self._store.unit() as unit:
            current = await _find_dispensable(unit, user)
            await unit.users.delete(user.id)
            event = AuditEvent(now, "user.deleted", actor, user.id, address, {"name": current.name})
            await unit.audit.add(event)
        self._recent.clear()


def _existing(user: User | None) -> User:
    if user is None:
        raise NotFound("There is no such user.")
    return user


def _line(field: str, text: str) -> str | None:
    """One line of text, None if it is empty. Raises BadRequest."""
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) > MAX_DESCRIPTION_CHARS or not text.isprintable():
        raise BadRequest(f"{field} is one line of at most {MAX_DESCRIPTION_CHARS} characters.")
    return text or None


def _address(text: str) -> str | None:
    address = _line("email", text)
    if address is not None and not _EMAIL.match(address):
        raise BadRequest("email is not an e-mail address.")
    return address


async def _find_dispensable(unit: Unit, user: User) -> User:
    """The user as they are now. Raises NotFound, and Conflict for the last administrator.

    Administrators are counted first, which locks them all in one order: found one by one, two who bar each
    other at the same moment would wait for each other.
    """
    admins = await unit.users.count_admins()
    current = _existing(await unit.users.find(user.id))
    if current.is_admin and current.disabled_at is None and admins <= 1:
        raise Conflict(f"{current.name} is the last administrator; make somebody else one first.")
    return current
