"""One kernel's executions: what is remembered of them, and its journal, read on when something is to be known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hub.domain.ids import KernelId, UserId, WorkspaceId
from hub.results import deciding, work
from hub.results.deciding import Known
from hub.results.folding import Wanted
from hub.results.tracking import Execution, Index
from proxy.kit.journal import Journal

MOST_PAGES = 64
CUT_OFF = "The kernel ended before this cell did"


@dataclass(slots=True)
class KernelDesk:
    """What is worked with while `lock` is held. `due` is when it is looked at next (monotonic), None: when told to.

    `written`: through which message each running execution is in the file. `trouble`: why something is not there yet.
    `gone_because`: why the kernel is no more, "" for no known reason.
    """

    kernel_id: KernelId
    user_id: UserId
    workspace_id: WorkspaceId
    known: Known
    index: Index = field(default_factory=Index)
    journal: Journal | None = None
    place: tuple[Path, int] = (Path("/nonexistent"), -1)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    due: float | None = None
    written: dict[str, int] = field(default_factory=dict)
    trouble: str = ""
    failures: int = 0
    stored: str = ""
    gone_because: str = ""

    def move_to(self, folder: Path, owner_uid: int) -> None:
        """Say where the journal is."""
        if self.journal is None or self.place != (folder, owner_uid):
            self.place = (folder, owner_uid)
            self.journal = Journal(folder, self.kernel_id, owner_uid)

    def read_on(self) -> None:
        """Read the journal's new part, and find what front ends that are gone have seen. Blocking."""
        if self.journal is None:
            return
        for _ in range(MOST_PAGES):
            page = self.journal.read(self.index.read_to)
            self.index.take(page.records)
            if page.complete or not page.records:
                break
        for end in list(self.known.ended.values()):
            if end.seen_seq is None:
                end.seen_seq = self._number_of(end.seen)

    def source(self, executions: list[Execution]) -> work.Source:
        """What is to be folded so that these executions' outputs come of it."""
        why = f"{CUT_OFF}: {self.gone_because.rstrip('.')}." if self.gone_because else f"{CUT_OFF}."
        wanted = {each.msg_id: _wanted(each, why) for each in executions}
        echoes = {origin for each in executions for origin in each.origins} - wanted.keys()
        earlier = [
            _wanted(found, why, echo=True) for origin in echoes if (found := self.index.find(origin)) is not None
        ]
        ordered = sorted([*wanted.values(), *earlier], key=lambda each: each.begin_seq)
        folder, owner_uid = self.place
        return work.Source(folder=str(folder), kernel_id=self.kernel_id, owner_uid=owner_uid, wanted=ordered)

    def encoded(self) -> str:
        """What is remembered, as the database keeps it."""
        return msgspec.json.encode(self.known).decode()

    def _number_of(self, seen: str) -> int:
        """The number of the message with this identity; 0 when nothing was seen, or it is not there any more."""
        try:
            identity = bytes.fromhex(seen)
        except ValueError:
            return 0
        return (self.journal.find(identity) if identity and self.journal is not None else None) or 0


def decode(known: str) -> Known:
    """What is remembered, out of the database; what cannot be read is as if nothing were."""
    try:
        return msgspec.json.decode(known, type=Known)
    except msgspec.MsgspecError:
        return Known()


def overtaken(execution: Execution, siblings: list[KernelDesk]) -> bool:
    """Whether its cell was run again since by another kernel of the notebook."""
    return any(
        later.begin_at > execution.begin_at and execution.same_cell(later) for desk in siblings for later in desk.index
    )


def pending(desk: KernelDesk, siblings: list[KernelDesk], connected: frozenset[str]) -> list[Execution]:
    """The executions about which something is left to do, oldest first."""
    left = deciding.unsettled(desk.index, desk.known, connected)
    return [each for each in left if not overtaken(each, siblings)]


def _wanted(execution: Execution, why: str, *, echo: bool = False) -> Wanted:
    return Wanted(
        msg_id=execution.msg_id,
        cell_id=execution.cell_id,
        digest=execution.digest,
        begin_seq=execution.begin_seq,
        echo=echo,
        cut_off=why if execution.cut_off and not echo else None,
    )
