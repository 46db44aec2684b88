"""The one ZeroMQ context of a process.

A context stops at 1,023 sockets unless told otherwise; one I/O thread serves them all.
"""

from __future__ import annotations

import functools
import resource

import zmq

MAX_SOCKETS = 65_000
"""Sockets of one context: libzmq keeps a table of this many pointers."""

MAX_FILES = 262_144
"""File descriptors asked for; each socket takes two (its mailbox and its connection)."""


@functools.cache
def shared_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return the context of this process, made at the first call; it lives as long as the process."""
    raise_file_limit()
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, min(MAX_SOCKETS, context.get(zmq.SOCKET_LIMIT)))
    context.set(zmq.BLOCKY, 0)
    return context


def raise_file_limit(wanted: int = MAX_FILES) -> int:
    """Raise the soft limit of open files to `wanted`, or to the hard limit; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < ceiling:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
        return ceiling
    return soft
