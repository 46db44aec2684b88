"""What a kernel's memory hides: a notebook's cells against what was run in its kernel. Pure.

A cell has run if its code was run as it is now. If the execution that the file names for it (``In [n]``) ran other
code, the cell was changed since. Executions whose code no cell has any more were deleted, or are older versions of
changed cells; the names that they made are still in the kernel's memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

MAX_NAME_CHARS = 120
MOST_CELLS = 5_000
"""So many of a notebook's cells are looked at: cells are compared with one another."""
MOST_BEFORE = 20
"""So many cells are named that ran after one below them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell as the file has it: its place in the notebook, its code, the n of ``In [n]`` (None: none)."""

    index: int
    code: str
    execution_count: int | None


@dataclass(frozen=True, slots=True)
class Ran:
    """An execution in the kernel's present process, oldest first by `number`."""

    number: int
    execution_count: int
    code: str


@dataclass(frozen=True, slots=True)
class Names:
    """The names that a piece of code makes and those that it uses, at the top level. Empty where it is no Python."""

    made: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()


class CellState(StrEnum):
    """What a cell is to the kernel's memory."""

    RAN = "ran"
    CHANGED = "changed"
    NEVER_RUN = "never_run"


@dataclass(frozen=True, slots=True)
class CellReport:
    """One cell. `number` counts code cells from 1; `execution_count` is that of its last run in this process.

    `before` are the numbers of the cells above it whose last run came later: the cell ran out of order.
    """

    index: int
    number: int
    name: str
    state: CellState
    execution_count: int | None
    before: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ghost:
    """Code that was run and is in no cell any more. `names` that it made are used by the cells `used_by`."""

    execution_count: int
    name: str
    names: tuple[str, ...]
    used_by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole answer.

    `elsewhere` counts the pieces of code that were run and are in no cell of the file: not saved yet, changed, deleted,
    or run from a console. `complete` is false when the kernel's oldest executions were forgotten.
    """

    cells: tuple[CellReport, ...]
    ghosts: tuple[Ghost, ...]
    elsewhere: int
    complete: bool

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was run in the kernel yet."""
        return not self.elsewhere and all(cell.state is CellState.NEVER_RUN for cell in self.cells)

    @property
    def is_clean(self) -> bool:
        """Whether running all cells from the top would meet the same memory, as far as can be seen."""
        if self.elsewhere and not self.cells:
            return False  # a notebook that was never saved, most likely
        return not self.ghosts and all(cell.state is CellState.RAN and not cell.before for cell in self.cells)


def examine(cells: Sequence[Cell], ran: Sequence[Ran], names: Mapping[str, Names], complete: bool) -> Report:
    """Compare cells with executions. `names` has the names of each piece of code; what is missing has none."""
    last = {_key(each.code): each for each in ran}
    numbered = list(enumerate((cell for cell in cells if cell.code.strip()), 1))
    complete = complete and len(numbered) <= MOST_CELLS
    numbered = numbered[:MOST_CELLS]
    by_count = {each.execution_count: each for each in ran}
    reports: list[CellReport] = []
    order: list[tuple[int, int]] = []
    latest = 0
    for number, cell in numbered:
        execution = last.get(_key(cell.code))
        state = CellState.RAN
        if execution is None:
            execution = by_count.get(cell.execution_count) if cell.execution_count is not None else None
            state = CellState.NEVER_RUN if execution is None else CellState.CHANGED
        before: tuple[int, ...] = ()
        if execution is not None:
            if execution.number < latest:
                later = (above for above, when in order if when > execution.number)
                before = tuple(islice(later, MOST_BEFORE))
            latest = max(latest, execution.number)
            order.append((number, execution.number))
        count = None if execution is None else execution.execution_count
        reports.append(CellReport(cell.index, number, _first_line(cell.code), state, count, before))
    present = {_key(cell.code) for _, cell in numbered}
    elsewhere = len({_key(each.code) for each in ran} - present)
    return Report(tuple(reports), tuple(_ghosts(numbered, ran, present, names)), elsewhere, complete)


def _ghosts(
    numbered: Sequence[tuple[int, Cell]], ran: Sequence[Ran], present: set[str], names: Mapping[str, Names]
) -> list[Ghost]:
    """Executions of code that is gone and whose names nothing that is left makes, the newest maker of a name only."""
    of_cells = {number: names.get(cell.code, Names()) for number, cell in numbered}
    made_by_cells = frozenset().union(*(each.made for each in of_cells.values()))
    users_of: dict[str, list[int]] = {}
    for number, found in of_cells.items():
        for used_name in found.used - made_by_cells:
            users_of.setdefault(used_name, []).append(number)
    seen: set[str] = set()
    ghosts: list[Ghost] = []
    for each in reversed(ran):
        if _key(each.code) in present:
            continue
        lost = names.get(each.code, Names()).made - made_by_cells - seen
        used = frozenset(lost & users_of.keys())
        if used:
            users = set().union(*(users_of[made] for made in used))
            seen |= used
            name = _first_line(each.code)
            ghosts.append(Ghost(each.execution_count, name, tuple(sorted(used)), tuple(sorted(users))))
    return ghosts[::-1]


def _key(code: str) -> str:
    """Code by which a cell is found: blanks around it and line ends do not matter."""
    return "\n".join(line.rstrip() for line in code.strip().splitlines())


def _first_line(code: str) -> str:
    return next(iter(code.strip().splitlines()), "")[:MAX_NAME_CHARS]
