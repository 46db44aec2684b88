"""What can go wrong in the proxy.

    ProxyError
    ├── Refused            a request that is answered without asking anybody (HTTP status, code, message)
    ├── HubAway            the hub did not answer
    └── BadMessage         somebody sent something that is not a Jupyter message, or too much of it
        ├── BadWire        the kernel did (ZeroMQ side)
        └── BadFrame       the client did (WebSocket side)

`code` is stable and shows in answers, close reasons and metrics.
"""

from __future__ import annotations


class ProxyError(Exception):
    """Base of all errors of the proxy."""

    code = "proxy.error"


class Refused(ProxyError):
    """A request is refused with this HTTP `status`; `message` is one sentence for the user."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class HubAway(ProxyError):
    """The hub did not answer in time, or not at all; nothing is known."""

    code = "hub.away"


class BadMessage(ProxyError):
    """Bytes that are not a Jupyter message within the limits. `code` says which rule they broke."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BadWire(BadMessage):
    """What a kernel sent on one of its ZeroMQ sockets."""


class BadFrame(BadMessage):
    """What a client sent on its WebSocket."""
