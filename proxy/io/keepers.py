"""Stands in for clients that are away while the kernel runs something for them, so that ``input()`` finds somebody.

A kernel asks for input on stdin, of the ZeroMQ identity that sent the cell, once; with nobody there by that name the
question is gone for ever and the cell waits for ever. So the sockets of that identity stay connected while the kernel
owes replies, and the question is kept: for the session if it comes back, or for the next client of the same user. So
are requests that had to wait for the kernel when the line broke: the session that comes back sends them. All that is
written to a file, as is who is stood in for, so that a proxy that is killed forgets nothing of it; the file is what
counts, since other proxies of the machine change it too.

Resource handling: a `Keeper` owns two sockets; it ends when the kernel owes nothing any more, when it is lost, or
after a day. `Keepers` owns all of them until `close`.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from proxy.contract.route import KernelRoute
from proxy.core.executions import key_of
from proxy.core.frames import ClientMessage
from proxy.core.limits import DEFAULT_LIMITS, Limits
from proxy.core.sorting import Sorter, request_of
from proxy.core.tagged import Tagged
from proxy.core.wire import Parts, Signer
from proxy.errors import BadMessage
from proxy.io.cursors import KEPT_SECONDS, SessionKey
from proxy.io.kernel_sockets import KernelSockets
from proxy.kit.clock import Clock
from proxy.kit.sockets import SocketRefused
from proxy.kit.zmtp_wire import Message

log = logging.getLogger(__name__)

QUESTION_BYTES = 256 * 1024
"""A longer question is not kept."""
HELD_BYTES = 1024 * 1024
"""So much of what had to wait is kept; requests beyond are answered as not executed."""
HELD_SECONDS = 600.0
"""For so long it is still sent when the session comes back."""
RETURN_SECONDS = 10.0
"""So long a client whose proxy has ended may take to come back before somebody stands in for it."""
WORKSPACE_KEEPERS = 16
KEEPERS = 512
STANDING_IN = ("shell", "stdin")


class Waiting(msgspec.Struct, frozen=True):
    """What is known of a session that the kernel owes something: as it is in its file."""

    route: KernelRoute
    session: str
    routing_id: bytes
    asked: list[bytes]
    """Keys (`key_of`) of the execute requests that the kernel owes replies to."""
    generation: int
    """The kernel's, for another knows nothing of all that."""
    since: float
    question: list[bytes] | None = None
    """The parts of the ``input_request`` that nobody answered yet."""
    held: list[tuple[str, list[bytes]]] = []
    """What the client sent that did not come to the kernel: channel and parts."""
    abandoned: list[bytes] = []
    """Headers of the execute requests that did not come to the kernel, and are not sent any more."""
    hands_over: bool = True
    """Whether the kernel hears a new connection by the name of one that it takes for open."""
    is_left: bool = False
    """Whether the proxy that had it has ended, and nobody was found yet to stand in."""

    def unsent(self) -> Waiting | None:
        """What is left when the kernel owes it nothing: what it could not send, if anything."""
        return msgspec.structs.replace(self, asked=[], question=None) if self.held or self.abandoned else None

    def left_behind(self, generation: int, now: float) -> tuple[list[ClientMessage], list[bytes]]:
        """What is still to be sent to the kernel, which is of this `generation` now, and what is abandoned."""
        is_late = now > self.since + HELD_SECONDS or generation > self.generation + 1
        held = [ClientMessage(channel, parts) for channel, parts in self.held]
        if not is_late:
            return held, self.abandoned
        return [], [*self.abandoned, *(bytes(m.parts[0]) for m in held if m.channel == "shell" and request_of(m.parts))]

    @property
    def key(self) -> SessionKey:
        """Whose session it is."""
        return SessionKey(self.route.user_id, self.route.kernel_id, self.session)


