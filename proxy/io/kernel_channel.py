"""``/user/<name>/api/kernels/<id>/channels``: performs what a connection's `Bridge` decides."""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

from proxy.contract.agent import KernelInfo
from proxy.contract.close_codes import CloseCode
from proxy.contract.route import KernelRoute, TerminalRoute
from proxy.core.bridge import Bridge, Phase, Standing
from proxy.core.bridge_terms import (
    ClientSent,
    Close,
    CloseSockets,
    Command,
    Event,
    FindPlace,
    KernelEnded,
    KernelObserved,
    KernelSent,
    NoteRequest,
    OpenSockets,
    PatienceEnded,
    Probe,
    ReadJournal,
    SocketsFailed,
    SocketsOpened,
    ToClient,
    ToKernel,
    Wait,
)
from proxy.core.client_queue import ClientQueue
from proxy.core.frames import V1_SUBPROTOCOL, ClientMessage, DefaultFraming, V1Framing
from proxy.core.messages import make_minter
from proxy.core.sorting import Sorter
from proxy.core.wire import Signer
from proxy.errors import BadMessage, Refused
from proxy.io.agents import Listener, SharedAgent
from proxy.io.client_writer import ClientWriter
from proxy.io.connections import Holder
from proxy.io.cursors import Cursor, SessionKey
from proxy.io.journals import JournalReading
from proxy.io.keepers import Waiting, kept_question, kept_requests
from proxy.io.kernel_sockets import KernelSockets
from proxy.io.trail import Trail
from proxy.io.websocket import ChannelHandler
from proxy.kit.agent_client import AgentRefused, AgentSilent
from proxy.kit.sockets import SocketRefused
from proxy.kit.zmtp_wire import Message

log = logging.getLogger(__name__)

OPEN_TRIES = 60
OPEN_PAUSE_SECONDS = 0.25
SESSION_CHARACTERS = 128
FINISH_SECONDS = 3.0
OWED = 256


