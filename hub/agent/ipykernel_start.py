"""Starts ipykernel as ``python -m ipykernel_launcher`` does, but what it publishes waits for its subscribers.

Run as a program by the kernel's own Python, of which nothing is known but that it has ipykernel. ZeroMQ drops
what a subscriber has not taken when 1,000 messages wait for it; a cell that shows many small things fills
that in a tenth of a second, and where many programs share a processor nobody may have had a turn in that time. What is
dropped there is lost for good: to the journal, to notebooks, and to whoever looks on. So the queue is longer, and a
kernel that has filled it waits, as a program does whose pipe is full. A subscriber that takes nothing at all must not
hold it for ever: from then on, and for a while, its messages are dropped as ZeroMQ does by itself.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import time
from typing import Any

QUEUE = 20_000
"""Messages that wait for each subscriber, about 1 KB each. ZeroMQ hears of what was taken only by halves of it."""
SEND_BUFFER_BYTES = 1024 * 1024
"""Asked for; Linux gives twice its ``wmem_max`` at most, which is twice what a socket has by itself."""
PATIENCE_SECONDS = 5.0
"""A subscriber that makes no room for so long is stuck; one on a loaded machine takes half a queue in two."""
DROPPING_SECONDS = 30.0
"""How long nobody is waited for then."""


def make_patient(zmq: Any, socket: Any) -> None:
    """Have what is sent through a publishing socket wait for room. The socket belongs to one thread."""
    send = socket.send_multipart
    drops_until = 0.0

    def send_multipart(parts: Any, flags: int = 0, **options: Any) -> Any:
        nonlocal drops_until
        if drops_until:
            if time.monotonic() < drops_until:
                return send(parts, flags, **options)
            drops_until = 0.0
            socket.setsockopt(zmq.XPUB_NODROP, 1)
        try:
            return send(parts, flags, **options)
        except zmq.Again:
            drops_until = time.monotonic() + DROPPING_SECONDS
            socket.setsockopt(zmq.XPUB_NODROP, 0)
            return send(parts, flags, **options)

    socket.setsockopt(zmq.XPUB_NODROP, 1)
    socket.setsockopt(zmq.SNDTIMEO, int(PATIENCE_SECONDS * 1000))
    socket.send_multipart = send_multipart


def wait_for_subscribers() -> None:
    """Have ipykernel set this on its IOPub before it is bound, which is when a queue's length counts."""
    zmq = importlib.import_module("zmq")  # not before the path is clean
    app: Any = importlib.import_module("ipykernel.kernelapp").IPKernelApp
    bind = app._bind_socket

    def bind_patient(self: Any, socket: Any, port: int) -> Any:
        if socket.getsockopt(zmq.TYPE) in (zmq.PUB, zmq.XPUB):
            socket.setsockopt(zmq.SNDHWM, QUEUE)
            socket.setsockopt(zmq.SNDBUF, SEND_BUFFER_BYTES)
            make_patient(zmq, socket)
        return bind(self, socket, port)

    app._bind_socket = bind_patient


if __name__ == "__main__":
    # Python puts this file's folder, or the current one, at the head of its path: nothing may be imported from there.
    if sys.path and sys.path[0] in ("", os.path.dirname(os.path.abspath(__file__)), os.getcwd()):
        del sys.path[0]
    try:
        wait_for_subscribers()
    except Exception as error:  # an ipykernel that is built otherwise starts as ever
        print(f"what is published waits for nobody: {error!r}", file=sys.stderr)
    runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
