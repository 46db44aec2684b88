"""Half-hour lines: the last `POINTS` samples of a figure in a ring of fixed size."""

from __future__ import annotations

from array import array

GRAIN_SECONDS = 10.0
POINTS = 180
"""Half an hour at ten seconds."""
_MISSING = float("nan")


class Line:
    """A ring of `POINTS` figures, four bytes each; what was not known is a gap (None)."""

    __slots__ = ("_next", "_values")

    def __init__(self) -> None:
        self._values = array("f", [_MISSING]) * POINTS
        self._next = 0

    def add(self, value: float | None) -> None:
        """Take the figure of this moment; None: it is not known."""
        self._values[self._next] = _MISSING if value is None else value
        self._next = (self._next + 1) % POINTS

    @property
    def last(self) -> float | None:
        """The newest figure."""
        return _known(self._values[self._next - 1])

    def values(self) -> list[float | None]:
        """All figures, the oldest first; what was before the first sample is a gap."""
        ordered = self._values[self._next :] + self._values[: self._next]
        return [_known(value) for value in ordered]

    def thinned(self, every: int = 3) -> list[float | None]:
        """The highest of every few figures: a peak must not vanish because a picture is small."""
        values = self.values()
        buckets = (values[start : start + every] for start in range(0, POINTS, every))
        return [max((value for value in bucket if value is not None), default=None) for bucket in buckets]


def _known(value: float) -> float | None:
    return value if value == value else None