class KernelHandler(ChannelHandler):
    """One client's connection to one kernel."""

    kind = "kernel"
    _sockets: KernelSockets | None = None
    _opening: asyncio.Task[None] | None = None
    _patience: asyncio.TimerHandle | None = None
    _reading: JournalReading | None = None
    _cursor: Cursor | None = None
    _trail: Trail | None = None
    _session: SessionKey | None = None
    _has_noted = False
    _noted_held = 0
    _noting: asyncio.Handle | None = None
    _taken_from: Waiting | None = None

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """The v1 framing wherever it is offered."""
        return V1_SUBPROTOCOL if V1_SUBPROTOCOL in subprotocols else None

    async def attach(self, route: KernelRoute | TerminalRoute) -> Holder:
        """See `ChannelHandler.attach`."""
        if not isinstance(route, KernelRoute):
            raise Refused(404, "route.kind", "There is no such kernel.")
        self._route = route
        self._seen: KernelInfo | None = None
        self._agent: SharedAgent = await self._resources.enter_async_context(
            self._services.agents.use(route.run_folder, route.owner_uid, route.workspace_id)
        )
        attachment = await self._agent.attach(
            route.kernel_id, self, Listener(self._on_kernel, self._on_ended, self._on_gone)
        )
        self._resources.push_async_callback(self._agent.detach, route.kernel_id, self)
        self._key = attachment
        session = self.get_query_argument("session_id", "")[:SESSION_CHARACTERS]
        holder = Holder(route.principal, route.workspace_id, route.kernel_id, session or None, route.user_id)
        if attachment.session and (key := holder.key) is not None:
            await self._services.handing.take(key, self.asked_order)
        return holder

    def begin(self) -> None:
        """See `ChannelHandler.begin`."""
        services, limits = self._services, self._services.limits
        framing = V1Framing(limits) if self.selected_subprotocol else DefaultFraming(limits)
        mint = make_minter(uuid.uuid4().hex, lambda: uuid.uuid4().hex, services.clock.now)
        self._queue = ClientQueue(mint, limits, services.budgets.of(self._route.workspace_id))
        standing = self._take_cursor()
        stream = self.protocol13().stream
        if self._cursor is not None:
            self._trail = Trail(stream, self._cursor, standing.executions, self.is_writable)
        self._writer = ClientWriter(stream, framing, self._queue, self.is_writable, self._on_overflow, self._trail)
        sorter = Sorter((self.holder and self.holder.session) or "", self._key.session)
        self._bridge = Bridge(framing, mint, limits, sorter, standing)
        self._reading = JournalReading(
            self._route, self._agent, services.journals, services.tasks, self._feed, self._writer.room
        )
        if self._has_noted or standing.question is not None:
            self._note()
        if self._taken_from is not None:
            services.keepers.give_away(self._taken_from)
        self._up_messages = self._up_bytes = 0
        self._counted: tuple[int, ...] = (0,) * 7
        self._see(self._seen or self._key.kernel)

    def _take_cursor(self) -> Standing:
        """Where the client stands: at the beginning, or where its session was left."""
        self._routing_id = _identity()
        # An agent that tells its session is one that keeps journals.
        base = self._key.kernel.journal_last if self._key.session else None
        if self.holder is None or self.holder.session is None or base is None:
            return Standing(base=base)
        services = self._services
        key = self._session = self.holder.key
        assert key is not None  # noqa: S101  there is a session
        kernel, fresh = self._key.kernel, self._routing_id
        waiting, is_own = services.keepers.take(key)
        left: tuple[list[ClientMessage], list[bytes]] = ([], [])
        if waiting is not None and is_own:
            left = waiting.left_behind(kernel.generation, services.clock.now().timestamp())
            self._has_noted = True
        if waiting is not None and waiting.generation != kernel.generation:
            if not is_own:
                services.keepers.give_away(waiting)
            waiting = None
        if waiting is not None:
            self._routing_id = waiting.routing_id
            if not is_own:
                self._taken_from = waiting
                services.cursors.rename(waiting.key, _identity())
        question, owed = (waiting.question, waiting.asked) if waiting is not None else (None, [])
        self._cursor, former = services.cursors.claim(key, base, self._routing_id, self.asked_order)
        is_renamed = former is not None and former.is_renamed
        if former is not None and waiting is None:
            self._routing_id = former.routing_id
        if former is not None and not kernel.hands_over:
            # It may take the former connection for open while it is busy, and would not hear this one at all.
            self._routing_id, owed, is_renamed = fresh, [], True
        if self._cursor is not None and former is not None and self._routing_id != former.routing_id:
            self._cursor.rename(self._routing_id)
            is_renamed = True
        standing = Standing(base=base, question=question, owed=owed, held=left[0], abandoned=left[1])
        if former is None:
            return standing
        return replace(
            standing,
            identity=former.identity,
            base=former.base,
            is_return=True,
            executions=former.executions,
            is_renamed=is_renamed,
        )

    def _note(self) -> None:
        """Write down what must outlive this proxy: what the kernel asks and what it did not get yet, if anything."""
        self._noting = None
        if self._session is None:
            return
        bridge = self._bridge
        self._noted_held = len(bridge.held)
        if bridge.question is None and not bridge.held and not bridge.abandoned:
            if self._has_noted:
                self._services.keepers.forget(self._session)
            self._has_noted = False
        elif (waiting := self._waiting()) is not None:
            self._services.keepers.note(waiting)
            self._has_noted = True

    def _note_held(self) -> None:
        """Write down soon what is held now; or at once that it is not: what is about to be sent must not go twice."""
        if not self._bridge.held:
            self._note()
        elif self._noting is None:
            self._noting = asyncio.get_running_loop().call_soon(self._note)

    def _waiting(self) -> Waiting | None:
        if self._session is None:
            return None
        bridge, kernel = self._bridge, self._key.kernel
        held, abandoned = kept_requests(bridge.held)
        return Waiting(
            self._route,
            self._session.session,
            self._routing_id,
            bridge.owed[:OWED],
            kernel.generation,
            self._services.clock.now().timestamp(),
            kept_question(bridge.question) if bridge.question is not None else None,
            held,
            [*bridge.abandoned, *abandoned],
            kernel.hands_over,
        )

    def receive(self, message: str | bytes) -> Awaitable[None] | None:
        """See `ChannelHandler.receive`."""
        self._up_messages += 1
        self._up_bytes += len(message)
        blocked = self._feed(ClientSent(message))
        if self._has_noted and self._bridge.question is None:
            self._note()
        return blocked

    async def flush_out(self) -> None:
        """See `ChannelHandler.flush_out`."""
        if self._sockets is not None:
            self._sockets.drain()
        await self._writer.flush()
        if self._trail is not None:
            await self._trail.acknowledged()

    def release(self) -> None:
        """See `ChannelHandler.release`."""
        self._close_sockets()
        self._queue.close()
        if self._opening is not None:
            self._opening.cancel()
        if self._reading is not None:
            self._reading.close()
        if self._trail is not None:
            self._trail.close()
        if self._cursor is not None:
            self._services.cursors.release(self._cursor)
        if self._noting is not None:
            self._noting.cancel()
        waiting = self._waiting()
        if waiting is not None and not self._services.handing.is_gone(waiting.key, self.asked_order):
            self._services.keepers.leave(waiting, is_moved=self._is_replaced, is_closing=self._services.is_closing)

    def on_pong(self, data: bytes) -> None:
        """What was asked for by this number has arrived."""
        super().on_pong(data)
        if self._trail is not None and data:
            self._trail.answered(data)

    def send_ping(self) -> None:
        """See `Connection.send_ping`."""
        if self._cursor is not None:
            self._cursor.touch()
        super().send_ping()

    @property
    def seen(self) -> str:
        """See `Connection.seen`."""
        return self._cursor.acknowledged.hex() if self._cursor is not None else ""

    def count(self) -> None:
        """See `Connection.count`."""
        metrics, writer, dropped = self._services.metrics, self._writer, self._queue.dropped
        now = (
            self._up_messages,
            self._up_bytes,
            writer.messages,
            writer.bytes,
            dropped.messages,
            dropped.dropped_bytes,
            self._bridge.rejected + writer.unframed,
        )
        counters = (
            metrics.messages.labels("up"),
            metrics.bytes.labels("up"),
            metrics.messages.labels("down"),
            metrics.bytes.labels("down"),
            metrics.dropped,
            metrics.dropped_bytes,
            metrics.rejected,
        )
        for counter, value, before in zip(counters, now, self._counted, strict=True):
            counter.inc(value - before)
        self._counted = now

    # ---- events

    def _on_kernel(self, info: KernelInfo) -> None:
        self._seen = info
        if self._is_open:
            self._see(info)

    def _see(self, info: KernelInfo) -> None:
        if self._sockets is not None and info.state in ("restarting", "dead"):
            self._sockets.drain()  # its last words come before the news of its end
        self._feed(KernelObserved(info.state, info.generation, info.reason, info.ending))

    def _on_ended(self, reason: str | None) -> None:
        if not self._is_open:
            self.end(CloseCode.SERVICE_RESTART, reason or "the kernel has ended")
            return
        if self._sockets is not None:
            self._sockets.drain()
        self._feed(KernelEnded(reason))

    def _on_gone(self) -> None:
        self.end(CloseCode.SERVICE_RESTART, "the kernel's container does not answer")

    def _on_messages(self, channel: str, messages: list[Message]) -> None:
        commands = self._bridge.handle(KernelSent(channel, messages))
        if channel == "stdin" or (self._has_noted and channel == "shell"):
            self._note()  # before the client sees it: who is killed in between must not forget it
        elif self._noted_held:
            self._note_held()
        for command in commands:
            self._perform(command)

    def _on_overflow(self) -> None:
        self.end(CloseCode.TRY_AGAIN_LATER, "this client reads too slowly")

    def _feed(self, event: Event) -> Awaitable[None] | None:
        """Perform what follows from an event; what is returned is done when the kernel takes more."""
        blocked = None
        commands = self._bridge.handle(event)
        if len(self._bridge.held) != self._noted_held:
            self._note_held()
        for command in commands:
            blocked = self._perform(command) or blocked
        return blocked

    # ---- commands

    def _perform(self, command: Command) -> Awaitable[None] | None:
        match command:
            case ToClient(channel, messages):
                self._writer.send(channel, messages)
            case ToKernel(channel, frames):
                self._services.pauses.wake(self._route.workspace_id)
                if self._sockets is not None:
                    return self._sockets.send(channel, frames)
            case OpenSockets(generation):
                self._open_sockets(generation)
            case CloseSockets():
                self._close_sockets()
            case Wait(seconds, generation):
                self._patience = asyncio.get_running_loop().call_later(seconds, self._feed, PatienceEnded(generation))
            case Probe(frames):
                self._probe(frames)
            case FindPlace() | ReadJournal():
                if self._reading is not None:
                    self._reading.perform(command)
            case NoteRequest(msg_id, session, cell_id):
                self._agent.client.note_request(
                    self._route.kernel_id, msg_id=msg_id, session=session, msg_type="execute_request", cell_id=cell_id
                )
            case Close(code, reason):
                self._finish(code, reason)
        if self._sockets is not None and self._bridge.phase is Phase.LIVE:
            self._sockets.end_probes()
        return None

    def _finish(self, code: CloseCode, reason: str) -> None:
        """Close, after what waits has been written."""
        if not self._writer.is_writing:
            self.end(code, reason)
        elif not self._services.tasks.is_closed:
            self._services.tasks.start(self._finish_later(code, reason), "kernel.finish")

    async def _finish_later(self, code: CloseCode, reason: str) -> None:
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                await self._writer.flush()
        except TimeoutError:
            pass
        self.end(code, reason)

    def _probe(self, frames: list[bytes | memoryview]) -> None:
        try:
            if self._sockets is not None:
                self._sockets.probe(frames, _identity())
        except SocketRefused as refused:
            log.debug("no probe of kernel %s: %s", self._route.kernel_id, refused)

    def _open_sockets(self, generation: int) -> None:
        self._close_sockets()
        if self._opening is not None:
            self._opening.cancel()
        if self._key.kernel.generation == generation and self._try_open(generation):
            return
        self._opening = self._services.tasks.start(self._keep_opening(generation), "kernel.open")

    async def _keep_opening(self, generation: int) -> None:
        """Learn this generation's key, then open the sockets, which may not be there quite yet."""
        for _ in range(OPEN_TRIES):
            try:
                self._key = await self._agent.key_of(self._route.kernel_id)
            except AgentRefused:
                self._feed(SocketsFailed(generation, gone=True))
                return
            except AgentSilent:
                pass
            else:
                if self._key.kernel.generation == generation and self._try_open(generation):
                    return
            await asyncio.sleep(OPEN_PAUSE_SECONDS)
        self._feed(SocketsFailed(generation, gone=False))

    def _try_open(self, generation: int) -> bool:
        route = self._route
        try:
            signer = Signer(self._key.key.encode(), self._key.signature_scheme)
            self._sockets = KernelSockets(
                Path(route.run_folder),
                route.kernel_id,
                route.owner_uid,
                self._routing_id,
                self._on_messages,
                self._services.limits,
            )
        except (SocketRefused, BadMessage) as refused:
            log.info("sockets of kernel %s: %s", route.kernel_id, refused)
            return False
        self._feed(SocketsOpened(generation, signer))
        return True

    def _close_sockets(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None


def _identity() -> bytes:
    """A ZeroMQ routing id that nobody can guess or choose."""
    return b"kh-" + secrets.token_hex(16).encode()
