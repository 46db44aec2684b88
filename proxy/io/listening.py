"""Where a proxy listens, and how it stops without anybody being refused.

Two ways let one proxy take over from another on the same address:

- Sockets that were handed over (``listen_fds``), as `kernelhub serve` does: both proxies accept from one queue that
  neither owns. What is waiting when one stops, or is killed, is accepted by the other. Nothing is ever refused.
- ``SO_REUSEPORT`` (``reuse_port``), for proxies that are services of their own: each has a queue, and the kernel deals
  connections out to them. Who stops first accepts all that is in its queue. A handshake that is half done just then
  is lost, unless the machine moves it (``net.ipv4.tcp_migrate_req = 1``, Linux 5.14).

With SO_REUSEPORT the kernel lets only processes of the same effective user listen on the port beside the first one
(socket(7)); who has that user's rights could as well stop the proxy.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets

BACKLOG = 1024
"""Connections that may wait to be accepted: a class that comes back at once (the machine's `somaxconn` bounds it)."""


class CannotListen(OSError):
    """Nobody can listen at the address in `filename`."""


def listen(host: str, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """Sockets that listen on every address of `host`. Raises CannotListen, such as when the port is taken."""
    try:
        return bind_sockets(port, host, backlog=BACKLOG, reuse_port=reuse_port)
    except OSError as error:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise CannotListen(error.errno, error.strerror, where) from error


def handed_over(descriptors: Iterable[int]) -> list[socket.socket]:
    """The listening sockets behind inherited descriptors. Raises OSError where one is no socket."""
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for each in sockets:
        each.setblocking(False)
        each.set_inheritable(False)
    return sockets


def accept_waiting(server: HTTPServer, sockets: Iterable[socket.socket]) -> int:
    """Give the server every connection that the kernel has completed already; how many there were.

    For sockets with a queue of their own, before they are closed: what is left in the queue then is reset.
    """
    accepted = 0
    for each in sockets:
        while (found := _accept(each)) is not None:
            connection, address = found
            connection.setblocking(False)
            server.handle_stream(IOStream(connection, max_buffer_size=server.max_buffer_size), address)
            accepted += 1
    return accepted


def _accept(listening: socket.socket) -> tuple[socket.socket, tuple[str, int]] | None:
    try:
        return listening.accept()
    except ConnectionAbortedError:
        return _accept(listening)
    except OSError:  # nobody waits, or no descriptor is left
        return None
