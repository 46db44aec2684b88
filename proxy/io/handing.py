"""A session that moves from one proxy of the machine to another: the old connection goes before the new one begins.

A laptop that comes back is let in by any proxy, while another one writes on into its old, half-open connection. Both
would go by one name at the kernel, which hears one of them, and a kernel that is not told that the first has left
hears no second one of its name at all. So the proxy that has the session now calls the other one, through a FIFO
beside its cursors' file, and waits until its slot says that the connection has ended.

The folder is the proxies' own: nobody hostile writes there. Resource handling: `Handing` owns its FIFO until `close`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from proxy.errors import Refused
from proxy.io.cursors import Cursors, Elsewhere, SessionKey, call_path

log = logging.getLogger(__name__)

WAIT_SECONDS = 1.0
"""How long a proxy that does not answer (it is stopped, or overwhelmed) is waited for."""
LOOK_SECONDS = 0.005
LATE_NANOSECONDS = 60 * 10**9
"""A connection that seems to come from further in the future comes from before the clock was set."""
_CALL = struct.Struct("<16sQQ")
CALLS_AT_ONCE = 512
REMEMBERED = 1024


class Handing:
    """Takes sessions over from other proxies, and gives them up: `give_up` is called with a session's digest and order.

    `open` is called on the loop, after the cursors'. Nothing is done by a proxy that shares no folder.
    """

    def __init__(self, cursors: Cursors, give_up: Callable[[bytes, int], None]) -> None:
        self._cursors = cursors
        self._give_up = give_up
        self._path: Path | None = None
        self._fifo = -1
        self._gone: dict[bytes, int] = {}

    def open(self) -> None:
        """Be there to be called. Raises OSError when the folder cannot be used."""
        if self._cursors.path is None:
            return
        self._path = call_path(self._cursors.path)
        os.mkfifo(self._path, 0o600)
        # Open for writing too, so that it never comes to an end.
        self._fifo = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._fifo, self._called)

    async def take(self, key: SessionKey, order: int) -> None:
        """Have every other proxy end its connection of this session, which this one was asked for at `order`.

        Raises Refused with 409 when the session has a newer connection in another proxy.
        """
        with self._cursors.elsewhere(key) as standing:
            if any(0 < one.order - order < LATE_NANOSECONDS for one in standing):
                raise Refused(409, "websocket.replaced", "A newer connection of this session is open.")
            called = [one for one in standing if self._call(one, key.digest(), order)]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_SECONDS):
                    while any(one.stands for one in called):  # noqa: ASYNC110  another process says so, in its file
                        await asyncio.sleep(LOOK_SECONDS)
                    return
        log.warning("another proxy did not give up a session to kernel %s in time", key.kernel_id)

    def is_gone(self, key: SessionKey, order: int) -> bool:
        """Whether a session was taken from its connection of this `order` unasked: nothing is its own any more.

        So it is when this proxy was stopped for a while. What it knows of the session is old then.
        """
        if self._fifo >= 0:
            self._called()
        return self._gone.get(key.digest(), 0) > order

    def close(self) -> None:
        """Be called no more. Closing twice is harmless."""
        if self._fifo >= 0:
            asyncio.get_running_loop().remove_reader(self._fifo)
            os.close(self._fifo)
            self._fifo = -1
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _call(self, one: Elsewhere, digest: bytes, order: int) -> bool:
        """Tell another proxy; False when there is nobody any more, or it cannot be told."""
        try:
            fifo = os.open(call_path(one.path), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            until = time.time_ns() + int(WAIT_SECONDS * 10**9)
            os.write(fifo, _CALL.pack(digest, order, until))  # so few bytes are written at once or not at all
        except OSError:
            return False
        finally:
            os.close(fifo)
        return True

    def _called(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for digest, order, until in _CALL.iter_unpack(os.read(self._fifo, CALLS_AT_ONCE * _CALL.size)):
                if time.time_ns() > until:
                    self._gone[digest] = order
                    if len(self._gone) > REMEMBERED:
                        del self._gone[next(iter(self._gone))]
                self._give_up(digest, order)
