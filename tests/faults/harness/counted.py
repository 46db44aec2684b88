"""Cells that count what they print, and the comparison of what a client saw with what the cell itself wrote down.

A counted cell appends each number to a file in the user's home before it prints it, so that the file is the truth,
whatever becomes of hub, proxy, network and client. `compare` says what was lost, doubled or out of order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

MARKER = re.compile(r"\[([\d,]+) (?:messages|outputs)\b")
"""How a gap is announced, on stderr: ``[123 messages (… bytes) …``."""
LINE = re.compile(r"^([A-Za-z0-9-]+):(\d+)\b", re.MULTILINE)


def counted_cell(name: str, count: int, pause_seconds: float = 0.0, padding: int = 0, flush: bool = True) -> str:
    """Code that writes ``name:n`` to ``<name>.log`` in the home and prints it, for `count` numbers."""
    sleep = f"    time.sleep({pause_seconds})\n" if pause_seconds else ""
    return (
        "import os, time\n"
        f"log = os.open('{name}.log', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)\n"
        f"for n in range({count}):\n"
        f"    os.write(log, b'{name}:%d\\n' % n)\n"
        f"    print(f'{name}:{{n}}{' ' + 'x' * padding if padding else ''}', flush={flush})\n"
        f"{sleep}"
        "os.close(log)\n"
    )


def written_by(home: Path, name: str) -> list[int]:
    """The numbers that the cell wrote down itself."""
    file = home / f"{name}.log"
    return numbers_in(file.read_text(), name) if file.exists() else []


def numbers_in(text: str, name: str) -> list[int]:
    """The numbers in printed text."""
    return [int(number) for found, number in LINE.findall(text) if found == name]


def numbers_seen(messages: Iterable[dict[str, Any]], name: str) -> list[int]:
    """The numbers in stdout streams of messages, in the order in which they came."""
    texts = (m["content"] for m in messages if m["header"]["msg_type"] == "stream")
    return numbers_in("".join(text["text"] for text in texts if text["name"] == "stdout"), name)


def announced_in(messages: Iterable[dict[str, Any]]) -> int:
    """How many messages the markers of gaps say are missing."""
    texts = [m["content"]["text"] for m in messages if m["header"]["msg_type"] == "stream"]
    return sum(int(number.replace(",", "")) for text in texts for number in MARKER.findall(text))


@dataclass(frozen=True)
class Verdict:
    """What became of the numbers. `announced` are those that an explicit marker says are missing."""

    written: int
    lost: int
    doubled: int
    disordered: int
    invented: int
    announced: int = 0

    @property
    def is_perfect(self) -> bool:
        """Every number once, in order."""
        return self.is_honest and self.lost == 0

    @property
    def is_honest(self) -> bool:
        """Each number once and in order, or announced as missing."""
        return self.doubled == self.disordered == self.invented == 0 and self.lost == self.announced

    def __str__(self) -> str:
        parts = [f"{self.lost} lost", f"{self.doubled} doubled", f"{self.disordered} out of order"]
        if self.invented:
            parts.append(f"{self.invented} never written")
        if self.announced:
            parts.append(f"{self.announced} announced as missing")
        return f"{', '.join(parts)} of {self.written}"

    def __add__(self, other: Verdict) -> Verdict:
        names = ("written", "lost", "doubled", "disordered", "invented", "announced")
        return Verdict(*(getattr(self, name) + getattr(other, name) for name in names))


NOTHING = Verdict(0, 0, 0, 0, 0)


def compare(written: list[int], seen: list[int], announced: int = 0) -> Verdict:
    """Hold what was seen against what was written."""
    counts = Counter(seen)
    first_seen = list(dict.fromkeys(seen))
    return Verdict(
        written=len(written),
        lost=len(set(written) - set(seen)),
        doubled=sum(count - 1 for count in counts.values()),
        disordered=sum(1 for before, after in pairwise(first_seen) if after < before),
        invented=len(set(seen) - set(written)),
        announced=announced,
    )
