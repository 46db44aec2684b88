"""One ZeroMQ connection to one agent's socket, on an asyncio loop, without threads.

A slice of messages and bytes is read at a time, and bytes at a bounded rate, so that a flooding agent cannot
hold the loop; what it may make us keep is one message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

from proxy.contract.agent import AGENT_SOCKET, MAX_MESSAGE_BYTES
from proxy.kit.sockets import is_same_socket, open_socket
from proxy.kit.zmtp import Bounds
from proxy.kit.zmtp_client import Terms, ZmtpClient
from proxy.kit.zmtp_connection import Slice
from proxy.kit.zmtp_wire import Message, SocketType

BYTES_PER_SECOND = 32 * 1024 * 1024
"""Reading rests as long as needed to keep to this rate: nobody's agent has more to say for long."""

REST_FROM_SECONDS = 0.004
"""A shorter rest is not worth a timer; it is added to the next one."""

AHEAD_BYTES = 2 * MAX_MESSAGE_BYTES
"""Once so much waits for an agent that does not read, requests are kept here: known not to have been sent."""

TERMS = Terms(
    SocketType.DEALER,
    Bounds(frame_bytes=MAX_MESSAGE_BYTES, message_bytes=MAX_MESSAGE_BYTES, frames=4),
    Slice(read_bytes=256 * 1024, messages=64),
)


class AgentLink:
    """A DEALER socket to the agent in `folder`, from construction to `close` or the first disconnection.

    `on_frame` gets each message's single frame; `on_sent` gets the tag of each message handed to a live
    connection; `on_down` is called once, with the reason, when an established connection ends.
    Raises SocketMissing or SocketRefused when there is no socket to connect to. Make it on a running loop.
    """

    def __init__(
        self,
        folder: Path,
        owner_uid: int,
        *,
        on_frame: Callable[[bytes], None],
        on_sent: Callable[[int], None],
        on_down: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._opened = open_socket(folder, AGENT_SOCKET, owner_uid)
        self._on_frame, self._on_sent, self._on_down = on_frame, on_sent, on_down
        self._outbox: deque[tuple[int, bytes]] = deque()
        self._loop = asyncio.get_running_loop()
        self._resting: asyncio.TimerHandle | None = None
        self._free_at = 0.0
        self._closed = False
        self.established = False
        self._client = ZmtpClient(
            self._opened,
            owner_uid,
            TERMS,
            on_messages=self._receive,
            on_ready=self._stands,
            on_lost=self._ended,
            on_drained=self._flush,
        )

    @property
    def obstacle(self) -> str:
        """Why no connection stands, in words; "" when nothing is known."""
        return self._client.obstacle

    @property
    def waiting(self) -> int:
        """How many messages the agent has not taken yet."""
        return len(self._outbox)

    def send(self, tag: int, frame: bytes) -> None:
        """Send `frame` as soon as the connection stands; `on_sent` is called with `tag` then."""
        self._outbox.append((tag, frame))
        self._flush()

    def was_replaced(self) -> bool:
        """Whether the path no longer leads to the socket this is connected to."""
        return not is_same_socket(self._folder, AGENT_SOCKET, self._opened)

    def close(self) -> None:
        """Close socket and descriptor; nothing is called any more. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        if self._resting is not None:
            self._resting.cancel()
        self._client.close()

    def _stands(self) -> None:
        self.established = True
        self._flush()

    def _ended(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._on_down(reason)

    def _flush(self) -> None:
        while self._outbox and self.established and not self._closed and self._client.waiting_bytes < AHEAD_BYTES:
            tag, frame = self._outbox.popleft()
            self._client.send([frame])
            self._on_sent(tag)

    def _receive(self, messages: list[Message]) -> None:
        taken = 0
        for frames in messages:
            if self._closed:
                return
            taken += sum(map(len, frames))
            self._on_frame(bytes(frames[0]) if len(frames) == 1 else b"")
        now = self._loop.time()
        self._free_at = max(now, self._free_at) + taken / BYTES_PER_SECOND
        if self._free_at - now > REST_FROM_SECONDS and not self._closed and self._resting is None:
            self._client.pause()
            self._resting = self._loop.call_at(self._free_at, self._read_on)

    def _read_on(self) -> None:
        self._resting = None
        self._client.resume()
