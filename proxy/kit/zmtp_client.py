"""A ZeroMQ socket's client: one peer behind one inode, connected to again and again until closed.

As with libzmq, a lost connection is made anew after a pause that doubles, what was not written whole is sent
again, and a SUB subscribes again. Unlike it, the peer is asked for its uid at each connection, and a peer that
breaks a bound is left for as long as one that does not answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.kit.sockets import OpenedSocket
from proxy.kit.zmtp import Bounds, Budget, Engine
from proxy.kit.zmtp_connection import Slice, ZmtpConnection, connect
from proxy.kit.zmtp_wire import Message, Part, SocketType, encode_message

log = logging.getLogger(__name__)

RETRY_SECONDS = (0.02, 2.0)
"""The pause before connecting again: the first, doubling, up to the second."""
SETTLED_SECONDS = 5.0
"""A connection that lasted so long makes the next pause the first one again."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What this side is and takes: `budget` is shared by the clients of one kernel, None for one of its own."""

    socket_type: SocketType
    bounds: Bounds
    slices: Slice
    identity: bytes = b""
    subscriptions: Sequence[bytes] = ()
    budget: Budget | None = None


class ZmtpClient:
    """Connected, or trying to be, to the inode `opened`, whose listener must run as `owner_uid`.

    `on_messages` gets what each slice of reading brought; `on_ready` is called when a connection stands, `on_lost` with
    the reason when one that stood has ended; `on_drained` when all that waited was written. All come from the loop or
    from `drain`. Owns `opened`, also if the constructor raises. Make it on a running loop.
    """

    def __init__(
        self,
        opened: OpenedSocket,
        owner_uid: int,
        terms: Terms,
        *,
        on_messages: Callable[[list[Message]], None],
        on_ready: Callable[[], None] = lambda: None,
        on_lost: Callable[[str], None] = lambda reason: None,
        on_drained: Callable[[], None] = lambda: None,
    ) -> None:
        self._opened, self._owner_uid, self._terms = opened, owner_uid, terms
        self._on_messages, self._on_ready = on_messages, on_ready
        self._on_lost, self._on_drained = on_lost, on_drained
        self._loop = asyncio.get_running_loop()
        self._connection: ZmtpConnection | None = None
        self._unsent: deque[tuple[list[Part], int]] = deque()
        self._unsent_bytes = 0
        self._retry: asyncio.TimerHandle | None = None
        self._pause, self._ready_at = RETRY_SECONDS[0], 0.0
        self._was_ready = self._is_closed = False
        self.obstacle = ""
        """Why there is no connection, in words."""
        self._connect()

    @property
    def is_ready(self) -> bool:
        """Whether a connection stands now."""
        return self._connection is not None and self._connection.is_ready

    @property
    def waiting_bytes(self) -> int:
        """Bytes of messages that the peer has not taken yet."""
        return self._unsent_bytes if self._connection is None else self._connection.waiting_bytes

    def send(self, frames: Sequence[Part]) -> None:
        """Send a message, in order, now or when there is a connection. Not bounded: look at `waiting_bytes`."""
        if self._is_closed:
            return
        pieces = encode_message(frames)
        size = len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        if self._connection is not None:
            self._connection.send(pieces, size)
        else:
            self._unsent.append((pieces, size))
            self._unsent_bytes += size

    def drain(self) -> bool:
        """Read one slice now and hand it over; True when there may be more."""
        return self._connection is not None and self._connection.drain()

    def pause(self) -> None:
        """Read nothing until `resume`."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read again."""
        if self._connection is not None:
            self._connection.resume()

    def close(self) -> None:
        """Close connection and inode. Nothing is called any more. Closing twice is harmless."""
        self._is_closed = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._opened.close()
        self._unsent.clear()
        self._unsent_bytes = 0

    def _connect(self) -> None:
        self._retry = None
        try:
            connected = connect(self._opened.path, self._owner_uid)
        except OSError as error:
            self.obstacle = error.strerror or str(error)
            self._try_later()
            return
        terms = self._terms
        engine = Engine(
            terms.socket_type,
            terms.bounds,
            identity=terms.identity,
            subscriptions=terms.subscriptions,
            budget=terms.budget,
        )
        self._connection = connection = ZmtpConnection(
            connected,
            engine,
            terms.slices,
            on_ready=self._stands,
            on_messages=self._on_messages,
            on_lost=self._lost,
            on_drained=self._on_drained,
        )
        unsent, self._unsent, self._unsent_bytes = self._unsent, deque(), 0
        for pieces, size in unsent:
            connection.send(pieces, size)

    def _try_later(self) -> None:
        self._retry = self._loop.call_later(self._pause, self._connect)
        self._pause = min(self._pause * 2, RETRY_SECONDS[1])

    def _stands(self) -> None:
        self._was_ready, self._ready_at = True, self._loop.time()
        self._on_ready()

    def _lost(self, reason: str) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._unsent.extend(connection.take_unsent())
            self._unsent_bytes = sum(size for _, size in self._unsent)
        self.obstacle = reason
        log.debug("a connection ended: %s", reason)
        was_ready, self._was_ready = self._was_ready, False
        if was_ready and self._loop.time() - self._ready_at > SETTLED_SECONDS:
            self._pause = RETRY_SECONDS[0]
        self._try_later()
        if was_ready:
            self._on_lost(reason)
