"""Which WebSocket an upgrade asks for, read from its raw path: one decoding, no surprises.

The name in the path is taken as it was sent and decoded once; encoded slashes make no further segments, so
``/user/a%2Fb/…`` is a user called ``a/b``, who cannot exist, and never user ``a``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from hub.domain.ids import KernelId
from hub.domain.users import InvalidUsername, normalise_username

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_KERNEL = re.compile(rf"/user/([^/]+)/api/kernels/({_UUID})/channels\Z")
_TERMINAL = re.compile(r"/user/([^/]+)/terminals/websocket/([A-Za-z0-9._-]{1,64})\Z")


@dataclass(frozen=True, slots=True)
class KernelSocket:
    """The channels of a kernel, of the user named `user_name`."""

    user_name: str
    kernel_id: KernelId


@dataclass(frozen=True, slots=True)
class TerminalSocket:
    """A terminal of the user named `user_name`."""

    user_name: str
    terminal: str


def parse_socket_path(path: str) -> KernelSocket | TerminalSocket | None:
    """What the path asks for; None for anything else."""
    for pattern, make in ((_KERNEL, _kernel), (_TERMINAL, TerminalSocket)):
        match = pattern.match(path)
        if match:
            try:
                name = normalise_username(unquote(match[1], errors="strict"))
            except (InvalidUsername, UnicodeDecodeError):
                return None
            return make(name, match[2])
    return None


def _kernel(user_name: str, kernel_id: str) -> KernelSocket:
    return KernelSocket(user_name, KernelId(kernel_id))
