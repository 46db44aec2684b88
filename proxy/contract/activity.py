"""What a proxy tells the hub every two seconds, and what it hears back.

``POST /internal/activity`` with an `ActivityReport`, answered by an `ActivityAnswer`. A proxy closes the
connections of every principal that the answer names, with close code `SIGNED_OUT`. When the hub does not
answer, connections stay: a hub that restarts disturbs nobody.
"""

from __future__ import annotations

import msgspec


class OpenConnection(msgspec.Struct, frozen=True):
    """How many connections one principal holds to one kernel or terminal."""

    principal: str
    workspace_id: str
    kernel_id: str | None
    """None for a terminal."""
    count: int


class ActivityReport(msgspec.Struct, frozen=True):
    """Everything one proxy holds open now. A proxy that says nothing for 10 s holds nothing."""

    proxy_id: str
    connections: list[OpenConnection]


class ActivityAnswer(msgspec.Struct, frozen=True):
    """The principals, of those reported, whose sign-in or token no longer holds."""

    revoked: list[str]
