"""The bridge between one client and one kernel, as a state machine without I/O: events in, commands out.

    WAITING ──SocketsOpened──▶ SUBSCRIBING ──first iopub message──▶ LIVE
       ▲        │                   │ patience ends                  ▲ │
       │        │ comes back        ▼                                │ │ the kernel restarts, starts anew
       │        └───────────▶ CATCHING_UP ──journal meets live───────┘ │ (generation), or died
       └──────────────────────── ENDING: its last words ◀──────────────┤
                                       ▲ it has ended                   │ somebody else ends it
                                       └────────── PARTING ◀────────────┘

What the client sends before the kernel is heard is held, in order, so that no output of its first requests can be
missed: a SUB socket hears only what is published after the kernel knows of it (ipykernel says so with
``iopub_welcome``; other kernels are asked for ``kernel_info`` until something is heard). The kernel is never kept
from sending.

A client that comes back, or whose kernel could not be heard, is told from the kernel's journal what it missed, until
the journal meets the live messages (`proxy.core.catch_up`). Replies of its execute requests that were given meanwhile
are made again from what was published. When a process of the kernel ends, its last words and the agent's closing
messages come from the journal before the news of the state. When somebody else than its user ends the kernel, it is not
listened to while that is done: the journal has what its cells print, and why they end instead of how.

`LIVE` parses no JSON of outputs. Source: JUPYTER_API 3.5, 3.8, 3.10; the Jupyter messaging protocol.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from proxy.contract.close_codes import CloseCode
from proxy.core.bridge_terms import (
    ClientSent,
    Close,
    CloseSockets,
    Command,
    Event,
    FindPlace,
    JournalAway,
    JournalRead,
    KernelEnded,
    KernelObserved,
    KernelSent,
    NoteRequest,
    OpenSockets,
    PatienceEnded,
    PlaceFound,
    Probe,
    ReadJournal,
    SocketsFailed,
    SocketsOpened,
    ToClient,
    ToKernel,
    Wait,
)
from proxy.core.catch_up import CatchUp
from proxy.core.executions import Executions
from proxy.core.frames import ClientMessage, Framing
from proxy.core.limits import DEFAULT_LIMITS, Limits
from proxy.core.messages import NO_PARENT, Minter
from proxy.core.retelling import Reteller
from proxy.core.sorting import Sorter, cell_of, request_of
from proxy.core.tagged import Tagged
from proxy.core.wire import Part, Parts, Signer
from proxy.errors import BadMessage
from proxy.kit.journal_format import Kind, Record, identity_of

PATIENCE_SECONDS = 0.05
"""How long the kernel's welcome is waited for before it is asked: it welcomes its first subscriber, which is its agent,
and no other of the same subscription."""
CATCH_UP_PATIENCE_SECONDS = 0.2
PROBE_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
"""How long each question has: one that the kernel answered before it took note of the subscription is not heard."""
PROBES = len(PROBE_SECONDS)
"""After so many questions without an answer (a busy kernel of an old kind) the client's messages go anyway."""
PAUSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds before the journal is read again once its end was reached; the last for all that follow."""
FRUITLESS = 16
"""After so many readings in vain the journal is not believed to meet what is live any more."""
READY = frozenset({"idle", "busy"})
SHUT_DOWN = "shut down"
"""The agent's reason for an end that was asked for."""


