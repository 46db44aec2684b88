"""How much of anything the proxy takes, in one table; what is beyond is refused with a typed error.

A kernel runs its user's code, so everything from it is hostile, as is everything from a client
(SECURITY: message bombs, header bombs, nesting bombs, endless frames).
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one connection, in bytes unless the name says otherwise."""

    message_bytes: int = 128 * MIB
    """Largest whole message of a client."""
    assembling_bytes: int = 56 * MIB
    """Largest message of a kernel, and most bytes of its incomplete ones over all channels of a connection."""
    header_bytes: int = 64 * 1024
    """Largest header and largest parent header."""
    frames: int = 4096
    """Most frames of one ZeroMQ message, identities and buffers included."""
    identities: int = 16
    """Most routing frames before the delimiter."""
    held_bytes: int = 32 * MIB
    """Most bytes of client messages kept while the kernel is not ready."""
    queue_bytes: int = 48 * MIB
    """Most bytes waiting for a slow client; beyond, it is closed with 1013 and connects anew."""
    droppable_bytes: int = 32 * MIB
    """From here on outputs are dropped, each gap told, so that replies and states still fit."""
    join_from_bytes: int = 256 * 1024
    """Adjacent stream messages are joined once this much waits."""
    joined_bytes: int = 1 * MIB
    """Largest stream text made by joining."""
    workspace_bytes: int = 64 * MIB
    """Most bytes waiting for all slow clients of one workspace together."""
    proxy_bytes: int = 512 * MIB
    """Most bytes waiting for all slow clients of all workspaces."""
    floor_bytes: int = 64 * 1024
    """So much output may wait for every client, however much others hold, and as much of what is never dropped."""


DEFAULT_LIMITS = Limits()

ENTRY_OVERHEAD_BYTES = 400
"""What one waiting message costs in Python objects beside its bytes."""
