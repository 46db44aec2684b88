"""A front end that keeps a notebook open as JupyterLab does, and writes down everything that it saw.

It has one ``session_id`` for its life. When its WebSocket ends with any code but 1000 and 1001, or cannot be opened, it
connects again: at once the first time, then after a random pause that doubles. (JupyterLab's pauses are the same up to
one second; then they grow to minutes, which would measure its patience and not the hub's.) What is sent then waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import struct
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

Message = dict[str, Any]
PROTOCOL = "v1.kernel.websocket.jupyter.org"
LONGEST_PAUSE_SECONDS = 1.0
FINAL_CODES = (1000, 1001)


@dataclass
class Connected:
    """One life of the WebSocket. Times are monotonic; `code` is None when it ended without a close frame."""

    began: float
    ended: float | None = None
    code: int | None = None


@dataclass
class FrontEnd:
    """A tab with one kernel. `open` begins, `close` ends it."""

    address: str
    user: str
    token: str
    kernel_id: str
    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    seen: list[Message] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    lives: list[Connected] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Why it could not connect: a status, or an error's name."""
    is_reading: bool = True

    def __post_init__(self) -> None:
        self._outbox: list[bytes] = []
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._parting: int | None = None
        """The code with which the tab is being closed."""
        self._reading = asyncio.Event()
        self._reading.set()

    # ---- its life

    async def open(self, seconds: float = 30.0) -> FrontEnd:
        """Connect, and wait until it is."""
        self._http = aiohttp.ClientSession(headers={"Authorization": f"token {self.token}"})
        self._task = asyncio.create_task(self._keep_open())
        await self.until(lambda: self.is_connected, seconds, "the WebSocket opens")
        return self

    async def close(self, *, code: int = 1000) -> None:
        """The tab is closed: an orderly close frame, its answer, and no way back."""
        self._parting = code
        await self.vanish()

    async def vanish(self) -> None:
        """The connection ends without a close frame, and nobody connects again."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._http.close()
        self._socket = None

    @property
    def is_connected(self) -> bool:
        """Whether the WebSocket is open."""
        return self._socket is not None

    def stop_reading(self) -> None:
        """Take nothing more from the socket: a tab that hangs."""
        self._reading.clear()

    def go_on_reading(self) -> None:
        """Read again."""
        self._reading.set()

    # ---- messages

    async def send(self, kind: str, content: Message, channel: str = "shell", metadata: Message | None = None) -> str:
        """Send a message, or keep it until the socket is open; gives its id."""
        message_id = uuid.uuid4().hex
        header = {
            **{"msg_id": message_id, "msg_type": kind, "session": self.session, "username": "", "version": "5.3"},
            "date": "2026-01-01T00:00:00Z",
        }
        parts = [channel.encode(), *(json.dumps(part).encode() for part in (header, {}, metadata or {}, content))]
        offsets = [8 * (2 + len(parts))]
        for part in parts:
            offsets.append(offsets[-1] + len(part))
        frame = struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)
        if self._socket is None:
            self._outbox.append(frame)
        else:
            try:
                await self._socket.send_bytes(frame)
            except (ConnectionError, aiohttp.ClientError):
                self._outbox.append(frame)
        return message_id

    async def start(self, code: str, cell_id: str | None = None) -> str:
        """Begin to run code; gives the request's id."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
        metadata = {"cellId": cell_id} if cell_id else {}
        return await self.send("execute_request", content, metadata=metadata)

    async def run(self, code: str, seconds: float = 60.0) -> list[Message]:
        """Run code to its end; gives the messages about it."""
        request = await self.start(code)
        await self.finished(request, seconds)
        return self.about(request)

    def about(self, request: str) -> list[Message]:
        """All messages seen about a request."""
        return [m for m in self.seen if m["parent_header"].get("msg_id") == request]

    def is_finished(self, request: str) -> bool:
        """Whether both the reply and the idle state have come: the cell is no longer at ``[*]``."""
        about = self.about(request)
        idle = any(m["content"].get("execution_state") == "idle" for m in about)
        return idle and any(m["header"]["msg_type"].endswith("_reply") for m in about)

    async def finished(self, request: str, seconds: float = 60.0) -> None:
        """Wait for the end of a request."""
        await self.until(lambda: self.is_finished(request), seconds, f"the end of {request}")

    async def until(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """Wait for a condition that messages or connections bring about; gives the seconds that it took."""
        began = time.monotonic()
        while not condition():
            left = began + seconds - time.monotonic()
            if left <= 0:
                raise AssertionError(f"{what} did not come within {seconds} s; {self.history()}")
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(left, 0.5))
        return time.monotonic() - began

    def history(self) -> str:
        """What happened to its connection, in words."""
        lives = ", ".join(f"{(life.ended or time.monotonic()) - life.began:.1f} s, {life.code}" for life in self.lives)
        return f"{len(self.seen)} messages seen; lives: {lives}; failures: {self.failures[-5:]}"

    # ---- inner

    async def _keep_open(self) -> None:
        attempt = 0
        while True:
            began = len(self.lives)
            code = await self._live_once()
            self._socket = None
            self._changed.set()
            if len(self.lives) > began:
                attempt = 0
                if code in FINAL_CODES:
                    return
            if attempt:
                await asyncio.sleep(random.uniform(0, min(2**attempt - 1, LONGEST_PAUSE_SECONDS)))
            attempt += 1

    async def _live_once(self) -> int | None:
        """Connect and read to the end; gives the close code."""
        url = f"{self.address}/user/{self.user}/api/kernels/{self.kernel_id}/channels?session_id={self.session}"
        try:
            socket = await self._http.ws_connect(
                url, protocols=[PROTOCOL], max_msg_size=0, timeout=aiohttp.ClientWSTimeout(ws_close=2.0)
            )
        except aiohttp.WSServerHandshakeError as refused:
            self.failures.append(str(refused.status))
            return None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.failures.append(type(error).__name__)
            return None
        life = Connected(time.monotonic())
        self.lives.append(life)
        try:
            self._socket = socket
            waiting, self._outbox = self._outbox, []
            if len(self.lives) > 1:
                await self.send("kernel_info_request", {})  # as JupyterLab does when it is back
            for frame in waiting:
                await socket.send_bytes(frame)
            self._changed.set()
            await self._read(socket)
        except (ConnectionError, aiohttp.ClientError):
            pass
        finally:
            if self._parting is not None:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(socket.close(code=self._parting), 2)
            life.ended, life.code = time.monotonic(), socket.close_code
            socket._response.close()
        return life.code

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await self._reading.wait()
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return
            self.seen.append(unpacked(message.data))
            self.arrived.append(time.monotonic())
            self._changed.set()


def unpacked(data: bytes) -> Message:
    """A message of the framing ``v1.kernel.websocket.jupyter.org``."""
    (count,) = struct.unpack_from("<Q", data)
    offsets = struct.unpack_from(f"<{count}Q", data, 8)
    parts = [data[start:end] for start, end in itertools.pairwise(offsets)]
    names = ("header", "parent_header", "metadata", "content")
    read = {name: json.loads(part) for name, part in zip(names, parts[1:5], strict=True)}
    return {"channel": parts[0].decode(), **read}
