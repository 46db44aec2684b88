"""How many bytes of large request bodies are in memory at once, by sender. Pure but for its counts."""

from __future__ import annotations

from collections import Counter


class HeldBytes:
    """Counts bodies that are being received or answered, so that no sender can fill the memory."""

    def __init__(self) -> None:
        self._by_owner: Counter[str] = Counter()
        self._total = 0

    def take(self, owner: str, count: int, most: int) -> bool:
        """Count `count` more bytes of `owner`'s, if there is room; whether there was.

        `most` is the largest body there may be: one owner may hold that much, all together twice that much.
        """
        if self._by_owner[owner] + count > most or self._total + count > 2 * most:
            return False
        self._by_owner[owner] += count
        self._total += count
        return True

    def give_back(self, owner: str, count: int) -> None:
        """What `take` counted is no longer held."""
        self._total -= count
        self._by_owner[owner] -= count
        if self._by_owner[owner] <= 0:
            del self._by_owner[owner]

    @property
    def total(self) -> int:
        """Bytes held now."""
        return self._total
