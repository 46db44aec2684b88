"""Which cells a kernel ran, as its journal tells. Pure: records in, executions out.

Sources: "Messaging in Jupyter", execute_input and status on IOPub; docs/reference/agent-protocol.md, "The journal".
Everything in a journal is anybody's word: what is not well formed is passed over, and all that is kept is bounded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from proxy.kit.journal_format import Kind, Record

MOST_EXECUTIONS = 5000
"""Of one kernel, remembered; of more the oldest are forgotten."""
MOST_NOTES = 10_000
MOST_LATE_SECONDS = 30.0
MOST_DISPLAYS = 2000
_OUTPUTS = frozenset({"stream", "display_data", "execute_result", "error", "clear_output", "update_display_data"})

_CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
"""A cell's id in a notebook, for good: nbformat 4.5."""

_Id = Annotated[str, msgspec.Meta(max_length=256)]


class Header(msgspec.Struct, frozen=True):
    """What is read of a message's header."""

    msg_type: _Id = ""
    date: _Id = ""


class Parent(msgspec.Struct, frozen=True):
    """What is read of the header of the request that a message belongs to."""

    msg_id: _Id = ""
    session: _Id = ""
    msg_type: _Id = ""


class _Input(msgspec.Struct, frozen=True):
    code: str = ""


class _Status(msgspec.Struct, frozen=True):
    execution_state: str = ""


class _Transient(msgspec.Struct, frozen=True):
    display_id: _Id = ""


class _Display(msgspec.Struct, frozen=True):
    transient: _Transient = _Transient()


HEADERS = msgspec.json.Decoder(Header)
PARENTS = msgspec.json.Decoder(Parent)
_INPUTS = msgspec.json.Decoder(_Input)
_STATUSES = msgspec.json.Decoder(_Status)
_DISPLAYS = msgspec.json.Decoder(_Display)
MALFORMED = (msgspec.MsgspecError, ValueError, RecursionError)


def digest_of(source: str) -> str:
    """What tells a cell's code from others; white space around it does not count, since clients differ there."""
    return hashlib.sha256(source.strip().encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(slots=True)
class Execution:
    """A cell that a kernel ran, or runs.

    `session` is the front end's name for itself; `cell_id` "" means that nobody told it; `digest` is the code's.
    `last_seq` and `last_at` are those of its newest message: what was printed by its threads after its end counts.
    """

    msg_id: str
    session: str
    cell_id: str
    digest: str
    begin_seq: int
    begin_at: float
    last_seq: int
    last_at: float
    ended: bool = False
    cut_off: bool = False
    """It had not ended when the kernel did."""
    origins: frozenset[str] = frozenset()
    """The executions whose displays this one has updated."""

    def same_cell(self, other: Execution) -> bool:
        """Whether both are runs of one cell, as far as can be told.

        VS Code names cells by addresses of its editor, which it counts anew whenever it opens the notebook.
        """
        named = self.cell_id and other.cell_id
        if named and _CELL_ID.match(self.cell_id) and _CELL_ID.match(other.cell_id):
            return self.cell_id == other.cell_id
        return self.digest == other.digest and (not named or self.cell_id == other.cell_id)


class Index:
    """The executions of one kernel, brought up to date by `take`. `read_to` is the newest record's number."""

    def __init__(self) -> None:
        self.read_to = 0
        self._executions: dict[str, Execution] = {}
        self._notes: dict[str, tuple[str, str]] = {}
        self._displays: dict[str, str] = {}

    def __iter__(self) -> Iterator[Execution]:
        """All executions, in the order of their beginning."""
        return iter(list(self._executions.values()))

    def find(self, msg_id: str) -> Execution | None:
        """The execution of a request, None when it is not known."""
        return self._executions.get(msg_id)

    def take(self, records: Iterable[Record]) -> None:
        """Read on."""
        for record in records:
            if record.seq <= self.read_to:
                continue
            self.read_to = record.seq
            if record.kind is Kind.NOTE and record.note is not None:
                self._note(record.note)
            elif record.kind is Kind.MESSAGE:
                try:
                    self._message(record)
                except MALFORMED:
                    continue

    def end_all(self) -> None:
        """The kernel is no more: what runs has ended."""
        for execution in self._executions.values():
            execution.cut_off = execution.cut_off or not execution.ended
            execution.ended = True

    def _note(self, note: dict[str, object]) -> None:
        if note.get("msg_type") == "execute_request":
            _bound(self._notes, MOST_NOTES)
            self._notes[str(note["msg_id"])] = (str(note["session"]), str(note["cell_id"]))

    def _message(self, record: Record) -> None:
        header = HEADERS.decode(record.parts[0])
        kind = header.msg_type
        if kind not in _OUTPUTS and kind not in ("execute_input", "status"):
            return
        parent = PARENTS.decode(record.parts[1])
        if kind == "execute_input":
            if parent.msg_type in ("execute_request", "") and parent.msg_id and parent.msg_id not in self._executions:
                self._begin(record, parent)
            return
        execution = self._executions.get(parent.msg_id)
        if execution is not None:
            self._go_on(execution, kind, record, _sent_at(header, record))

    def _begin(self, record: Record, parent: Parent) -> None:
        session, cell_id = self._notes.pop(parent.msg_id, (parent.session, ""))
        digest = digest_of(_INPUTS.decode(record.parts[3]).code)
        _bound(self._executions, MOST_EXECUTIONS)
        self._executions[parent.msg_id] = Execution(
            parent.msg_id, session or parent.session, cell_id, digest, record.seq, record.at, record.seq, record.at
        )

    def _go_on(self, execution: Execution, kind: str, record: Record, at: float) -> None:
        if kind == "status":
            if execution.ended or _STATUSES.decode(record.parts[3]).execution_state != "idle":
                return
            execution.ended = True
        elif kind in ("display_data", "execute_result") and b'"display_id"' in record.parts[3]:
            _bound(self._displays, MOST_DISPLAYS)
            self._displays[_DISPLAYS.decode(record.parts[3]).transient.display_id] = execution.msg_id
        elif kind == "update_display_data":
            origin = self._displays.get(_DISPLAYS.decode(record.parts[3]).transient.display_id)
            if origin is not None and origin != execution.msg_id:
                execution.origins |= {origin}
        execution.last_seq, execution.last_at = record.seq, max(execution.last_at, at)


def _sent_at(header: Header, record: Record) -> float:
    """When the kernel sent a message, as it says itself: the journal's time is when its agent came to read it.

    A front end may have saved the notebook in between, with this in it. What is not plausible is not believed.
    """
    try:
        sent_at = datetime.fromisoformat(header.date)
    except ValueError:
        return record.at
    if sent_at.tzinfo is None:
        sent_at = sent_at.replace(tzinfo=UTC)
    return sent_at.timestamp() if 0 <= record.at - sent_at.timestamp() <= MOST_LATE_SECONDS else record.at


def _bound(kept: dict[str, Any], most: int) -> None:
    if len(kept) >= most:
        del kept[next(iter(kept))]
