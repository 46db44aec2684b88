"""What a proxy tells the hub every two seconds, and what it hears back.

``POST /internal/activity`` with an `ActivityReport`, answered by an `ActivityAnswer`. A proxy closes the
connections of every principal that the answer names, with close code `SIGNED_OUT`. When the hub does not
answer, connections stay: a hub that restarts disturbs nobody.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class OpenConnection(msgspec.Struct, frozen=True):
    """How many connections one principal holds to one kernel or terminal."""

    principal: str
    workspace_id: str
    kernel_id: str | None
    """None for a terminal."""
    count: int


class OpenSession(msgspec.Struct, frozen=True):
    """A front end that is connected to a kernel: `session` is its own name for itself (``session_id``)."""

    workspace_id: str
    kernel_id: str
    session: str


class EndedSession(msgspec.Struct, frozen=True):
    """A front end whose connection to a kernel has ended.

    `how`: ``closed`` by a close frame of the client, ``dropped`` when the network connection ended without one,
    ``silent`` when nothing was heard any more. `seen` is the identity (`proxy.kit.journal.identity_of`, hexadecimal)
    of the last IOPub message that the client is known to have, "" for none. `ago_seconds`: how long ago it ended.
    """

    workspace_id: str
    kernel_id: str
    session: str
    how: Literal["closed", "dropped", "silent"]
    seen: str
    ago_seconds: float


class ActivityReport(msgspec.Struct, frozen=True):
    """Everything one proxy holds open now. A proxy that says nothing for 10 s holds nothing.

    `ended` are the sessions that ended since the last report that was answered: none is told to nobody. `paused` are
    the workspaces that it knows to be paused, or about to be: it asks for a thaw with any message that goes there.
    """

    proxy_id: str
    connections: list[OpenConnection]
    sessions: list[OpenSession] = []
    ended: list[EndedSession] = []
    paused: list[str] = []


class ActivityAnswer(msgspec.Struct, frozen=True):
    """The principals, of those reported, whose sign-in or token no longer holds; and the workspaces that are paused.

    A workspace is named before it is frozen, and frozen only once every proxy that holds connections into it has
    reported that it knows.
    """

    revoked: list[str]
    paused: list[str] = []