class Keeper:
    """Stands in for one session. `changed` is called with what waits now, None when nothing does any more.

    `is_lost` is called when it cannot stand in any longer. Raises SocketRefused when there is nothing to connect to.
    """

    def __init__(
        self,
        waiting: Waiting,
        changed: Callable[[Waiting | None], None],
        is_lost: Callable[[], None],
        limits: Limits,
    ) -> None:
        self.waiting = waiting
        self._changed, self._is_lost = changed, is_lost
        self._asked = set(waiting.asked)
        self._sorter = Sorter("")
        self._signer = Signer(b"")  # who could forge here runs as the same user
        route = waiting.route
        self._sockets = KernelSockets(
            Path(route.run_folder),
            route.kernel_id,
            route.owner_uid,
            waiting.routing_id,
            self._on_messages,
            limits,
            STANDING_IN,
            self._lost,
        )

    def close(self) -> None:
        """Stand in no longer. Closing twice is harmless."""
        self._sockets.close()

    def _lost(self) -> None:
        """The kernel is gone, or somebody else goes by this name now: they need nobody to stand in."""
        self.close()
        self._is_lost()

    def _on_messages(self, channel: str, messages: list[Message]) -> None:
        for frames in messages:
            try:
                parts = self._signer.unpack(frames)
            except BadMessage:
                continue
            if channel == "stdin":
                if question := kept_question(parts):
                    self.waiting = msgspec.structs.replace(self.waiting, question=question)
                    self._changed(self.waiting)
            else:
                self._take_reply(self._sorter.reply(parts))
        if not self._asked:
            self.close()
            self._changed(self.waiting.unsent())

    def _take_reply(self, reply: Parts) -> None:
        key = key_of(reply.effect.msg_id) if type(reply) is Tagged and reply.effect is not None else b""
        if key in self._asked:
            self._asked.discard(key)
            if self._asked:
                self.waiting = msgspec.structs.replace(self.waiting, asked=list(self._asked))
                self._changed(self.waiting)


def kept_requests(held: Iterable[ClientMessage]) -> tuple[list[tuple[str, list[bytes]]], list[bytes]]:
    """What is kept of messages that wait for the kernel, and the headers of execute requests beyond `HELD_BYTES`."""
    kept: list[tuple[str, list[bytes]]] = []
    abandoned: list[bytes] = []
    left = HELD_BYTES
    for message in held:
        left -= sum(map(len, message.parts))
        if message.channel == "stdin":
            continue  # it answers what nobody asks any more
        if left >= 0:
            kept.append((message.channel, [bytes(part) for part in message.parts]))
        elif message.channel == "shell" and request_of(message.parts) is not None:
            abandoned.append(bytes(message.parts[0]))
    return kept, abandoned


def kept_question(parts: Parts) -> list[bytes] | None:
    """An ``input_request`` as it is kept; None for what is none, or too long."""
    if b'"input_request"' not in bytes(parts[0]) or sum(map(len, parts)) > QUESTION_BYTES:
        return None
    return [bytes(part) for part in parts]


