"""Small lines in words of SVG: the points of a figure's last half hour. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 60.0
HEIGHT = 16.0


@dataclass(frozen=True, slots=True)
class Spark:
    """The pieces of a line (a gap divides it), each as the points of a ``polyline`` and of the area beneath."""

    lines: tuple[str, ...]
    areas: tuple[str, ...]


def spark(values: Sequence[float | None], top: float) -> Spark:
    """The line through `values`, the oldest at the left; `top` is the figure at the upper edge."""
    step = WIDTH / max(1, len(values) - 1)
    pieces: list[list[tuple[float, float]]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            part = min(max(value / top, 0.0), 1.0) if top > 0 else 0.0
            pieces[-1].append((number * step, HEIGHT - 1 - part * (HEIGHT - 2)))
    drawn = [piece if len(piece) > 1 else [(piece[0][0] - step / 2, piece[0][1]), *piece] for piece in pieces if piece]
    return Spark(tuple(map(_points, drawn)), tuple(_points(_closed(piece)) for piece in drawn))


def top_of(values: Sequence[float | None], at_least: float) -> float:
    """A figure for the upper edge: the highest value, but not less than `at_least`, so that noise stays small."""
    return max(at_least, max((value for value in values if value is not None), default=0.0))


def _closed(piece: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(piece[0][0], HEIGHT), *piece, (piece[-1][0], HEIGHT)]


def _points(piece: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)
