"""Starts ipykernel as ``python -m ipykernel_launcher`` does, but with a longer queue of what it publishes.

Run as a program by the kernel's own Python, of which nothing is known but that it has ipykernel. ZeroMQ drops
what a subscriber has not taken when 1,000 messages wait for it; a cell that shows many small things fills
that in a tenth of a second, and where many programs share a processor nobody may have had a turn in that time. What is
dropped there is lost for good: to the journal, to notebooks, and to whoever looks on.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from typing import Any

QUEUE = 20_000
"""Messages that wait for each subscriber, about 1 KB each. ZeroMQ hears of what was taken only by halves of it."""
SEND_BUFFER_BYTES = 1024 * 1024
"""Asked for; Linux gives twice its ``wmem_max`` at most, which is twice what a socket has by itself."""


def lengthen_queue() -> None:
    """Have ipykernel set the queue's length on its IOPub before it is bound, which is when that counts."""
    zmq = importlib.import_module("zmq")  # not before the path is clean
    app: Any = importlib.import_module("ipykernel.kernelapp").IPKernelApp
    bind = app._bind_socket

    def bind_with_longer_queue(self: Any, socket: Any, port: int) -> Any:
        if socket.getsockopt(zmq.TYPE) in (zmq.PUB, zmq.XPUB):
            socket.setsockopt(zmq.SNDHWM, QUEUE)
            socket.setsockopt(zmq.SNDBUF, SEND_BUFFER_BYTES)
        return bind(self, socket, port)

    app._bind_socket = bind_with_longer_queue


if __name__ == "__main__":
    # Python puts this file's folder, or the current one, at the head of its path: nothing may be imported from there.
    if sys.path and sys.path[0] in ("", os.path.dirname(os.path.abspath(__file__)), os.getcwd()):
        del sys.path[0]
    try:
        lengthen_queue()
    except Exception as error:  # an ipykernel that is built otherwise starts as ever
        print(f"the queue of what is published keeps its length: {error!r}", file=sys.stderr)
    runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
