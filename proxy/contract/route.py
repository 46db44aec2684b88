"""The question a proxy asks the hub once per WebSocket, and the hub's answer.

``POST /internal/route`` with a `RouteQuestion`, answered by one of `KernelRoute`, `TerminalRoute`, `Refusal`,
told apart by their ``kind``. The proxy decides nothing about who may do what; the hub's guard does.
"""

from __future__ import annotations

import msgspec


class RouteQuestion(msgspec.Struct, frozen=True):
    """May this upgrade pass, and where to? Only the headers the guard needs travel."""

    path: str
    """The raw request path, undecoded, without the query."""
    query: str
    host: str
    scheme: str
    address: str
    """The client's address, as the proxy saw it."""
    cookie: str = ""
    authorization: str = ""
    origin: str | None = None
    user_agent: str = ""
    sec_fetch_site: str = ""


class KernelRoute(msgspec.Struct, frozen=True, tag_field="kind", tag="kernel"):
    """Bridge to a kernel. Sockets are ``<run_folder>/<kernel_id>-<1..5>``; the agent's is ``agent.sock``."""

    principal: str
    user_id: str
    workspace_id: str
    kernel_id: str
    run_folder: str
    owner_uid: int
    """The uid that owns every socket in the folder; anything else there is refused."""


class TerminalRoute(msgspec.Struct, frozen=True, tag_field="kind", tag="terminal"):
    """Bridge to a terminal that the agent serves."""

    principal: str
    user_id: str
    workspace_id: str
    terminal: str
    run_folder: str
    owner_uid: int


class Refusal(msgspec.Struct, frozen=True, tag_field="kind", tag="refused"):
    """The upgrade is refused before it happens, with this HTTP status."""

    status: int
    code: str
    message: str


RouteAnswer = KernelRoute | TerminalRoute | Refusal
