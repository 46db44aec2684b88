"""Joining a kernel's journal to its live messages, so that each is told once and in order.

While a client is behind, the journal is the source. What arrives live meanwhile is kept, to a bound; the first of it
that turns up in the journal marks where the journal's part ends:

    journal   … 5 6 7 8 9 10 11 …          the client has up to 6: it is told 7 8 9 from the journal,
    live                10 11 12 13 …      then 10 11 12 13 … from what was kept

When more is kept than the bound, it is thrown away: the journal has it, and the mark moves forward. A subscription
has no holes of its own, so wherever the mark lies, nothing is missing and nothing comes twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.core.wire import Part, Parts
from proxy.kit.journal_format import Kind, Record, identity_of

KEPT_BYTES = 4 * 1024 * 1024
OVERHEAD_BYTES = 400


class CatchUp:
    """One client's way from `place` (the number of the journal's record that it has) to the live messages."""

    def __init__(self, place: int, kept_bytes: int = KEPT_BYTES) -> None:
        self.place = place
        self.fruitless = 0
        """How often the journal's end was reached without meeting what is live."""
        self._most_bytes = kept_bytes
        self._live: list[Parts] = []
        self._places: dict[bytes, int] = {}
        self._bytes = 0

    @property
    def hears(self) -> bool:
        """Whether live messages are kept, of which the journal must have some sooner or later."""
        return bool(self._live)

    def hear(self, parts: Parts) -> None:
        """Keep a live message."""
        self._bytes += sum(map(len, parts)) + OVERHEAD_BYTES
        if self._bytes > self._most_bytes:
            self._live.clear()
            self._places.clear()
            self._bytes = 0
            return
        self._places.setdefault(identity_of(parts[0]), len(self._live))
        self._live.append(parts)

    def read(self, record: Record) -> bool:
        """Go past a record of the journal; True when it is one of the live messages kept: the two have met.

        Otherwise, if it is a message, it is the next one to tell.
        """
        if record.kind == Kind.MESSAGE and (place := self._places.get(identity_of(record.parts[0]))) is not None:
            del self._live[:place]  # heard live, and read before that: told already
            return True
        self.place = record.seq
        return False

    def take_live(self) -> Sequence[Sequence[Part]]:
        """The live messages that were kept, all of which come after what was read of the journal."""
        live, self._live = self._live, []
        self._places.clear()
        self._bytes = 0
        return live
