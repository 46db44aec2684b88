"""Passwords: checked at sign-in, set, changed. argon2id in a small pool of threads, and throttled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hub import metrics
from hub.auth.arrivals import is_barred
from hub.auth.password_rules import MAX_CHARS, malformed, normalise_password, weakness
from hub.auth.recent import RecentIdentities
from hub.auth.throttle import SharedThrottle
from hub.domain.audit import AuditEvent
from hub.domain.users import InvalidUsername, User, normalise_username
from hub.errors import PasswordRefused, TooManyRequests, WrongPassword
from hub.store.engine import Store
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

# OWASP's minimum for argon2id, 35 ms on the machine measured: two threads check 57 passwords a second.
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
THREADS = 2
MAX_WAITING = 128
# Checked in place of a missing hash, so that an unknown name takes as long as a known one.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$13IRQuOy1C/pKMP4Z9ksnA$8I008dzsfdCYXfaw1io9temp0S980bazieAWA2PeAvg"
_UNKNOWN_ACCOUNT = "?"
R = TypeVar("R")


class Passwords:
    """Password credentials of all users. Close it with `close`."""

    def __init__(self, store: Store, clock: Clock, recent: RecentIdentities, throttle: SharedThrottle) -> None:
        self._store = store
        self._clock = clock
        self._recent = recent
        self._throttle = throttle
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0

    async def check(self, name: str, password: str, address: str) -> User:
        """The user whose name and password these are.

        Raises WrongPassword, with one sentence for unknown names, wrong passwords and accounts without one,
        and TooManyRequests when the last wrong ones were too recent; then nothing is compared at all.
        """
        account = _account(name)
        user, stored, known = await self._find(account, address)
        try:
            self._throttle.begin(account, address, known_address=known)
        except TooManyRequests:
            metrics.SIGN_INS.labels("throttled").inc()
            raise
        right = await self._verify(stored or _NOBODY, password) and stored is not None
        if user is None or not right or is_barred(user):
            await self._refused(account, user, address, disabled=right)
            raise WrongPassword(
                "This account is disabled; ask your administrator." if right else "The name or the password is wrong."
            )
        await self._throttle.succeeded(account, address)
        metrics.SIGN_INS.labels("accepted").inc()
        if stored is not None and HASHER.check_needs_rehash(stored):
            renewed = await self._in_pool(partial(HASHER.hash, normalise_password(password)))
            await self._save(user, renewed)
        return user

    async def has_one(self, user: User) -> bool:
        """Whether the user has a password at all."""
        async with self._store.reading() as unit:
            return await unit.passwords.find(user.id) is not None

    async def hash(self, password: str) -> str:
        """The hash to keep, of a password that was found acceptable."""
        return await self._in_pool(partial(HASHER.hash, normalise_password(password)))

    def require_acceptable(self, password: str, user_name: str) -> None:
        """Raise PasswordRefused, saying why, for a password that this user must not have."""
        reason = weakness(normalise_password(password[: MAX_CHARS * 2]), user_name)
        if reason is not None:
            raise PasswordRefused(reason)

    def require_well_formed(self, password: str) -> None:
        """Raise PasswordRefused, saying why, for a password that nobody may have."""
        reason = malformed(normalise_password(password[: MAX_CHARS * 2]))
        if reason is not None:
            raise PasswordRefused(reason)

    async def set(
        self, user: User, password: str, actor: str, address: str = "", *, allow_guessable: bool = False
    ) -> None:
        """Set a user's password and end all their sign-ins.

        Raises PasswordRefused. `allow_guessable`: who sets it knows what they do, as on the command line, where
        only length is required.
        """
        if allow_guessable:
            self.require_well_formed(password)
        else:
            self.require_acceptable(password, user.name)
        hashed = await self.hash(password)
        now = self._clock.now()
        async with self._store.unit() as unit:
            await unit.passwords.save(user.id, hashed, now)
            ended = await unit.sign_ins.revoke_all(user.id, now)
            details: dict[str, str | int | float | bool | None] = {"sign_ins_ended": len(ended)}
            await unit.audit.add(AuditEvent(now, "password.set", actor, user.id, address, details))
        self._recent.clear()

    async def change(self, user: User, current: str, new: str, address: str) -> None:
        """Replace a user's own password and end all their sign-ins; whoever called makes a new one.

        Raises WrongPassword if `current` is not theirs, PasswordRefused for the new one, TooManyRequests.
        """
        await self.check(user.name, current, address)
        await self.set(user, new, user.id, address)

    async def close(self) -> None:
        """Let go of the threads; what they compute is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _find(self, account: str, address: str) -> tuple[User | None, str | None, bool]:
        """User, hash, and whether the user has signed in from this address before."""
        async with self._store.reading() as unit:
            await self._throttle.look(unit, account, address)
            user = await unit.users.find_by_name(account)
            if user is None:
                return None, None, False
            known = await unit.sign_ins.were_at(user.id, address)
            return user, await unit.passwords.find(user.id), known

    async def _verify(self, stored: str, password: str) -> bool:
        if len(password) > MAX_CHARS * 2:
            return False
        try:
            return await self._in_pool(partial(HASHER.verify, stored, normalise_password(password)))
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False

    async def _in_pool(self, work: Callable[[], R]) -> R:
        if self._waiting >= MAX_WAITING:
            raise TooManyRequests("Very many people are signing in. Try again in a moment.", 5)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    async def _refused(self, account: str, user: User | None, address: str, disabled: bool) -> None:
        # The name of an unknown account is not recorded: people type their password into the wrong field.
        metrics.SIGN_INS.labels("refused").inc()
        reason = "account disabled" if disabled else "wrong password" if user else "unknown name"
        now, who = self._clock.now(), user.id if user else ""
        event = AuditEvent(now, "sign_in.refused", who, who, address, {"reason": reason})
        async with self._store.unit() as unit:
            await self._throttle.failed(unit, account, address)
            await unit.audit.add(event)

    async def _save(self, user: User, hashed: str) -> None:
        async with self._store.unit() as unit:
            await unit.passwords.save(user.id, hashed, self._clock.now())


def _account(name: str) -> str:
    try:
        return normalise_username(name)
    except InvalidUsername:
        return _UNKNOWN_ACCOUNT