class Phase(Enum):
    """Where a bridge stands; see the module's picture."""

    WAITING = "waiting"
    SUBSCRIBING = "subscribing"
    CATCHING_UP = "catching_up"
    LIVE = "live"
    PARTING = "parting"
    ENDING = "ending"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a client has of the kernel when its connection begins.

    `identity`: of the last IOPub message that it has, empty for none. `base`: the journal's last record when its
    session began; None where there is no journal. `is_return`: it was here before. `executions`: the open ones.
    `question`: what the kernel asks for and nobody has answered (an ``input_request``). `owed`: keys of the requests
    that the kernel owes replies to by the name that this client has. `is_renamed`: it had another one, to which the
    kernel may owe replies that will not come. `held`: what it sent before that did not come to the kernel;
    `abandoned`: headers of such requests that are not sent any more.
    """

    identity: bytes = b""
    base: int | None = None
    is_return: bool = False
    executions: Executions = field(default_factory=Executions)
    question: list[bytes] | None = None
    owed: list[bytes] = field(default_factory=list)
    is_renamed: bool = False
    held: list[ClientMessage] = field(default_factory=list)
    abandoned: list[bytes] = field(default_factory=list)


class Bridge:
    """One connection's state machine. Call `handle` with each event; perform what it returns, in order.

    An event that does not fit (late, of an older generation) is ignored. `rejected` counts the kernel's
    messages that broke a rule and were left out.
    """

    def __init__(
        self,
        framing: Framing,
        mint: Minter,
        limits: Limits = DEFAULT_LIMITS,
        sorter: Sorter | None = None,
        standing: Standing | None = None,
    ) -> None:
        self.phase = Phase.WAITING
        self.rejected = 0
        self._framing = framing
        self._mint = mint
        self._limits = limits
        self._sorter = sorter or Sorter("")
        standing = standing or Standing()
        self._base = standing.base
        self._identity = standing.identity
        self._is_behind = standing.is_return and standing.base is not None
        self._reteller = Reteller(
            mint, standing.executions, standing.owed, self._sorter.is_agents, is_renamed=standing.is_renamed
        )
        self._unasked = standing.question
        self._last: Part | None = None
        self._way: CatchUp | None = None
        self._early = CatchUp(0)
        """What is live before the client's place is found, which no journal may have."""
        self._missing = 0
        """How many of the journal's records the client was not told and will not be; it is not told so yet."""
        self._turn = 0
        self._signer: Signer | None = None
        self._generation = -1
        self._state = ""
        self._probes = 0
        self._hears = False
        self._ended: KernelObserved | None = None
        self._after: KernelObserved | None = None
        self._lost: KernelEnded | None = None
        self._ended_generation = -1
        self._was_ended = False
        self.held: deque[ClientMessage] = deque(standing.held)
        """What the client sent and the kernel shall get as soon as it is heard."""
        self._held_bytes = 0
        self.abandoned = standing.abandoned
        """Headers of requests that the client is to be told were not executed."""

    def handle(self, event: Event) -> list[Command]:
        """What follows from `event`."""
        if self.phase is Phase.CLOSED:
            return []
        match event:
            case KernelSent():
                return self._from_kernel(event)
            case ClientSent():
                return self._from_client(event.message)
            case KernelObserved():
                return self._observe(event)
            case SocketsOpened():
                return self._opened(event)
            case SocketsFailed():
                return self._failed(event)
            case PatienceEnded():
                return self._impatient(event)
            case PlaceFound():
                return self._placed(event) if event.turn == self._turn else []
            case JournalRead():
                return self._read(event) if event.turn == self._turn else []
            case JournalAway():
                return self._without_journal() if event.turn == self._turn else []
            case KernelEnded():
                return self._lose(event)

    @property
    def owed(self) -> list[bytes]:
        """The keys of the execute requests that the kernel owes this client replies to."""
        return self._reteller.owed

    @property
    def question(self) -> Parts | None:
        """The ``input_request`` that nobody has answered yet."""
        return self._unasked or self._reteller.question

    # ---- the kernel's life

    def _observe(self, seen: KernelObserved) -> list[Command]:
        if seen.generation < self._generation:
            return []
        if self.phase is Phase.ENDING:
            self._after = seen
            return []
        if seen.is_ending:
            return self._begin_parting(seen)
        is_new = seen.generation > self._generation
        before, was = self._generation, self._state
        self._state, self._generation = seen.state, seen.generation
        if seen.state in READY:
            # Not only a new generation: "restarting" may be told before the generation grows.
            if not is_new and was in READY:
                return []
            return self._end(seen, before) if self._has_more(was) else self._go_on(seen)
        if seen.state == was and not is_new:
            return []
        return self._end(seen, before) if self._has_more(was) else self._tell_end(seen, is_news=bool(was))

    def _has_more(self, was: str) -> bool:
        """Whether a process has just ended of which the journal may have something that the client has not."""
        phases = (Phase.LIVE, Phase.CATCHING_UP, Phase.PARTING)
        return bool(was) and self.phase in phases and self._base is not None

    def _begin_parting(self, seen: KernelObserved) -> list[Command]:
        """Hear no more of the kernel, which is being ended: the journal tells the rest when that is done."""
        if self._base is None or self.phase is Phase.PARTING:
            return []
        self._state, self._generation = seen.state, seen.generation
        commands = self._wait_again()
        self.phase, self._was_ended = Phase.PARTING, True
        return commands

    def _end(self, seen: KernelObserved, generation: int) -> list[Command]:
        """Read what the journal has of the process that ended, before anything else is told."""
        self._ended, self._ended_generation = seen, generation
        commands = self._wait_again()
        self.phase = Phase.ENDING
        return [*commands, self._next_reading()]

    def _ending_done(self) -> list[Command]:
        if self._lost is not None:
            return self._part(self._lost)
        seen, after = self._ended, self._after
        self._ended = self._after = None
        self.phase = Phase.WAITING
        assert seen is not None  # noqa: S101  ENDING has one
        commands: list[Command] = []
        reason = seen.reason or (after.reason if after is not None else None)
        unanswered = self._reteller.fail_asked(reason, is_said=reason != SHUT_DOWN, is_stopped=self._was_ended)
        for channel, parts in unanswered:
            commands.append(ToClient(channel, [parts]))
        if seen.state in READY:
            commands += self._go_on(seen)
        else:
            commands += self._tell_end(seen, is_news=True)
        return commands + (self._observe(after) if after is not None else [])

    def _lose(self, event: KernelEnded) -> list[Command]:
        """The kernel ended together with its agent: nobody but the journal can tell its last words."""
        if self._lost is not None:
            return []
        self._lost = event
        if self.phase is Phase.ENDING:
            self._turn += 1  # instead of a reading that waits for the agent
            return [self._next_reading()]
        if self._has_more(self._state):
            return self._end(KernelObserved("dead", self._generation, event.reason), self._generation)
        return self._part(event)

    def _part(self, event: KernelEnded) -> list[Command]:
        """Close, so that front ends ask the hub why; what the agent could not close of the client's cells is closed."""
        told = self._reteller.fail_asked(event.reason, is_said=True, is_stopped=self._was_ended)
        return self._tell_all(told) + self._close(CloseCode.SERVICE_RESTART, event.reason or "the kernel has ended")

    def _go_on(self, seen: KernelObserved) -> list[Command]:
        self._wait_again()
        return [OpenSockets(seen.generation)]

    def _tell_end(self, seen: KernelObserved, *, is_news: bool) -> list[Command]:
        commands: list[Command] = []
        if is_news and seen.state == "dead" and seen.reason not in (None, SHUT_DOWN):
            # JupyterLab asks the hub why whenever a connection ends, and never after the state "dead".
            how = "was ended" if self._was_ended else "died"
            return self._close(CloseCode.SERVICE_RESTART, f"the kernel {how}: {seen.reason}")
        if is_news and (told := self._told_state(seen)) is not None:
            status = Tagged(self._mint("status", {"execution_state": told}, NO_PARENT))
            commands.append(ToClient("iopub", [status]))
        return commands + self._wait_again()

    @staticmethod
    def _told_state(seen: KernelObserved) -> str | None:
        """The state that front ends must hear of from the server, since the kernel cannot say it.

        ``restarting`` makes them say that the kernel died, so it is not for a restart that was asked for.
        """
        if seen.state == "dead" or (seen.state == "restarting" and seen.reason):
            return seen.state
        return None

    def _wait_again(self) -> list[Command]:
        """Leave the sockets, remembering where the client stands."""
        had_sockets = self.phase not in (Phase.WAITING, Phase.PARTING, Phase.ENDING)
        if self.phase in (Phase.LIVE, Phase.CATCHING_UP):
            self._is_behind = self._base is not None
        if self.phase is Phase.LIVE and self._last is not None:
            self._identity, self._way = identity_of(self._last), None
        if self._way is not None:
            self._way.take_live()
        self._early.take_live()
        self._turn += 1
        if had_sockets:
            self._unasked = self._reteller.question = None  # who asked is no more
        self.phase = Phase.WAITING
        self._signer = None
        self._hears = False
        return [CloseSockets()] if had_sockets else []

    def _opened(self, event: SocketsOpened) -> list[Command]:
        if event.generation != self._generation or self.phase is not Phase.WAITING:
            return []
        self._signer, self._probes = event.signer, 0
        if not self._is_behind:
            self.phase = Phase.SUBSCRIBING
            return [Wait(PATIENCE_SECONDS, self._generation)]
        self.phase = Phase.CATCHING_UP
        return [Wait(CATCH_UP_PATIENCE_SECONDS, self._generation), self._next_reading()]

    def _failed(self, event: SocketsFailed) -> list[Command]:
        if event.generation != self._generation:
            return []
        if event.gone:
            return self._close(CloseCode.KERNEL_GONE, "this kernel does not exist any more")
        return self._close(CloseCode.SERVICE_RESTART, "the kernel's sockets did not open")

    def _impatient(self, event: PatienceEnded) -> list[Command]:
        if self.phase not in (Phase.SUBSCRIBING, Phase.CATCHING_UP) or event.generation != self._generation:
            return []
        if self._probes < PROBES and self._signer is not None:
            if self._way is not None and self._way.hears:
                return []  # the journal will have it too
            seconds = PROBE_SECONDS[self._probes]
            return [*self._probe(), Wait(seconds, self._generation)]
        commands: list[Command] = []
        if self.phase is Phase.SUBSCRIBING:
            if self._base is None:
                return self._go_live()
            # What the requests bring before the kernel is heard comes from the journal.
            self.phase, self._way = Phase.CATCHING_UP, CatchUp(self._base)
            commands.append(self._next_reading())
        return self._heard() + commands

    def _probe(self) -> list[Command]:
        self._probes += 1
        assert self._signer is not None  # noqa: S101  there are sockets
        return [Probe(self._signer.pack(self._mint("kernel_info_request", {}, NO_PARENT)))]

    def _heard(self) -> list[Command]:
        """The kernel is heard from now on, or believed to be: what was held for it goes."""
        if self._hears:
            return []
        self._hears = True
        held, self.held, self._held_bytes = self.held, deque(), 0
        abandoned, self.abandoned = self.abandoned, []
        told = self._tell_all(self._reteller.abandon(abandoned)) if abandoned else []
        return [*told, *self._ask_again(), *(command for message in held for command in self._to_kernel(message))]

    def _ask_again(self) -> list[Command]:
        """The question that waits for an answer, unless the client has it."""
        question, self._unasked = self._unasked, None
        if question is None:
            return []
        has_it = self._reteller.has_question(question)
        tagged = self._reteller.take_question(question)
        return [] if has_it else [ToClient("stdin", [tagged])]

    def _go_live(self) -> list[Command]:
        self.phase, self._way, self._is_behind = Phase.LIVE, None, False
        return self._heard()

    # ---- the journal

    @property
    def _has_agent(self) -> bool:
        return self._lost is None

    def _next_reading(self) -> Command:
        if self._way is None:
            look_back = self._reteller.executions.lacks_replies
            return FindPlace(self._turn, self._identity, self._base or 0, look_back, self._has_agent)
        return ReadJournal(self._turn, self._way.place, self._has_agent)

    def _placed(self, event: PlaceFound) -> list[Command]:
        if event.place is None:
            return self._without_journal()
        self._way, self._early = self._early, CatchUp(0)
        self._way.place = event.place
        self._missing = event.lost
        commands = self._tell_all(self._reteller.recall(event.past))
        if self._hears and self._signer is not None and not self._way.hears:
            commands += self._probe()  # what was heard so far was more than is kept
        return [*commands, ReadJournal(self._turn, event.place, self._has_agent)]

    def _read(self, event: JournalRead) -> list[Command]:
        way = self._way
        if way is None or self.phase not in (Phase.CATCHING_UP, Phase.ENDING):
            return []
        told: list[tuple[str, Parts]] = []
        before = way.place
        for record in event.records:
            self._missing += record.seq - way.place - 1
            if way.read(record):
                return self._tell_all(told + self._tell_missing(record)) + self._meet(way)
            if record.kind == Kind.MESSAGE:
                told += self._tell_missing(record) + self._tell_again(record, is_cut=self.phase is Phase.ENDING)
            elif self._is_end(record):
                return self._tell_all(told + self._tell_missing()) + self._ending_done()
        commands = self._tell_all(told + (self._tell_missing() if event.complete else []))
        if not event.complete:
            return [*commands, ReadJournal(self._turn, way.place)]
        if self.phase is Phase.ENDING:
            return commands + self._ending_done()
        way.fruitless = way.fruitless + 1 if way.place == before else 0
        if way.hears and way.fruitless > FRUITLESS:
            return commands + self._meet(way)
        pause = PAUSES[min(way.fruitless, len(PAUSES) - 1)]
        return [*commands, ReadJournal(self._turn, way.place, fresh=True, pause=pause)]

    def _tell_missing(self, following: Record | None = None) -> list[tuple[str, Parts]]:
        """That the journal has lost something, if it has: beneath the cell that goes on, where people see it."""
        missing, self._missing = self._missing, 0
        return [("iopub", self._reteller.lost(missing, following))] if missing else []

    def _is_end(self, record: Record) -> bool:
        """Whether the process that ended has nothing after this record."""
        if self.phase is not Phase.ENDING or record.kind != Kind.DEATH or record.note is None:
            return False
        return bool(record.note["generation"] >= self._ended_generation)

    def _meet(self, way: CatchUp) -> list[Command]:
        """The journal has come to what is live: go on with that."""
        told: list[tuple[str, Parts]] = []
        for parts in way.take_live():
            if (kept := self._sorter.sort(parts)) is not None:
                self._last = kept[0]
                told += self._reteller.tell(kept, is_late=False)
        return self._tell_all(told) + self._go_live()

    def _without_journal(self) -> list[Command]:
        """Nothing is known of what was missed: what is live is told."""
        if self.phase is Phase.ENDING:
            return self._ending_done()
        if self.phase is not Phase.CATCHING_UP:
            return []
        way, self._way, self._is_behind = self._way, None, False
        if way is not None or self._early.hears:
            return self._meet(way or self._early)
        if self._hears:
            return self._go_live()
        self.phase = Phase.SUBSCRIBING
        return []

    def _tell_again(self, record: Record, *, is_cut: bool) -> list[tuple[str, Parts]]:
        limit = self._limits.header_bytes
        if len(record.parts[0]) > limit or len(record.parts[1]) > limit:
            self.rejected += 1
            return []
        kept = self._sorter.sort(record.parts)
        return [] if kept is None else self._reteller.tell(kept, is_late=True, is_cut=is_cut)

    @staticmethod
    def _tell_all(told: Iterable[tuple[str, Parts]]) -> list[Command]:
        """Commands for messages of several channels, neighbours of one channel together."""
        commands: list[Command] = []
        for channel, parts in told:
            last = commands[-1] if commands else None
            if isinstance(last, ToClient) and last.channel == channel:
                last.messages.append(parts)
            else:
                commands.append(ToClient(channel, [parts]))
        return commands

    # ---- messages

    def _from_kernel(self, event: KernelSent) -> list[Command]:
        signer = self._signer
        if signer is None:
            return []
        received: list[Parts] = []
        for frames in event.messages:
            try:
                received.append(signer.unpack(frames, self._limits))
            except BadMessage:
                self.rejected += 1
        if event.channel != "iopub":
            return self._answered(event.channel, received)
        if not received:
            # Even a message that is left out says that the subscription holds.
            return self._go_live() if self.phase is Phase.SUBSCRIBING else []
        if self.phase is Phase.CATCHING_UP:
            return self._keep(received)
        sort = self._sorter.sort
        messages: list[Parts] = []
        made: list[tuple[str, Parts]] = []
        for parts in received:
            if (kept := sort(parts)) is not None:
                messages.append(kept)
                if type(kept) is Tagged:
                    made += self._reteller.follow(kept)
        commands: list[Command] = self._tell_all(made) if made else []
        if messages:
            self._last = messages[-1][0]
            commands.append(ToClient("iopub", messages))
        if self.phase is Phase.SUBSCRIBING:
            commands += self._go_live()
        return commands

    def _keep(self, received: list[Parts]) -> list[Command]:
        """Live messages while the client is behind."""
        way, was_heard = self._way or self._early, self._hears
        commands = self._heard()
        if not was_heard:
            # From here on the kernel's answer is heard for sure, and the journal has it: there the two meet.
            commands += self._probe()
        was_hearing = way.hears
        for parts in received:
            if b"iopub_welcome" not in bytes(parts[0]):  # not in every journal
                way.hear(parts)
        if way.hears and not was_hearing and way.fruitless:
            way.fruitless = 0
            self._turn += 1  # instead of the reading that waits
            commands.append(ReadJournal(self._turn, way.place, fresh=True))
        return commands

    def _answered(self, channel: str, received: list[Parts]) -> list[Command]:
        if channel == "stdin":
            received = [self._reteller.take_question(parts) for parts in received]
        if channel != "shell":
            return [ToClient(channel, received)] if received else []
        replies = [self._sorter.reply(parts) for parts in received]
        kept = [parts for parts in replies if self._reteller.take_reply(parts)]
        return [ToClient(channel, kept)] if kept else []

    def _from_client(self, raw: str | bytes) -> list[Command]:
        try:
            message = self._framing.decode(raw)
        except BadMessage as bad:
            return self._close(CloseCode.POLICY, f"{bad.code}: {bad}")
        if self._hears and self.phase in (Phase.LIVE, Phase.CATCHING_UP):
            return self._to_kernel(message)
        self._held_bytes += len(raw)
        if self._held_bytes > self._limits.held_bytes:
            return self._close(CloseCode.TRY_AGAIN_LATER, "the kernel is not ready, and too much waits for it")
        self.held.append(message)
        return []

    def _to_kernel(self, message: ClientMessage) -> list[Command]:
        assert self._signer is not None  # noqa: S101  who hears has one
        sent = ToKernel(message.channel, self._signer.pack(message.parts))
        if message.channel == "stdin":
            self._reteller.question = None
        if message.channel != "shell" or (facts := request_of(message.parts)) is None:
            return [sent]
        self._reteller.ask(facts.msg_id, message.parts[0])
        return [NoteRequest(facts.msg_id, facts.session, cell_of(message.parts[2])), sent]

    def _close(self, code: CloseCode, reason: str) -> list[Command]:
        self.phase = Phase.CLOSED
        return [CloseSockets(), Close(code, reason[:100])]
