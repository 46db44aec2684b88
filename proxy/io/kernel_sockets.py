"""One connection's sockets to one kernel: DEALER shell, control and stdin with one identity, SUB iopub.

What one reading brought is handed over at once, in the same turn of the event loop: turns, not JSON, are what a
bridge costs. Reading never stops for a slow client, since a kernel that is not read drops its own messages. What a
kernel can make us hold is bounded by one budget for the incomplete messages of all its channels.

Resource handling: `KernelSockets` owns its clients and their inodes' descriptors until `close`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from proxy.contract.agent import KERNEL_SOCKETS
from proxy.core.limits import DEFAULT_LIMITS, MIB, Limits
from proxy.core.wire import Part
from proxy.kit.sockets import OpenedSocket, open_socket
from proxy.kit.zmtp import Bounds, Budget
from proxy.kit.zmtp_client import Terms, ZmtpClient
from proxy.kit.zmtp_connection import Slice
from proxy.kit.zmtp_wire import Message, SocketType

log = logging.getLogger(__name__)

SLICE = Slice(read_bytes=4 * MIB, messages=256)
AHEAD_BYTES = 4 * MIB
"""A client is read on while less than this waits for a kernel that does not read."""
FRAMES_FACTOR = 4
"""A message of up to so many times `Limits.frames` is received, to be left out alone; beyond, the connection ends."""

CHANNELS = ("iopub", "shell", "control", "stdin")

OnMessages = Callable[[str, list[Message]], None]


class Channel:
    """One ZeroMQ socket on the event loop."""

    def __init__(
        self,
        name: str,
        opened: OpenedSocket,
        owner_uid: int,
        terms: Terms,
        on_messages: OnMessages,
        on_lost: Callable[[], None],
    ) -> None:
        self.name = name
        self._on_lost = on_lost
        self._waiters: list[asyncio.Future[None]] = []
        self._client = ZmtpClient(
            opened,
            owner_uid,
            terms,
            on_messages=lambda messages: on_messages(name, messages),
            on_lost=self._lost,
            on_drained=self._release,
        )

    def send(self, frames: list[Part]) -> Awaitable[None] | None:
        """Send a message, in order. What is returned, if anything, is done when the socket takes more again."""
        self._client.send(frames)
        if self._client.waiting_bytes <= AHEAD_BYTES:
            return None
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def drain(self) -> bool:
        """Read one slice and hand it over; True when there may be more."""
        return self._client.drain()

    def close(self) -> None:
        """Close socket and descriptor. Nothing is handed over any more. Closing twice is harmless."""
        self._client.close()
        self._release()

    def _lost(self, reason: str) -> None:
        log.info("the %s connection to a kernel ended: %s", self.name, reason)
        self._on_lost()

    def _release(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class KernelSockets:
    """The sockets of a connection, those of `channels`. Raises SocketMissing or SocketRefused, with nothing left open.

    `identity` is random and chosen by this side: a kernel sends ``input_request`` to the identity of the shell
    request, so shell and stdin share it, and a client that could choose it could take another's. `on_lost` is called
    whenever a connection that stood has ended; it is made anew unless this is closed.
    """

    def __init__(
        self,
        folder: Path,
        kernel_id: str,
        owner_uid: int,
        identity: bytes,
        on_messages: OnMessages,
        limits: Limits = DEFAULT_LIMITS,
        channels: Sequence[str] = CHANNELS,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_lost = on_lost
        self._channels: dict[str, Channel] = {}
        self._probes: list[Channel] = []
        self._place = (folder, kernel_id, owner_uid)
        most = limits.assembling_bytes
        self._bounds = Bounds(frame_bytes=most, message_bytes=most, frames=FRAMES_FACTOR * limits.frames)
        self._budget = Budget(most)
        try:
            for name in channels:
                terms = self._listener() if name == "iopub" else self._dealer(identity)
                self._channels[name] = self._open(name, terms, on_messages)
        except BaseException:
            self.close()
            raise

    def _listener(self) -> Terms:
        return Terms(SocketType.SUB, self._bounds, SLICE, subscriptions=(b"",), budget=self._budget)

    def _dealer(self, identity: bytes) -> Terms:
        return Terms(SocketType.DEALER, self._bounds, SLICE, identity=identity, budget=self._budget)

    def _open(self, name: str, terms: Terms, on_messages: OnMessages) -> Channel:
        folder, kernel_id, owner_uid = self._place
        opened = open_socket(folder, f"{kernel_id}-{KERNEL_SOCKETS[name]}", owner_uid)
        return Channel(name, opened, owner_uid, terms, on_messages, self._on_lost)

    def send(self, channel: str, frames: list[Part]) -> Awaitable[None] | None:
        """See `Channel.send`."""
        return self._channels[channel].send(frames)

    def probe(self, frames: list[Part], identity: bytes) -> None:
        """Send `frames` to shell and control from a peer of its own, whose answers are thrown away."""
        if not self._probes:
            for name in ("shell", "control"):
                self._probes.append(self._open(name, self._dealer(identity), lambda name, messages: None))
        for channel in self._probes:
            channel.send(frames)

    def end_probes(self) -> None:
        """Close what `probe` opened."""
        for channel in self._probes:
            channel.close()
        self._probes.clear()

    def drain(self, slices: int = 40) -> None:
        """Read what the kernel has sent so far, so that what follows from elsewhere comes after it."""
        for channel in list(self._channels.values()):
            left = slices
            while left > 0 and channel.drain():
                left -= 1

    def close(self) -> None:
        """Close everything. Closing twice is harmless."""
        self.end_probes()
        for channel in self._channels.values():
            channel.close()
