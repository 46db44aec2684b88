"""How long to wait between wrong passwords: a delay that grows, and never a lock-out that stays.

Failures are counted per account and address together, per account, and per address. One forgetful person
meets only the first; a guesser with many addresses meets the second, which does not hold up anybody who has
signed in to that account from the same address before; a guesser with many accounts meets the third.

Counts are kept in memory, one set per hub, bounded; they are forgotten an hour after the last failure.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

from proxy.kit.clock import Clock

FORGET_SECONDS = 3600.0
MAX_KEYS = 50_000


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
    """Failures so far, and when the last one was (monotonic seconds)."""

    count: int
    last: float


def delay_after(rule: Rule, count: int) -> float:
    """Seconds to wait after `count` failures in a row."""
    over = count - rule.free
    return 0.0 if over < 0 else min(rule.longest_seconds, 2.0 ** min(over, 30))


def wait_left(rule: Rule, failures: Failures | None, now: float) -> float:
    """Seconds until another attempt is looked at; 0 when it may be made now."""
    if failures is None or now - failures.last >= FORGET_SECONDS:
        return 0.0
    return max(0.0, failures.last + delay_after(rule, failures.count) - now)


def after_failure(failures: Failures | None, now: float) -> Failures:
    """The count after one more failure."""
    forgotten = failures is None or now - failures.last >= FORGET_SECONDS
    return Failures(1 if failures is None or forgotten else failures.count + 1, now)


class Throttle:
    """The counts. `account` is any name that was typed, `address` the client's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[Kind, str, str], Failures] = OrderedDict()

    def wait_seconds(self, account: str, address: str, known_address: bool) -> int:
        """Whole seconds to wait before this attempt is looked at, 0 if it may be.

        `known_address`: the account's owner has signed in from there before.
        """
        now = self._clock.monotonic()
        keys = [k for k in _keys(account, address) if not (known_address and k[0] is Kind.ACCOUNT)]
        return math.ceil(max(wait_left(key[0].value, self._failures.get(key), now) for key in keys))

    def failed(self, account: str, address: str) -> None:
        """Count a wrong password; before it is looked at, or guesses made at once would be free."""
        now = self._clock.monotonic()
        for key in _keys(account, address):
            self._failures[key] = after_failure(self._failures.get(key), now)
            self._failures.move_to_end(key)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """Take back the last `failed`, and forget this person's own failures.

        Not those of the address: a guesser may have an account of his own.
        """
        for key in _keys(account, address):
            failures = self._failures.pop(key, None)
            if failures is not None and failures.count > 1 and key[0] is not Kind.ACCOUNT_AT_ADDRESS:
                self._failures[key] = Failures(failures.count - 1, failures.last)


def _keys(account: str, address: str) -> list[tuple[Kind, str, str]]:
    return [
        (Kind.ACCOUNT_AT_ADDRESS, account, address),
        (Kind.ACCOUNT, account, ""),
        (Kind.ADDRESS, "", address),
    ]
