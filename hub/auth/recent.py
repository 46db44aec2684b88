"""Identities found moments ago, so that a tab's burst of requests asks the database once.

An entry lives for two seconds, and everything that revokes anything in this process clears them all; a
revocation made by another hub or the command line therefore counts here within two seconds.
"""

from __future__ import annotations

from collections import OrderedDict

from hub.auth.identity import Identity
from proxy.kit.clock import Clock

LIFETIME_SECONDS = 2.0
MAX_ENTRIES = 4096


class RecentIdentities:
    """Identities by the digest of their credential; the oldest leave first when there are too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()
        self._generation = 0

    @property
    def generation(self) -> int:
        """Grows with each `clear`; see `put`."""
        return self._generation

    def find(self, digest: bytes) -> Identity | None:
        """The identity remembered for a credential, None if there is none or it is too old."""
        entry = self._entries.get(digest)
        if entry is None or self._clock.monotonic() >= entry[0]:
            return None
        return entry[1]

    def put(self, digest: bytes, identity: Identity, generation: int) -> None:
        """Remember an identity. `generation` is that of the time before the database was asked.

        If something was revoked since, the answer may be of before, and is not kept.
        """
        if generation != self._generation:
            return
        self._entries[digest] = (self._clock.monotonic() + LIFETIME_SECONDS, identity)
        self._entries.move_to_end(digest)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget all; called after every revocation."""
        self._generation += 1
        self._entries.clear()
