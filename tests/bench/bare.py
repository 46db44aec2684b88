"""A kernel's sockets with nothing in between: what every path is compared with."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import uuid
from pathlib import Path

import zmq
import zmq.asyncio

from proxy.contract.agent import KERNEL_SOCKETS
from proxy.kit.agent_client import AgentClient

Parts = list[bytes]


class BareKernel:
    """DEALER and SUB straight to a kernel's Unix sockets."""

    def __init__(self, shell: zmq.asyncio.Socket, iopub: zmq.asyncio.Socket, key: bytes) -> None:
        self._shell = shell
        self._iopub = iopub
        self._key = key
        self._session = uuid.uuid4().hex

    @classmethod
    async def open(cls, run_folder: Path, kernel_id: str) -> BareKernel:
        """Connect, and wait until the subscription stands."""
        agent = AgentClient(run_folder, run_folder.stat().st_uid)
        key = (await agent.attach_kernel(kernel_id)).key.encode()
        await agent.close()
        context = zmq.asyncio.Context.instance()
        shell, iopub = context.socket(zmq.DEALER), context.socket(zmq.SUB)
        iopub.subscribe(b"")
        shell.connect(f"ipc://{run_folder}/{kernel_id}-{KERNEL_SOCKETS['shell']}")
        iopub.connect(f"ipc://{run_folder}/{kernel_id}-{KERNEL_SOCKETS['iopub']}")
        kernel = cls(shell, iopub, key)
        # A subscription that another client has already made is not welcomed; it stands soon after all the same.
        await asyncio.sleep(0.5)
        await asyncio.wait_for(kernel.execute("0"), 5)
        return kernel

    async def execute(self, code: str) -> None:
        """Run code; returns once both the reply and the idle state have come."""
        message_id = uuid.uuid4().hex
        header = {
            "msg_id": message_id,
            "msg_type": "execute_request",
            "session": self._session,
            "username": "",
            "version": "5.3",
            "date": "2026-01-01T00:00:00Z",
        }
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        parts = [json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()]
        signature = hmac.new(self._key, b"".join(parts), hashlib.sha256).hexdigest().encode()
        await self._shell.send_multipart([b"<IDS|MSG>", signature, *parts])
        await asyncio.gather(self._reply(message_id), self._idle(message_id))

    async def close(self) -> None:
        """Close both sockets."""
        self._shell.close(0)
        self._iopub.close(0)

    async def _reply(self, message_id: str) -> None:
        while True:
            parts = await self._shell.recv_multipart()
            if json.loads(parts[parts.index(b"<IDS|MSG>") + 3]).get("msg_id") == message_id:
                return

    async def _idle(self, message_id: str) -> None:
        while True:
            parts = await self._iopub.recv_multipart()
            at = parts.index(b"<IDS|MSG>")
            if json.loads(parts[at + 3]).get("msg_id") != message_id:
                continue
            if json.loads(parts[at + 2])["msg_type"] == "status" and b'"idle"' in parts[at + 5]:
                return
