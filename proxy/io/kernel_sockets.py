"""One connection's ZeroMQ sockets to one kernel: DEALER shell, control and stdin with one identity, SUB iopub.

Raw sockets on the event loop, no threads. Each socket is read until nothing is left or a slice is full, and
what a slice brought is handed over at once: event-loop turns, not JSON, are what a bridge costs. Reading never stops
for a slow client; what libzmq itself may take in ahead of that is bounded by `RECEIVE_QUEUE` and MAXMSGSIZE.

Resource handling: `KernelSockets` owns its ZeroMQ sockets, their inodes' descriptors and its readers until `close`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import zmq

from proxy.contract.agent import KERNEL_SOCKETS
from proxy.core.limits import DEFAULT_LIMITS, MIB, Limits
from proxy.core.wire import Part
from proxy.kit.sockets import OpenedSocket, open_socket
from proxy.kit.zmq_context import shared_context

SLICE_MESSAGES = 256
SLICE_BYTES = 4 * MIB
RECEIVE_QUEUE = 16
"""Messages that libzmq takes in ahead of us. It counts messages, not bytes, so that the number must be small: 500
outputs of 2 MB took 680 MB of memory with no limit here, 75 MB with this one, at the same speed (30,000 messages
a second). ipykernel keeps 1,000 more on its side, some 700 ms at its fastest, before it drops any."""
SEND_QUEUE = 1000
TRACK_FROM_BYTES = 256 * 1024
"""Messages of this size and more are lent to libzmq and counted until it is done with them."""
LENT_BYTES = 64 * MIB
TRACK_POLL_SECONDS = 0.02

OnMessages = Callable[[str, list[list[bytes]]], None]


class Channel:
    """One ZeroMQ socket on the event loop."""

    def __init__(
        self, name: str, kind: int, opened: OpenedSocket, identity: bytes, on_messages: OnMessages, limits: Limits
    ) -> None:
        self.name = name
        self._opened = opened
        self._on_messages = on_messages
        self._loop = asyncio.get_running_loop()
        self._outbox: deque[list[Part]] = deque()
        self._lent: deque[tuple[Any, int]] = deque()
        self._lent_bytes = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._poll: asyncio.TimerHandle | None = None
        self._scheduled = False
        self._closed = False
        self._socket = socket = shared_context().socket(kind)
        try:
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.RCVHWM, RECEIVE_QUEUE)
            socket.set(zmq.SNDHWM, SEND_QUEUE)
            socket.set(zmq.MAXMSGSIZE, limits.message_bytes)
            socket.set(zmq.RECONNECT_IVL, 50)
            socket.set(zmq.RECONNECT_IVL_MAX, 2000)
            if kind == zmq.SUB:
                socket.set(zmq.SUBSCRIBE, b"")
            else:
                socket.set(zmq.ROUTING_ID, identity)
            socket.connect(opened.endpoint)
            self._fd = int(socket.get(zmq.FD))
        except BaseException:
            socket.close(0)
            opened.close()
            raise
        self._loop.add_reader(self._fd, self._on_ready)
        self._schedule()  # an edge that fell before add_reader is never told again

    def send(self, frames: list[Part]) -> Awaitable[None] | None:
        """Send a message, in order. What is returned, if anything, is done when the socket takes more again."""
        if self._closed:
            return None
        self._outbox.append(frames)
        self._flush()
        self._look_again()
        if not self._outbox:
            return None
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def drain(self, slice_messages: int = SLICE_MESSAGES) -> bool:
        """Read one slice and hand it over; True when there may be more."""
        messages: list[list[bytes]] = []
        taken = 0
        receive = self._socket.recv
        more = False
        try:
            while taken < SLICE_BYTES and len(messages) < slice_messages:
                frame = receive(zmq.NOBLOCK, False)
                parts = [frame.bytes]
                while frame.more:
                    frame = receive(zmq.NOBLOCK, False)
                    parts.append(frame.bytes)
                    taken += len(parts[-1])
                messages.append(parts)
            more = True
        except zmq.Again:
            pass
        if messages:
            self._on_messages(self.name, messages)
        return more and not self._closed

    def close(self) -> None:
        """Close socket and descriptor. Nothing is handed over any more. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        self._socket.close(0)
        self._opened.close()
        self._outbox.clear()
        if self._poll is not None:
            self._poll.cancel()
        self._release()

    def _on_ready(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        if self._outbox:
            self._flush()
        if self.drain():
            self._schedule()
        else:
            self._look_again()

    def _look_again(self) -> None:
        """The descriptor tells edges only: look once more after each use of the socket."""
        if not self._closed and int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN:
            self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._on_ready)

    def _flush(self) -> None:
        while self._outbox:
            frames = self._outbox[0]
            size = sum(map(len, frames))
            is_large = size >= TRACK_FROM_BYTES
            if is_large and self._lent_bytes and self._lent_bytes + size > LENT_BYTES:
                self._watch_lent()
                return
            try:
                tracker = self._socket.send_multipart(frames, zmq.NOBLOCK, copy=not is_large, track=is_large)
            except zmq.Again:
                return
            self._outbox.popleft()
            if is_large:
                self._lent.append((tracker, size))
                self._lent_bytes += size
                self._watch_lent()
        self._release()

    def _watch_lent(self) -> None:
        if self._poll is None and self._lent:
            self._poll = self._loop.call_later(TRACK_POLL_SECONDS, self._count_lent)

    def _count_lent(self) -> None:
        self._poll = None
        while self._lent and self._lent[0][0].done:
            self._lent_bytes -= self._lent.popleft()[1]
        self._watch_lent()
        if self._outbox and not self._closed:
            self._flush()

    def _release(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class KernelSockets:
    """The four sockets of a connection. Raises SocketMissing or SocketRefused, with nothing left open.

    `identity` is random and chosen by this side: a kernel sends ``input_request`` to the identity of the shell
    request, so shell and stdin share it, and a client that could choose it could take another's.
    """

    def __init__(
        self,
        folder: Path,
        kernel_id: str,
        owner_uid: int,
        identity: bytes,
        on_messages: OnMessages,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._channels: dict[str, Channel] = {}
        self._probes: list[Channel] = []
        self._place = (folder, kernel_id, owner_uid)
        self._limits = limits
        try:
            self._channels["iopub"] = self._open("iopub", zmq.SUB, identity, on_messages)
            for name in ("shell", "control", "stdin"):
                self._channels[name] = self._open(name, zmq.DEALER, identity, on_messages)
        except BaseException:
            self.close()
            raise

    def _open(self, name: str, kind: int, identity: bytes, on_messages: OnMessages) -> Channel:
        folder, kernel_id, owner_uid = self._place
        opened = open_socket(folder, f"{kernel_id}-{KERNEL_SOCKETS[name]}", owner_uid)
        return Channel(name, kind, opened, identity, on_messages, self._limits)

    def send(self, channel: str, frames: list[Part]) -> Awaitable[None] | None:
        """See `Channel.send`."""
        return self._channels[channel].send(frames)

    def probe(self, frames: list[Part], identity: bytes) -> None:
        """Send `frames` to shell and control from a peer of its own, whose answers are thrown away."""
        if not self._probes:
            for name in ("shell", "control"):
                self._probes.append(self._open(name, zmq.DEALER, identity, lambda name, messages: None))
        for channel in self._probes:
            channel.send(frames)

    def end_probes(self) -> None:
        """Close what `probe` opened."""
        for channel in self._probes:
            channel.close()
        self._probes.clear()

    def drain_iopub(self, slices: int = 40) -> None:
        """Read what the kernel has published so far, so that what follows from elsewhere comes after it."""
        iopub = self._channels["iopub"]
        while slices > 0 and iopub.drain():
            slices -= 1

    def close(self) -> None:
        """Close everything. Closing twice is harmless."""
        self.end_probes()
        for channel in self._channels.values():
            channel.close()