class Keepers:
    """Everybody that this proxy stands in for. `folder` is where that is written down; None: nowhere.

    A proxy takes up at its `open` all that is written down: one that lives beside it gives way, and a client that is
    connected takes its name back at once.
    """

    def __init__(self, folder: Path | None, clock: Clock, limits: Limits = DEFAULT_LIMITS) -> None:
        self._folder = folder
        self._clock = clock
        self._limits = limits
        self._keepers: dict[SessionKey, Keeper] = {}
        self._waiting: dict[SessionKey, Waiting] = {}
        """What stands in no file."""
        self._away: set[SessionKey] = set()
        """Whose client is away, whether a keeper could be had for it or not."""
        self._decoder = msgspec.msgpack.Decoder(Waiting)

    def open(self) -> None:
        """Stand in again for everybody that is written down."""
        for path in self._paths("*"):
            if (waiting := self._load(path)) is not None:
                self._away.add(waiting.key)
                self._stand_in(waiting)

    def note(self, waiting: Waiting) -> None:
        """Something waits for a client that is connected, or that has just moved: this must outlive the proxy."""
        self._away.discard(waiting.key)
        self._set(waiting.key, waiting)

    def give_away(self, waiting: Waiting) -> None:
        """What this session is asked and owed is another one's now; what it could not send stays its own."""
        self._away.discard(waiting.key)
        self._set(waiting.key, waiting.unsent())

    def forget(self, key: SessionKey) -> None:
        """Nothing is asked any more."""
        self._set(key, None)

    def leave(self, waiting: Waiting, *, is_moved: bool = False, is_closing: bool = False) -> None:
        """The connection of this session has ended; stand in for it if the kernel owes it something.

        `is_moved`: the session has another connection, here or through another proxy, and needs nobody. `is_closing`:
        this proxy was told to end. Its client is on its way to the next one, where its connection would come before
        that of a keeper from here, which would take its name away; so `look_again`, there, finds who did not come.
        """
        if not waiting.asked and not waiting.held and not waiting.abandoned:
            self.forget(waiting.key)
            return
        self._set(waiting.key, msgspec.structs.replace(waiting, is_left=is_closing))
        if not is_moved and not is_closing:
            self._away.add(waiting.key)
            self._stand_in(waiting)

    def take(self, key: SessionKey) -> tuple[Waiting | None, bool]:
        """What waits for a client that comes now, if anything, and whether it is its own.

        It is another session's only if that asks something, of the same user and kernel, and is not connected; from now
        on this client is known to the kernel by its name, and is to `note` that, and to `give_away` what the other had.
        """
        found = self._own(key)
        if found is not None:
            self._close(key)
            self._away.discard(key)
            return found, True
        for other in list(self._away):
            if (other.user_id, other.kernel_id) != (key.user_id, key.kernel_id):
                continue
            waiting = self._own(other)
            if waiting is not None and waiting.question is not None:
                self._close(other)
                return waiting, False
        return None, False

    def look_again(self, stands: Callable[[SessionKey], bool]) -> None:
        """Stand in for those whom a proxy that ended has left, and who had time to come back.

        `stands` says whether a session is connected, through whichever proxy.
        """
        latest = self._clock.now().timestamp() - RETURN_SECONDS
        for path in self._paths("*"):
            waiting = self._load(path)
            if waiting is None or not waiting.is_left or waiting.key in self._away:
                continue
            if waiting.since > latest or stands(waiting.key):
                continue
            log.info("standing in at kernel %s for a client that did not come back", waiting.route.kernel_id)
            self.leave(waiting)

    def close(self) -> None:
        """Stand in for nobody; what is written down stays for the next proxy."""
        for keeper in self._keepers.values():
            keeper.close()
        self._keepers.clear()

    # ---- inner

    def _own(self, key: SessionKey) -> Waiting | None:
        if key in self._waiting:
            return self._waiting[key]
        path = self._path(key)
        return self._load(path) if path is not None and path.exists() else None

    def _stand_in(self, waiting: Waiting) -> None:
        key = waiting.key
        self._close(key)
        if not waiting.asked or not waiting.hands_over:
            return
        places = Counter(keeper.waiting.route.workspace_id for keeper in self._keepers.values())
        if len(self._keepers) >= KEEPERS or places[waiting.route.workspace_id] >= WORKSPACE_KEEPERS:
            return
        try:
            self._keepers[key] = Keeper(
                waiting, lambda now: self._changed(key, now), lambda: self._let_go(key), self._limits
            )
        except SocketRefused as refused:
            log.debug("nobody is stood in for at kernel %s: %s", waiting.route.kernel_id, refused)
            if not waiting.held and not waiting.abandoned:
                self._set(key, None)
        except OSError as error:
            log.warning("nobody is stood in for at kernel %s: %s", waiting.route.kernel_id, error)

    def _changed(self, key: SessionKey, waiting: Waiting | None) -> None:
        if waiting is None or not waiting.asked:
            self._keepers.pop(key, None)
        self._set(key, waiting)

    def _let_go(self, key: SessionKey) -> None:
        self._keepers.pop(key, None)
        self._away.discard(key)

    def _close(self, key: SessionKey) -> None:
        if (keeper := self._keepers.pop(key, None)) is not None:
            keeper.close()

    def _set(self, key: SessionKey, waiting: Waiting | None) -> None:
        path = self._path(key)
        if waiting is None:
            self._away.discard(key)
            self._waiting.pop(key, None)
            if path is not None:
                path.unlink(missing_ok=True)
            return
        self._waiting[key] = waiting
        if path is not None:
            with contextlib.suppress(OSError):  # a full disk: then only this proxy knows
                draft = path.with_name(f".{path.name}")
                draft.touch(mode=0o600)
                draft.write_bytes(msgspec.msgpack.encode(waiting))
                draft.rename(path)
                del self._waiting[key]

    def _path(self, key: SessionKey) -> Path | None:
        return None if self._folder is None else self._folder / f"waiting-{key.digest().hex()}"

    def _paths(self, name: str) -> Iterable[Path]:
        return [] if self._folder is None else sorted(self._folder.glob(f"waiting-{name}"))

    def _load(self, path: Path) -> Waiting | None:
        try:
            waiting = self._decoder.decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return None
        if waiting.since < self._clock.now().timestamp() - KEPT_SECONDS:
            path.unlink(missing_ok=True)
            return None
        return waiting
