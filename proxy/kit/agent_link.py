"""One ZeroMQ connection to one agent's socket, on an asyncio loop, without threads of its own.

The descriptor that libzmq offers is edge-triggered: it says once that something changed. So each time it
fires, and after each send, the socket is read until it has nothing more: a bounded number of messages and
bytes at a time, and bytes at a bounded rate, so that a flooding agent cannot hold the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

import zmq

from proxy.contract.agent import AGENT_SOCKET, MAX_MESSAGE_BYTES
from proxy.kit.sockets import is_same_socket, open_socket
from proxy.kit.zmq_context import shared_context

READ_BATCH = 64
"""Messages read before other work of the loop gets its turn."""

READ_BYTES = 256 * 1024
"""Bytes read before the link rests, so that large messages cannot hold the loop either."""

BYTES_PER_SECOND = 32 * 1024 * 1024
"""The rest is as long as that what was read keeps to this rate: nobody's agent has more to say for long."""

RECEIVE_QUEUE = 16
"""Messages that libzmq holds for us: with the largest size, the bound of what a flooding agent costs."""


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
        self._closed = False
        self.established = False
        try:
            self._connect()
        except BaseException:
            self._opened.close()
            raise

    def _connect(self) -> None:
        self._socket = socket = shared_context().socket(zmq.DEALER)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        socket.set(zmq.RCVHWM, RECEIVE_QUEUE)
        socket.set(zmq.IMMEDIATE, 1)  # what was not sent is kept here, and is known not to have been sent
        socket.set(zmq.RECONNECT_IVL, 50)
        socket.set(zmq.RECONNECT_IVL_MAX, 1000)
        socket.set(zmq.HANDSHAKE_IVL, 10_000)
        watched = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        self._monitor = socket.get_monitor_socket(watched)
        socket.connect(self._opened.endpoint)
        self._fds = (int(socket.get(zmq.FD)), int(self._monitor.get(zmq.FD)))
        self._loop.add_reader(self._fds[0], self._pump)
        self._loop.add_reader(self._fds[1], self._watch)
        # An edge that fell before add_reader is never told again.
        self._loop.call_soon(self._pump)
        self._loop.call_soon(self._watch)

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
        self._wake()
        for fd in self._fds:
            self._loop.remove_reader(fd)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._opened.close()

    def _flush(self) -> None:
        while self._outbox and not self._closed:
            tag, frame = self._outbox[0]
            try:
                self._socket.send(frame, zmq.NOBLOCK)
            except zmq.Again:
                break
            self._outbox.popleft()
            self._on_sent(tag)
        if not self._closed and self._resting is None and int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN:
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        taken = 0
        for _ in range(READ_BATCH):
            if self._closed or self._resting is not None:
                break
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            taken += sum(map(len, frames))
            self._on_frame(frames[0] if len(frames) == 1 else b"")
            if taken >= READ_BYTES and not self._closed:
                self._resting = self._loop.call_later(taken / BYTES_PER_SECOND, self._read_on)
        if not self._closed:
            self._flush()

    def _read_on(self) -> None:
        self._wake()
        self._pump()

    def _wake(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    def _watch(self) -> None:
        """Learn from libzmq that the connection stands or has ended; read what came before its end."""
        while not self._closed:
            try:
                frames = self._monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            event = int.from_bytes(bytes(frames[0])[:2], "little")
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.established = True
                self._flush()
            elif event == zmq.EVENT_DISCONNECTED and self.established:
                self._read_on()
                if not self._closed:
                    self._on_down("the agent closed the connection")
                return
