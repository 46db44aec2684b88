"""Stands in for clients that are away while the kernel runs something for them, so that ``input()`` finds somebody.

A kernel asks for input on stdin, of the ZeroMQ identity that sent the cell, once; with nobody there by that name the
question is gone for ever and the cell waits for ever. So the sockets of that identity stay connected while the kernel
owes replies, and the question is kept: for the session if it comes back, or for the next client of the same user. It
is written to a file too, as is who is stood in for, so that a proxy that is killed forgets neither.

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
from proxy.core.limits import DEFAULT_LIMITS, Limits
from proxy.core.sorting import Sorter
from proxy.core.tagged import Tagged
from proxy.core.wire import Parts, Signer
from proxy.errors import BadMessage
from proxy.io.cursors import KEPT_SECONDS, SessionKey
from proxy.io.kernel_sockets import KernelSockets
from proxy.kit.clock import Clock
from proxy.kit.sockets import SocketRefused
from proxy.kit.zmtp import Message

log = logging.getLogger(__name__)

QUESTION_BYTES = 256 * 1024
"""A longer question is not kept."""
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
                reply = self._sorter.reply(parts)
                if type(reply) is Tagged and reply.effect is not None:
                    self._asked.discard(key_of(reply.effect.msg_id))
        if not self._asked:
            self.close()
            self._changed(None)


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
        self._away: set[SessionKey] = set()
        """Whose client is away, whether a keeper could be had for it or not."""
        self._decoder = msgspec.msgpack.Decoder(Waiting)

    def open(self) -> None:
        """Stand in again for everybody that is written down."""
        for path in self._paths("*"):
            if (waiting := self._load(path)) is not None:
                self._waiting[waiting.key] = waiting
                self._away.add(waiting.key)
                self._stand_in(waiting)

    def note(self, waiting: Waiting) -> None:
        """A connected client has been asked something: this must outlive the proxy."""
        self._away.discard(waiting.key)
        self._set(waiting.key, waiting)

    def forget(self, key: SessionKey) -> None:
        """Nothing is asked any more."""
        self._set(key, None)

    def leave(self, waiting: Waiting) -> None:
        """The connection of this session has ended; stand in for it if the kernel owes it something."""
        if not waiting.asked:
            self.forget(waiting.key)
            return
        self._away.add(waiting.key)
        self._set(waiting.key, waiting)
        self._stand_in(waiting)

    def take(self, key: SessionKey) -> tuple[Waiting | None, bool]:
        """What waits for a client that comes now, if anything, and whether it is its own.

        It is another session's only if that asks something, of the same user and kernel, and is not connected; from now
        on this client is known to the kernel by its name.
        """
        found = self._own(key)
        if found is not None:
            self._close(key)
            self._away.discard(key)
            return found, True
        for other in list(self._away):
            waiting = self._own(other)
            asks = waiting is not None and waiting.question is not None
            if asks and (other.user_id, other.kernel_id) == (key.user_id, key.kernel_id):
                self._close(other)
                self._set(other, None)
                return waiting, False
        return None, False

    def close(self) -> None:
        """Stand in for nobody; what is written down stays for the next proxy."""
        for keeper in self._keepers.values():
            keeper.close()
        self._keepers.clear()

    # ---- inner

    def _own(self, key: SessionKey) -> Waiting | None:
        if (keeper := self._keepers.get(key)) is not None:
            return keeper.waiting
        if key in self._waiting:
            return self._waiting[key]
        path = self._path(key)
        return self._load(path) if path is not None and path.exists() else None

    def _stand_in(self, waiting: Waiting) -> None:
        key = waiting.key
        self._close(key)
        places = Counter(keeper.waiting.route.workspace_id for keeper in self._keepers.values())
        if len(self._keepers) >= KEEPERS or places[waiting.route.workspace_id] >= WORKSPACE_KEEPERS:
            return
        try:
            self._keepers[key] = Keeper(
                waiting, lambda now: self._changed(key, now), lambda: self._let_go(key), self._limits
            )
        except SocketRefused as refused:
            log.debug("nobody is stood in for at kernel %s: %s", waiting.route.kernel_id, refused)
            self._set(key, None)
        except OSError as error:
            log.warning("nobody is stood in for at kernel %s: %s", waiting.route.kernel_id, error)

    def _changed(self, key: SessionKey, waiting: Waiting | None) -> None:
        if waiting is None:
            self._keepers.pop(key, None)
        self._set(key, waiting)

    def _let_go(self, key: SessionKey) -> None:
        self._keepers.pop(key, None)

    def _close(self, key: SessionKey) -> None:
        if (keeper := self._keepers.pop(key, None)) is not None:
            keeper.close()

    def _set(self, key: SessionKey, waiting: Waiting | None) -> None:
        path = self._path(key)
        if waiting is None:
            self._away.discard(key)
            if self._waiting.pop(key, None) is not None and path is not None:
                path.unlink(missing_ok=True)
            return
        self._waiting[key] = waiting
        if path is not None:
            with contextlib.suppress(OSError):  # a full disk: then only this proxy knows
                draft = path.with_name(f".{path.name}")
                draft.touch(mode=0o600)
                draft.write_bytes(msgspec.msgpack.encode(waiting))
                draft.rename(path)

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
