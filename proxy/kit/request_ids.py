"""The id of the request that is being answered: one for its whole way through proxy, hub and agent.

The proxy gives it (what clients send is not believed), each process keeps it in a context variable, which tasks that
are started meanwhile inherit, and every log line that is written then carries it.
"""

from __future__ import annotations

import secrets
from contextvars import ContextVar

HEADER = "X-Request-Id"

current: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that this task works for; empty outside of requests."""


def new_request_id() -> str:
    """A fresh id: 26 lower-case hexadecimal characters, 104 random bits."""
    return secrets.token_hex(13)
