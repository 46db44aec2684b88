"""The five sockets that local ZeroMQ clients connect to, as a kernel on this machine would have them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import zmq
import zmq.asyncio

from hub.errors import BadRequest
from hub.remote.connection_file import SOCKETS, LocalEnds

PUBLISHED_MESSAGES = 2000
"""Most messages that wait for one client. Then all wait for it: what the kernel sends meanwhile is kept by the hub's
proxy, which joins outputs where it must."""
PATIENCE_SECONDS = 5.0
"""How long all wait for one client that reads nothing; then it misses messages, until it reads again."""
_PAUSE_SECONDS = 0.01
_KINDS = {"iopub": zmq.XPUB, "shell": zmq.ROUTER, "control": zmq.ROUTER, "stdin": zmq.ROUTER, "hb": zmq.ROUTER}


class LocalSockets:
    """The bound sockets. `ends` are with their true ports. Closed by `close`.

    Raises BadRequest when they cannot be bound.
    """

    def __init__(self, ends: LocalEnds) -> None:
        self._context = zmq.asyncio.Context()
        self._sockets: dict[str, zmq.asyncio.Socket] = {}
        self._is_stalled = False
        self.ends = ends
        self.ends = dataclasses.replace(ends, ports={name: self._bind(name, ends) for name in SOCKETS})

    def _bind(self, name: str, ends: LocalEnds) -> int:
        self._sockets[name] = socket = self._context.socket(_KINDS[name])
        socket.linger = 500
        if name == "iopub":
            socket.sndhwm = PUBLISHED_MESSAGES
            socket.setsockopt(zmq.XPUB_VERBOSE, 1)
            socket.setsockopt(zmq.XPUB_NODROP, 1)
        else:
            socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        try:
            if ends.ports[name] == 0:
                return socket.bind_to_random_port(f"tcp://{ends.ip}")
            socket.bind(ends.address(name))
        except zmq.ZMQError as error:
            self.close()
            raise BadRequest(
                f"The {name} socket cannot be opened at {ends.address(name)}: {error.strerror}."
            ) from error
        return ends.ports[name]

    async def send(self, name: str, frames: list[Any]) -> None:
        """Send; on iopub that may wait for clients, elsewhere what a client does not take goes nowhere."""
        if name == "iopub":
            await self._publish(frames)
        else:
            with contextlib.suppress(zmq.ZMQError):
                await self._sockets[name].send_multipart(frames)

    async def _publish(self, frames: list[Any]) -> None:
        socket, clock = self._sockets["iopub"], asyncio.get_running_loop().time
        until = clock() + (0 if self._is_stalled else PATIENCE_SECONDS)
        while True:
            try:
                await socket.send_multipart(frames, zmq.DONTWAIT)
            except zmq.Again:
                if clock() >= until:
                    break
                # A socket of this kind always claims to be writable, so there is nothing to wait for but time.
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._is_stalled = False
                return
        self._is_stalled = True
        socket.setsockopt(zmq.XPUB_NODROP, 0)
        await socket.send_multipart(frames, zmq.DONTWAIT)
        socket.setsockopt(zmq.XPUB_NODROP, 1)

    async def read(self, name: str, take: Callable[[list[bytes]], Awaitable[None]]) -> None:
        """Give what clients send on a socket to `take`, one after the other, for ever."""
        socket = self._sockets[name]
        while True:
            await take(await socket.recv_multipart())

    def close(self) -> None:
        """Close all of them, after what was sent has had half a second to leave."""
        for socket in self._sockets.values():
            socket.close()
        self._context.term()
        for file in self.ends.socket_files():
            file.unlink(missing_ok=True)
