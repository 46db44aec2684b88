"""What becomes of an execution: pure decisions over what is known of a kernel's front ends, saves and journal.

An execution is *settled* when its outputs are where they belong, or kept for the user. A notebook is *open* while a
front end that has it is connected to its kernel, and for a while after that: a reload closes and opens again, a network
comes back, a laptop wakes up, and then the front end compares the file with what it knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from hub.results.tracking import Execution, Index
from hub.workspaces.connections import ANYBODY

GRACE_SECONDS = {"closed": 3.0, "dropped": 45.0, "silent": 600.0}
"""How long a notebook still counts as open after its front end's connection ended in this way.

Where the network is gone, @jupyterlab/services asks again only every 10 to 30 s; then it compares the file's hash.
"""
VANISHED_SECONDS = 600.0
"""As long, after a front end was last heard of whose proxy told nothing of its end."""
ANONYMOUS_SECONDS = 15.0
"""As long, after a connection without a name for its front end."""
MOST_SESSIONS = 100
MOST_SETTLED = 2000
MOST_NOTEBOOKS = 20

Kept = TypeVar("Kept")


class Shown(msgspec.Struct, frozen=True):
    """An execution was shown to somebody who opened the notebook: through which message, and when."""

    seq: int
    at: float


class Ended(msgspec.Struct):
    """How and when a front end's connection ended, and the last message that it has: identity, number in the journal.

    `seen_seq` None: not looked up yet.
    """

    how: str
    at: float
    seen: str = ""
    seen_seq: int | None = None


class Known(msgspec.Struct):
    """What is remembered of a kernel's executions. Times are seconds since the epoch.

    `notebooks`: paths of its sessions, now or last, and when a client last saved each (0: never). `ended`: its front
    ends that are gone. `saved_by`: when a notebook of the kernel was last saved while each front end was connected.
    `shown`: executions that were presented. `settled_through`: every execution whose last message is not after this
    number is settled; `settled`: the others, each through which message. `taken`: the journal was taken out of the run
    folder, which is gone. `has_console`: the kernel has other sessions than notebooks'.
    """

    notebooks: dict[str, float] = {}
    ended: dict[str, Ended] = {}
    saved_by: dict[str, float] = {}
    shown: dict[str, Shown] = {}
    settled_through: int = 0
    settled: dict[str, int] = {}
    taken: bool = False
    has_console: bool = False


def has_seen(execution: Execution, known: Known, connected: Iterable[str]) -> bool:
    """Whether the front end that ran it has got it to its end (one that is connected gets everything)."""
    if execution.session in connected:
        return True
    end = known.ended.get(execution.session)
    return end is not None and end.seen_seq is not None and end.seen_seq >= execution.last_seq


def is_settled(execution: Execution, known: Known, connected: Iterable[str]) -> bool:
    """Whether nothing is left to do about it."""
    if execution.last_seq <= known.settled_through:
        return True
    if known.settled.get(execution.msg_id, 0) >= execution.last_seq:
        return True
    return execution.ended and (_saved_by_its_own(execution, known, connected) or _saved_as_shown(execution, known))


def _saved_by_its_own(execution: Execution, known: Known, connected: Iterable[str]) -> bool:
    """Saved after its end while its own front end, which had it, was connected."""
    saved_at = known.saved_by.get(execution.session, known.saved_by.get(ANYBODY, 0.0))
    end = known.ended.get(execution.session)
    is_known_not_to_have_it = end is not None and end.seen_seq is not None and not has_seen(execution, known, connected)
    return saved_at > execution.last_at and not is_known_not_to_have_it


def _saved_as_shown(execution: Execution, known: Known) -> bool:
    """Opened with all of its outputs, and saved after that."""
    shown = known.shown.get(execution.msg_id)
    if shown is None or shown.seq < execution.last_seq:
        return False
    return any(saved_at > shown.at for saved_at in known.notebooks.values())


def unsettled(index: Index, known: Known, connected: Iterable[str]) -> list[Execution]:
    """The executions about which something is left to do, oldest first."""
    present = frozenset(connected)
    naming = {each.session for each in index if each.cell_id}
    of_cells = [each for each in index if each.cell_id or not _is_no_cell(each, known, naming)]
    left = [each for each in of_cells if not is_settled(each, known, present)]
    done = [each for each in of_cells if each.ended and is_settled(each, known, present)]
    return [each for each in left if not _is_overtaken(each, done)]


def _is_no_cell(execution: Execution, known: Known, naming: set[str]) -> bool:
    """Whether what nobody told a cell of is none: of a console, or what a front end that names cells asked besides."""
    return execution.session in naming or (known.has_console and bool(naming))


def _is_overtaken(execution: Execution, done: Iterable[Execution]) -> bool:
    """Whether its cell was run again since, and that is settled: its outputs are older than those in the file."""
    return any(later.begin_seq > execution.begin_seq and execution.same_cell(later) for later in done)


def settle(index: Index, known: Known, done: Iterable[Execution], left: Iterable[Execution]) -> None:
    """Remember that `done` are settled, and all but `left` are."""
    waiting = list(left)
    for each in done:
        known.settled[each.msg_id] = each.last_seq
    known.settled_through = max(
        known.settled_through, min((each.begin_seq - 1 for each in waiting), default=index.read_to)
    )
    through = known.settled_through
    known.settled = _newest({msg_id: seq for msg_id, seq in known.settled.items() if seq > through}, MOST_SETTLED)
    known.shown = _newest({msg_id: shown for msg_id, shown in known.shown.items() if shown.seq > through}, MOST_SETTLED)


def open_for(
    now: float,
    known: Known,
    connected: Iterable[str],
    executions: Iterable[Execution],
    *,
    began_at: float,
    last_heard: dict[str, float],
) -> float:
    """For how many seconds more the kernel's notebooks count as open: 0 they do not, infinite while one is connected.

    `last_heard`: when this hub, which began at `began_at`, last knew each front end to be connected (`ANYBODY`: one
    without a name). Front ends of `executions` of which nothing was ever heard may have been connected before it began.
    """
    present = set(connected)
    if present:
        return math.inf
    until = 0.0
    for session, end in known.ended.items():
        if last_heard.get(session, 0.0) <= end.at:
            until = max(until, end.at + GRACE_SECONDS.get(end.how, VANISHED_SECONDS))
    for session, heard_at in last_heard.items():
        if session == ANYBODY:
            until = max(until, heard_at + ANONYMOUS_SECONDS)
        elif session not in known.ended or known.ended[session].at < heard_at:
            until = max(until, heard_at + VANISHED_SECONDS)
    for each in executions:
        if each.session not in known.ended and each.session not in last_heard and each.begin_at < began_at:
            until = max(until, began_at + VANISHED_SECONDS)
    return max(0.0, until - now)


def note_ended(known: Known, session: str, end: Ended) -> None:
    """A front end's connection has ended."""
    known.ended.pop(session, None)
    known.ended[session] = end
    known.ended = _newest(known.ended, MOST_SESSIONS)


def note_saved(known: Known, path: str, at: float, connected: Iterable[str]) -> None:
    """A client has saved the notebook at `path`."""
    known.notebooks[path] = at
    for session in connected:
        known.saved_by.pop(session, None)
        known.saved_by[session] = at
    known.saved_by = _newest(known.saved_by, MOST_SESSIONS)


def note_notebook(known: Known, path: str, before: str | None = None) -> None:
    """A session of the kernel has this path; it had `before` until now (None: it is new)."""
    saved_at = known.notebooks.pop(before, 0.0) if before is not None else 0.0
    known.notebooks[path] = max(saved_at, known.notebooks.get(path, 0.0))
    known.notebooks = _newest(known.notebooks, MOST_NOTEBOOKS)


def note_renamed(known: Known, old: str, new: str) -> bool:
    """A file, or a folder with all in it, has another name; whether that is one of the kernel's notebooks."""
    moved = [path for path in known.notebooks if path == old or path.startswith(old + "/")]
    for path in moved:
        note_notebook(known, new + path[len(old) :], path)
    return bool(moved)


def _newest(kept: dict[str, Kept], most: int) -> dict[str, Kept]:
    return dict(list(kept.items())[-most:]) if len(kept) > most else kept
