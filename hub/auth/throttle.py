"""How long to wait between wrong passwords: a delay that grows, and never a lock-out that stays.

Failures are counted per account and address together, per account, and per address. One forgetful person
meets only the first; a guesser with many addresses meets the second, which does not hold up anybody who has
signed in to that account from the same address before; a guesser with many accounts meets the third.

Counts are kept in the database, so that a restart forgives nobody and hubs share them, and in memory, where an attempt
is counted before it is looked at: guesses made all at once are not free. Only failures are written. Counts are
forgotten an hour after the last failure, and bounded in number.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from hub.domain.addresses import address_key
from hub.domain.audit import AuditEvent
from hub.errors import TooManyRequests
from hub.store.engine import Store
from hub.store.sign_in_failures import FailureCount, Key
from hub.store.unit import Unit
from proxy.kit.clock import Clock

FORGET_SECONDS = 3600.0
MAX_KEYS = 50_000
MAX_ROWS = 200_000
PRUNE_EVERY = 200
"""After so many failures the table is pruned."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`free` failures cost nothing; then the delay doubles from one second up to `longest_seconds`."""

    free: int
    longest_seconds: float


class Kind(Enum):
    """What failures are counted by."""

    ACCOUNT_AT_ADDRESS = Rule(free=5, longest_seconds=300)
    ACCOUNT = Rule(free=20, longest_seconds=60)
    ADDRESS = Rule(free=100, longest_seconds=10)


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures so far, and when the last one was (seconds of the wall clock, which hubs share)."""

    count: int
    last: float


def delay_after(rule: Rule, count: int) -> float:
    """Seconds to wait after `count` failures in a row."""
    over = count - rule.free
    return 0.0 if over < 0 else min(rule.longest_seconds, 2.0 ** min(over, 30))


def wait_left(rule: Rule, failures: Failures | None, now: float) -> float:
    """Seconds until another attempt is looked at; 0 when it may be made now."""
    if failures is None or not -rule.longest_seconds <= now - failures.last < FORGET_SECONDS:
        return 0.0  # long ago; or the clock was set back since, which must not lock anybody out
    return max(0.0, failures.last + delay_after(rule, failures.count) - now)


def after_failure(failures: Failures | None, now: float) -> Failures:
    """The count after one more failure."""
    forgotten = failures is None or now - failures.last >= FORGET_SECONDS
    return Failures(1 if failures is None or forgotten else failures.count + 1, now)


class Throttle:
    """The counts in memory. `account` is any name that was typed, `address` the client's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[Kind, str, str], Failures] = OrderedDict()

    def wait_seconds(self, account: str, address: str, known_address: bool) -> int:
        """Whole seconds to wait before this attempt is looked at, 0 if it may be.

        `known_address`: the account's owner has signed in from there before.
        """
        now = self._clock.now().timestamp()
        keys = [k for k in _keys(account, address) if not (known_address and k[0] is Kind.ACCOUNT)]
        return math.ceil(max(wait_left(key[0].value, self._failures.get(key), now) for key in keys))

    def learn(self, account: str, address: str, found: Mapping[Key, FailureCount]) -> None:
        """Take over what the database says, where that is more."""
        for key in _keys(account, address):
            row, known = found.get(_stored(key)), self._failures.get(key)
            if row is not None and (known is None or row.count > known.count):
                self._failures[key] = Failures(row.count, row.last_at.timestamp())
        self._bound()

    def failed(self, account: str, address: str) -> None:
        """Count a wrong password; before it is looked at, or guesses made at once would be free."""
        now = self._clock.now().timestamp()
        for key in _keys(account, address):
            self._failures[key] = after_failure(self._failures.get(key), now)
            self._failures.move_to_end(key)
        self._bound()

    def succeeded(self, account: str, address: str) -> None:
        """Take back the last `failed`, and forget this person's own failures.

        Not those of the address: a guesser may have an account of his own.
        """
        for key in _keys(account, address):
            failures = self._failures.pop(key, None)
            if failures is not None and failures.count > 1 and key[0] is not Kind.ACCOUNT_AT_ADDRESS:
                self._failures[key] = Failures(failures.count - 1, failures.last)

    def failures_of(self, account: str, address: str) -> int:
        """Failures of this account at this address, the attempt under way included."""
        failures = self._failures.get(_keys(account, address)[0])
        return failures.count if failures is not None else 0

    def _bound(self) -> None:
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)


class SharedThrottle:
    """The counts of all hubs. Every attempt begins with `look`, then `begin`, and ends in `failed` or `succeeded`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._here = Throttle(clock)
        self._since_prune = 0

    async def look(self, unit: Unit, account: str, address: str) -> None:
        """Learn what the database knows of them; with whatever else is read for the attempt."""
        found = await unit.sign_in_failures.find([_stored(key) for key in _keys(account, address)])
        self._here.learn(account, address, found)

    def begin(self, account: str, address: str, *, known_address: bool, what: str = "wrong passwords") -> None:
        """Count the attempt. Raises TooManyRequests when the last wrong ones were too recent."""
        wait = self._here.wait_seconds(account, address, known_address)
        if wait:
            raise TooManyRequests(f"Too many {what}. Try again in {_in_words(wait)}.", wait)
        self._here.failed(account, address)

    async def failed(self, unit: Unit, account: str, address: str) -> None:
        """Write down that it failed, and in the audit log when that begins to cost time."""
        now = self._clock.now()
        keys = {_stored(key): key for key in _keys(account, address)}
        counts = await unit.sign_in_failures.add(keys, now, timedelta(seconds=FORGET_SECONDS))
        for stored, count in counts.items():
            kind = keys[stored][0]
            if count == kind.value.free:
                details: dict[str, str | int | float | bool | None] = {"by": kind.name.lower(), "failures": count}
                await unit.audit.add(AuditEvent(now, "sign_in.throttled", "", "", address, details))
        self._since_prune += 1
        if self._since_prune >= PRUNE_EVERY:
            self._since_prune = 0
            await unit.sign_in_failures.prune(now - timedelta(seconds=FORGET_SECONDS), MAX_ROWS)

    async def succeeded(self, account: str, address: str) -> None:
        """Take the attempt back, and forget this person's own failures; writes only where there were some."""
        key = _stored(_keys(account, address)[0])
        had = self._here.failures_of(account, address) > 1
        self._here.succeeded(account, address)
        if had:
            async with self._store.unit() as unit:
                await unit.sign_in_failures.forget(key)


def _keys(account: str, address: str) -> list[tuple[Kind, str, str]]:
    place = address_key(address)
    return [
        (Kind.ACCOUNT_AT_ADDRESS, account, place),
        (Kind.ACCOUNT, account, ""),
        (Kind.ADDRESS, "", place),
    ]


def _stored(key: tuple[Kind, str, str]) -> Key:
    kind, account, address = key
    return kind.name.lower(), hashlib.sha256(f"{account}\n{address}".encode("utf-8", "surrogatepass")).hexdigest()


def _in_words(seconds: int) -> str:
    if seconds < 90:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{-(-seconds // 60)} minutes"
