"""What a client is told of its own executions beside the kernel's messages: replies that are gone, and what is lost.

Each ``execute_reply`` comes once: the kernel's own, or one made from what was published, before the state idle that
ends the execution. Memory is bounded: who asks for more than `ASKED` at once is answered by the kernel alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from proxy.core.executions import Executions, key_of
from proxy.core.frames import header_facts
from proxy.core.messages import Minter
from proxy.core.replies import ErrorContent, error_of, reply_content
from proxy.core.sorting import Sorter, request_of
from proxy.core.tagged import Effect, Step, Tagged
from proxy.core.wire import Part, Parts
from proxy.errors import BadMessage
from proxy.kit.journal_format import Kind, Record

ASKED = 4096
ASKED_HEADER_BYTES = 2048
REPLIED = 1024
ENDED = "The kernel ended while this cell ran: {}"
ENDED_BEFORE = "The kernel ended before this cell ran: {}"

Told = list[tuple[str, Parts]]
"""Messages for the client, each with its channel."""


class Reteller:
    """Follows one session's executions. `executions` are those open when its connection began.

    `owed` and `is_renamed` are those of `proxy.core.bridge.Standing`; `cuts` says of the header of an execution's last
    message whether it tells that the kernel ended meanwhile.
    """

    def __init__(
        self,
        mint: Minter,
        executions: Executions,
        owed: Iterable[bytes] = (),
        cuts: Callable[[Part], bool] = lambda header: False,
        *,
        is_renamed: bool = False,
    ) -> None:
        self._mint = mint
        self._cuts = cuts
        self._owed = set(owed)
        self._mine: set[str] | None = set() if is_renamed else None
        """The requests of this connection; None when the replies to all others come to it too."""
        self.executions = executions
        self.asked: dict[str, bytes] = {}
        """Execute requests of this connection without a reply: id and header."""
        self.question: Parts | None = None
        """What the kernel asks and nobody has answered, if anything."""
        self._replied: dict[bytes, None] = {}
        self._errors: dict[bytes, ErrorContent] = {}
        self._has_last_error = False

    # ---- what passes

    def ask(self, msg_id: str, header: Part) -> None:
        """The client asks for an execution."""
        if len(self.asked) < ASKED and len(header) <= ASKED_HEADER_BYTES:
            self.asked[msg_id] = bytes(header)
        if self._mine is not None:
            self._mine.add(msg_id)
            if len(self._mine) > ASKED:
                self._mine = None

    def follow(self, parts: Tagged) -> Told:
        """A live message is a step of an execution; what goes before it: a reply that comes to nobody, made again."""
        if parts.effect is None:
            return []
        if self._mine is not None:
            return self.tell(parts, is_late=False)[:-1]
        self.executions.note(parts.effect)
        return []

    @property
    def owed(self) -> list[bytes]:
        """The keys of all execute requests that the kernel owes replies to."""
        return list({*map(key_of, self.asked), *self.executions.unanswered, *self._owed} - set(self._replied))

    def take_question(self, parts: Parts) -> Parts:
        """A message of the kernel on stdin, remembered and tagged if it asks for input."""
        try:
            facts = header_facts(parts[0])
        except BadMessage:
            return parts
        if facts.msg_type != "input_request":
            return parts
        self.question = parts
        return Tagged(parts, None, Effect(Step.QUESTION, facts.msg_id))

    def has_question(self, parts: Parts) -> bool:
        """Whether the client has this question already."""
        try:
            return self.executions.find(header_facts(parts[0]).msg_id) is not None
        except BadMessage:
            return True

    def take_reply(self, parts: Parts) -> bool:
        """A message of the kernel on shell: False when the client has had this reply already."""
        effect = parts.effect if type(parts) is Tagged else None
        if effect is None:
            return True
        self.asked.pop(effect.msg_id, None)
        self._owed.discard(key_of(effect.msg_id))
        self.question = None  # nothing asks for input when a cell has ended
        if key_of(effect.msg_id) in self._replied:
            return False
        self.executions.note(effect)
        return True

    def tell(self, parts: Parts, *, is_late: bool, is_cut: bool = False) -> Told:
        """An IOPub message with what goes before it: before the end of an execution its reply, if that is gone.

        `is_late`: it comes from the journal. The reply to a live one is on its way.
        """
        effect = parts.effect if type(parts) is Tagged else None
        if effect is None:
            return [("iopub", parts)]
        told: Told = []
        if effect.step is Step.ERROR:
            self._remember_error(effect.msg_id, error_of(parts[3]))
            self._has_last_error = is_cut
        elif effect.step is Step.IDLE and (is_late or (self._mine is not None and effect.msg_id not in self._mine)):
            told = self._reply(effect.msg_id, parts, is_cut=is_cut)
        self.executions.note(effect)
        return [*told, ("iopub", parts)]

    def recall(self, past: Iterable[Record]) -> Told:
        """Replies that the client lacks of executions whose end it has, from the records before its place."""
        told: Told = []
        sorter = _AnySession()
        for record in past:
            if record.kind != Kind.MESSAGE:
                continue
            effect = sorter.effect_of(record.parts)
            known = None if effect is None else self.executions.find(effect.msg_id)
            if effect is None or known is None or known.replied or not known.idle:
                continue
            if effect.step is Step.ERROR:
                self._remember_error(effect.msg_id, error_of(record.parts[3]))
            elif effect.step is Step.INPUT:
                known.count = effect.number
            elif effect.step is Step.IDLE:
                told += self._reply(effect.msg_id, record.parts, is_cut=False)
        return told

    # ---- what is made

    def fail_asked(self, reason: str | None, *, is_said: bool = False, is_stopped: bool = False) -> Told:
        """The ends of all executions that a process of the kernel owed when it ended; `reason` None: asked for.

        `is_said`: the first of them, of which no agent has told the end, is told the reason as output. `is_stopped`:
        somebody else than its user ended it, and the cell that the agent has told so is enough.
        """
        told: Told = []
        name = "KernelStopped" if is_stopped else "KernelDied"
        is_said = is_said and not (is_stopped and self._has_last_error)
        asked, self.asked = self.asked, {}
        for msg_id, header in asked.items():
            if key_of(msg_id) in self._replied:
                continue
            words = ENDED if self.executions.find(msg_id) is not None else ENDED_BEFORE
            error = ErrorContent(name, reason, [words.format(reason)]) if reason else None
            if error is not None and is_said and not told:
                said = self._mint("error", msgspec.to_builtins(error), header)
                told.append(("iopub", Tagged(said, None, Effect(Step.ERROR, msg_id))))
            content = reply_content(self.executions.find(msg_id), error, is_cut=True)
            told.append(("shell", self._replying(msg_id, content, header, None)))
            idle = self._mint("status", {"execution_state": "idle"}, header)
            told.append(("iopub", Tagged(idle, None, Effect(Step.IDLE, msg_id))))
            self.executions.note(Effect(Step.IDLE, msg_id))
        return told

    def abandon(self, headers: Iterable[bytes]) -> Told:
        """The ends of execute requests that never came to the kernel. Before the first one of this connection."""
        for header in headers:
            if (facts := request_of([header])) is not None:
                self.ask(facts.msg_id, header)
        return self.fail_asked(None)

    def lost(self, records: int, following: Record | None = None) -> Parts:
        """A note that the journal has lost so much of what the client missed, as output of what follows."""
        text = f"\n[{records} messages of this kernel were lost here: its journal holds so much and no more.]\n"
        parent: Part = b"{}"
        session = None
        if following is not None and following.kind == Kind.MESSAGE:
            parent, session = following.parts[1], _session_of(following.parts[0])
        return Tagged(self._mint("stream", {"name": "stderr", "text": text}, parent, session))

    def _reply(self, msg_id: str, idle: Parts, *, is_cut: bool) -> Told:
        known = self.executions.find(msg_id)
        if (known is not None and known.replied) or key_of(msg_id) in self._replied:
            return []
        self.asked.pop(msg_id, None)
        content = reply_content(known, self._errors.pop(key_of(msg_id), None), is_cut=is_cut or self._cuts(idle[0]))
        return [("shell", self._replying(msg_id, content, idle[1], _session_of(idle[0])))]

    def _replying(self, msg_id: str, content: dict[str, object], parent: Part, session: str | None) -> Parts:
        self._replied[key_of(msg_id)] = None
        if len(self._replied) > REPLIED:
            del self._replied[next(iter(self._replied))]
        effect = Effect(Step.REPLY, msg_id)
        self.executions.note(effect)
        return Tagged(self._mint("execute_reply", content, parent, session), None, effect)

    def _remember_error(self, msg_id: str, error: ErrorContent) -> None:
        self._errors[key_of(msg_id)] = error
        if len(self._errors) > 16:
            del self._errors[next(iter(self._errors))]


class _AnySession:
    """Steps of executions whoever asked for them: which are meant is known by their ids."""

    def effect_of(self, parts: Parts) -> Effect | None:
        """The step that a message is."""
        try:
            session = header_facts(parts[1]).session
        except BadMessage:
            return None
        kept = Sorter(session).sort(parts)
        return kept.effect if type(kept) is Tagged else None


def _session_of(header: Part) -> str | None:
    try:
        return header_facts(header).session or None
    except BadMessage:
        return None
