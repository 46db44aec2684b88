"""A kernel made of sockets, for a proxy in a process of its own: it publishes what a test wants, forged or not."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio

from tests.harness.proxy_process import World
from tests.harness.proxy_rig import FakeKernel

MIB = 1024 * 1024
KEY = "key"


def packed(*parts: bytes, key: str = KEY) -> list[bytes]:
    """A signed message of these parts, whatever they are."""
    return [b"<IDS|MSG>", hmac.new(key.encode(), b"".join(parts), hashlib.sha256).hexdigest().encode(), *parts]


def signed(msg_type: str, content: dict[str, Any], parent: str = "p", key: str = KEY) -> list[bytes]:
    """The frames of a message of the kernel, from the delimiter on."""
    header = {"msg_id": uuid.uuid4().hex, "msg_type": msg_type, "session": "k", "version": "5.3"}
    return packed(*(json.dumps(part).encode() for part in (header, {"msg_id": parent}, {}, content)), key=key)


def fake_kernel(world: World) -> FakeKernel:
    """A kernel that the world's agent tells of, and that nothing runs."""
    kernel = FakeKernel(str(uuid.uuid4()), key=KEY)
    world.agent.kernels[kernel.kernel_id] = kernel
    return kernel


class StandIn:
    """A kernel made of sockets: it publishes what a test wants."""

    def __init__(self, folder: Path, kernel: FakeKernel) -> None:
        self._context = zmq.asyncio.Context()
        self.sockets = {}
        for number, kind in ((1, zmq.ROUTER), (2, zmq.XPUB), (3, zmq.ROUTER), (4, zmq.ROUTER)):
            self.sockets[number] = self._context.socket(kind)
            self.sockets[number].sndhwm = 0
            self.sockets[number].bind(f"ipc://{folder}/{kernel.kernel_id}-{number}")

    async def welcome(self) -> None:
        """Wait for a subscription and greet it."""
        await asyncio.wait_for(self.sockets[2].recv(), 10)
        await self.sockets[2].send_multipart(signed("iopub_welcome", {"subscription": ""}))

    async def publish(self, frames: list[bytes]) -> None:
        """Tell all who subscribed."""
        await self.sockets[2].send_multipart([b"topic", *frames])

    def close(self) -> None:
        """Close all sockets; what was not sent is not."""
        self._context.destroy(0)


@asynccontextmanager
async def standing_in(world: World, kernel: FakeKernel) -> AsyncIterator[StandIn]:
    """The kernel's sockets, for a block."""
    stand_in = StandIn(world.folder, kernel)
    try:
        yield stand_in
    finally:
        stand_in.close()
