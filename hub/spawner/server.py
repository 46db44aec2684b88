"""The spawner's socket: one request a connection, from the hub's uid alone, bounded in size, number and time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from pathlib import Path

from hub.errors import EngineSilent
from hub.spawn import wire
from hub.spawner.rules import Rules
from hub.spawner.service import Service

log = logging.getLogger("hub.spawner")

MOST_CONNECTIONS = 128
REQUEST_SECONDS = 5.0
ANSWER_SECONDS = 10.0
_UCRED = struct.Struct("3i")


class Server:
    """Listens from `start` to `close`."""

    def __init__(self, rules: Rules, service: Service) -> None:
        self._rules = rules
        self._service = service
        self._open = 0

    async def start(self) -> None:
        """Take the socket's place, whoever left it there. Raises OSError."""
        listener = _listen(self._rules.socket, self._rules.hub_uid)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=wire.MAX_REQUEST_BYTES)

    async def close(self) -> None:
        """Accept nobody more. Requests under way end with the process; containers stay."""
        self._server.close()
        self._rules.socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            answer = await self._answered(reader, writer)
            if answer is not None:
                writer.write(wire.frame(answer))
                async with asyncio.timeout(ANSWER_SECONDS):
                    await writer.drain()
        except (OSError, TimeoutError):
            pass  # the peer is gone, or reads nothing: what was done is done
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await writer.wait_closed()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> wire.Answer | None:
        pid, uid, _ = _UCRED.unpack(
            writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        )
        who = f"uid {uid}, pid {pid}"
        if uid != self._rules.hub_uid:
            return self._refuse("a connection", "only the hub's account may ask", who)
        if self._open > MOST_CONNECTIONS:
            self._service.refused("a connection", f"{MOST_CONNECTIONS} are open already", who)
            return wire.failed(EngineSilent("The spawner has too many requests at once. Try again soon."))
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await wire.read_request(reader)
        except wire.Malformed as error:
            return self._refuse("a request", str(error), who)
        except TimeoutError:
            return self._refuse("a request", f"it did not come within {REQUEST_SECONDS:g} s", who)
        return None if request is None else await self._unless_gone(reader, request, who)

    async def _unless_gone(self, reader: asyncio.StreamReader, request: wire.Request, who: str) -> wire.Answer | None:
        """The answer; None when the hub did not wait for it: the request is given up as if the hub itself did it."""
        work = asyncio.ensure_future(self._service.answer(request, who))
        gone = asyncio.ensure_future(_end_of(reader))
        try:
            await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else None
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.wait([work, gone])

    def _refuse(self, what: str, why: str, who: str) -> wire.Answer:
        self._service.refused(what, why, who)
        return wire.Failed("workspace.spawner_refused", f"The spawner refused this: {why}.")


async def _end_of(reader: asyncio.StreamReader) -> None:
    """Return when the peer has closed. What it sends after its request is read and dropped."""
    with contextlib.suppress(OSError):
        while await reader.read(4096):
            pass


def _listen(path: Path, hub_uid: int) -> socket.socket:
    """A listening socket that only the hub's uid may connect to; a path of any length will do."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.umask(before)
        if hub_uid != os.geteuid():
            os.chown(path, hub_uid, -1)
        listener.listen(MOST_CONNECTIONS)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(folder)
    return listener
