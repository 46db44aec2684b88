"""A kernel of a hub, led to local sockets: performs what the `Relay` decides, and keeps the WebSocket open."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Any

import aiohttp

from hub.errors import BadRequest, HubError, NotFound, Unavailable
from hub.remote.connection import RemoteHub
from hub.remote.local_sockets import LocalSockets
from hub.remote.relay import (
    IDLE_SECONDS,
    Answered,
    Ask,
    Broke,
    Command,
    Died,
    Event,
    LocalSent,
    Opened,
    Relay,
    RemoteSent,
    Subscribed,
    ToLocal,
    ToRemote,
    Wait,
    WaitEnded,
)
from proxy.contract.close_codes import CloseCode
from proxy.core.frames import V1_SUBPROTOCOL, Payload
from proxy.core.messages import make_minter
from proxy.core.wire import Part, Signer

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0
LOOK_SECONDS = 1.0
"""How often the hub is asked after a kernel that ended; its row goes a moment after its process."""
LOOKS_BEFORE_WORDS = 3
_SUBSCRIBE = b"\x01"


class Ending(Enum):
    """Why an attachment ended."""

    GONE = "gone"
    SHUT_DOWN = "shut down"
    DIED = "died"


class Attachment:
    """One kernel of a hub and the local sockets that lead to it.

    `owns_kernel`: the kernel is there for the local program that started it. Then a restart is that program's
    business (it starts another one), and a death ends the attachment. `say` shows people what happens.
    """

    def __init__(
        self, hub: RemoteHub, kernel_id: str, sockets: LocalSockets, say: Callable[[str], None], *, owns_kernel: bool
    ) -> None:
        self._hub = hub
        self._path = f"api/kernels/{kernel_id}"
        self._local = sockets
        self._say = say
        self._owns_kernel = owns_kernel
        self._session = uuid.uuid4().hex
        mint = make_minter(self._session, lambda: uuid.uuid4().hex, lambda: datetime.now(UTC))
        self._relay = Relay(Signer(sockets.ends.key, sockets.ends.scheme), mint)
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._sending = asyncio.Lock()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_shutting_down = False

    @property
    def is_executing(self) -> bool:
        """Whether a local client waits for a cell to end."""
        return self._relay.is_executing

    @property
    def is_shutting_down(self) -> bool:
        """Whether a local client has asked for the kernel's end."""
        return self._is_shutting_down

    async def run(self) -> Ending:
        """Relay until the kernel is gone, and say why. Raises HubError where the hub refuses the connection."""
        readers = [self._local.read(name, partial(self._on_local, name)) for name in ("shell", "control", "stdin")]
        readers += [self._local.read("iopub", self._on_subscription), self._local.read("hb", self._on_heartbeat)]
        for work in (*readers, self._stay_connected()):
            self._start(work, "attach.run")
        try:
            return await self._ending
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def interrupt(self) -> None:
        """Interrupt the kernel, as its kernelspec says; a failure is only said."""
        try:
            await self._hub.post(f"{self._path}/interrupt")
        except HubError as error:
            if not self._is_shutting_down:  # a program that ends its kernel interrupts it first
                self._say(error.message)

    async def shut_down(self) -> None:
        """End the kernel; one that is gone is no error."""
        with contextlib.suppress(NotFound):
            await self._hub.delete(self._path)

    # ---- the WebSocket

    async def _stay_connected(self) -> None:
        pause, was_open = FIRST_PAUSE_SECONDS, False
        now = asyncio.get_running_loop().time
        while True:
            code, began = None, now()
            try:
                async with self._hub.websocket(
                    f"{self._path}/channels", {"session_id": self._session}, (V1_SUBPROTOCOL,)
                ) as socket:
                    if was_open:
                        self._say("Connected again.")
                    was_open = True
                    code = await self._follow(socket)
            except NotFound:
                code = CloseCode.KERNEL_GONE
            except Unavailable as error:
                if not was_open:
                    raise
                log.debug("no connection: %s", error)
            finally:
                self._socket = None
                await self._feed(Broke())
            if code == CloseCode.KERNEL_GONE:
                if not self._is_shutting_down:  # else the client that asked for it is answered first
                    self._end(Ending.GONE)
                return
            if now() - began > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            if pause == FIRST_PAUSE_SECONDS:
                self._say("The connection to the hub broke; trying again.")
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  spreads clients, hides nothing
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def _follow(self, socket: aiohttp.ClientWebSocketResponse) -> int | None:
        """Take what comes until the end; the code with which it was closed."""
        if socket.protocol != V1_SUBPROTOCOL:
            raise BadRequest("This server does not speak the protocol v1.kernel.websocket.jupyter.org.")
        self._socket = socket
        await self._feed(Opened())
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                await self._feed(RemoteSent(message.data))
        return socket.close_code

    # ---- local clients

    async def _on_local(self, channel: str, frames: list[bytes]) -> None:
        await self._has_room.wait()
        parts: list[Part] = [*frames]
        await self._feed(LocalSent(channel, parts))

    async def _on_subscription(self, frames: list[bytes]) -> None:
        if frames[0][:1] == _SUBSCRIBE:
            await self._feed(Subscribed(frames[0][1:]))

    async def _on_heartbeat(self, frames: list[bytes]) -> None:
        if self._relay.is_alive:
            await self._local.send("hb", frames)

    # ---- events and commands

    async def _feed(self, event: Event) -> None:
        commands = self._relay.handle(event)
        if self._relay.is_full:
            self._has_room.clear()
        else:
            self._has_room.set()
        if self._owns_kernel and any(isinstance(command, Died) for command in commands):
            # Whoever started it sees a process end, as with any kernel, and needs no other answer.
            commands = [command for command in commands if isinstance(command, Died)]
        payloads = [command.payload for command in commands if isinstance(command, ToRemote)]
        if payloads:
            await self._send(payloads)
        for command in commands:
            await self._perform(command)

    async def _send(self, payloads: list[Payload]) -> None:
        """Send in order, also when several wait for their turn; what a broken connection took is lost."""
        async with self._sending:
            for payload in payloads:
                if self._socket is None:
                    return
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    await self._socket.send_bytes(b"".join(payload.pieces))

    async def _perform(self, command: Command) -> None:
        match command:
            case ToLocal(channel, frames):
                await self._local.send(channel, frames)
            case Ask():
                self._start(self._ask(command), "attach.ask")
            case Died(will_restart):
                if not self._is_shutting_down:
                    self._on_death(will_restart)
            case Wait(msg_id):
                self._start(self._wait(msg_id), "attach.wait")
            case ToRemote():
                pass

    async def _wait(self, msg_id: str) -> None:
        await asyncio.sleep(IDLE_SECONDS)
        await self._feed(WaitEnded(msg_id))

    def _on_death(self, will_restart: bool) -> None:
        if self._owns_kernel:
            self._say("The kernel died.")
            self._end(Ending.DIED)
        elif will_restart:
            self._say("The kernel died; the hub starts it again.")
        else:
            self._start(self._look(), "attach.look")

    async def _look(self) -> None:
        """See whether a kernel that ended was shut down, or is there still and may be restarted in a browser."""
        for looks in itertools.count():
            with contextlib.suppress(Unavailable):
                try:
                    await self._hub.get(self._path)
                except NotFound:
                    if not self._is_shutting_down:
                        self._end(Ending.GONE)
                    return
            if looks == LOOKS_BEFORE_WORDS:
                self._say("The kernel died, too often to be started again by itself. Restart it in the browser.")
            await asyncio.sleep(LOOK_SECONDS)
            if self._relay.is_alive:
                return

    async def _ask(self, ask: Ask) -> None:
        ends = ask.action == "shutdown" or (ask.action == "restart" and self._owns_kernel)
        try:
            if ends:
                self._is_shutting_down = True
                await self.shut_down()
            else:
                await self._hub.post(f"{self._path}/{ask.action}")
        except HubError as error:
            self._is_shutting_down = False
            await self._feed(Answered(ask, error.message))
            return
        await self._feed(Answered(ask))
        if ends:
            self._end(Ending.SHUT_DOWN)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._on_failure)

    def _end(self, ending: Ending) -> None:
        if not self._ending.done():
            self._ending.set_result(ending)

    def _on_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._ending.done():
            self._ending.set_exception(error)
