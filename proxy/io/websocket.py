"""The WebSocket end of every connection: asked for before the upgrade, pinged, closed with the right code.

Nothing is upgraded before the hub has said yes and the workspace's agent has answered, so that a refusal is an
ordinary HTTP answer (403, 404, 503), which front ends understand better than a socket that opens and closes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import cast

from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol, WebSocketProtocol13

from proxy.contract.close_codes import CloseCode
from proxy.contract.route import KernelRoute, RouteQuestion, TerminalRoute
from proxy.core.limits import Limits
from proxy.core.queue_budget import QueueBudgets
from proxy.core.upgrade_rate import UpgradeRate
from proxy.errors import Refused
from proxy.io.agents import Agents
from proxy.io.connections import REPLACED, SILENT, Connections, Holder, HowEnded
from proxy.io.cursors import Cursors
from proxy.io.handing import Handing
from proxy.io.handler import Origin, PlainHandler
from proxy.io.journals import JournalThreads
from proxy.io.keepers import Keepers
from proxy.io.pauses import Pauses
from proxy.io.routes import Routes
from proxy.kit.agent_client import AgentRefused, AgentSilent
from proxy.kit.clock import Clock
from proxy.kit.tasks import TaskOwner
from proxy.metrics import Metrics

log = logging.getLogger(__name__)


class SocketServices:
    """What WebSocket handlers work with."""

    def __init__(
        self,
        routes: Routes,
        agents: Agents,
        pauses: Pauses,
        connections: Connections,
        origin: Origin,
        clock: Clock,
        tasks: TaskOwner,
        metrics: Metrics,
        limits: Limits,
        cursors: Cursors,
        journals: JournalThreads,
        keepers: Keepers,
        handing: Handing,
    ) -> None:
        self.routes = routes
        self.agents = agents
        self.pauses = pauses
        self.connections = connections
        self.origin = origin
        self.clock = clock
        self.tasks = tasks
        self.metrics = metrics
        self.limits = limits
        self.budgets = QueueBudgets(limits)
        self.upgrades = UpgradeRate()
        self.cursors = cursors
        self.journals = journals
        self.keepers = keepers
        self.handing = handing
        self.is_closing = False


class PartingProtocol(WebSocketProtocol13):
    """Tornado's protocol, which knows besides whether the client has sent a close frame.

    Its own `client_terminated` is also set when the stream breaks; but then this side counts as terminated, too, before
    `close` is called. The frame's code would not tell: ``close()`` in a browser sends none. Nor would the stream, which
    may have ended right behind the frame.
    """

    has_heard_goodbye = False

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close, or finish closing."""
        if self.client_terminated and not self.server_terminated:
            self.has_heard_goodbye = True
        super().close(code, reason)


class ChannelHandler(WebSocketHandler, PlainHandler):
    """Base of the kernel's and the terminal's WebSocket. Satisfies `connections.Connection`."""

    kind = "channel"
    holder: Holder | None = None
    heard_at = 0.0
    is_held = False
    asked_order = 0
    _how: HowEnded | None = None
    _is_replaced = False
    _has_said_goodbye = False

    def initialize(self, services: SocketServices) -> None:
        """Take the collaborators."""
        self._services = services
        self._resources = AsyncExitStack()
        self._is_open = False
        self._has_begun = self._is_ended = False

    # ---- for subclasses

    async def reach(self) -> None:
        """Ask the hub for a route and follow it. Raises like `attach`."""
        route = await self._services.routes.ask(self._question())
        self._resources.enter_context(self._services.connections.place_in(route.workspace_id))
        self.holder = await self.attach(route)

    async def attach(self, route: KernelRoute | TerminalRoute) -> Holder:
        """Reach what the route leads to. Raises Refused, AgentRefused or AgentSilent; enters `_resources`."""
        raise NotImplementedError

    def begin(self) -> None:
        """The WebSocket is open."""
        raise NotImplementedError

    def receive(self, message: str | bytes) -> Awaitable[None] | None:
        """The client sent a message; it is read no further until what is returned is done."""
        raise NotImplementedError

    async def flush_out(self) -> None:
        """Return when what waited for the client is written."""

    def release(self) -> None:
        """Let go of everything that is not in `_resources`. Called once, at the end of what has begun."""

    # ---- before the upgrade

    async def prepare(self) -> None:
        """Ask the hub; refuse by an HTTP answer."""
        services = self._services
        self.begin_request()
        self.asked_order = services.connections.next_order()
        try:
            self._check_upgrade()
            if services.is_closing:
                raise Refused(503, "proxy.closing", "This proxy is restarting; try again.")
            if not services.upgrades.admit(self._credentials(), services.clock.monotonic()):
                raise Refused(429, "websocket.too_often", "So many connections were opened in a row; wait a moment.")
            await self.reach()
            if self._is_ended:  # the client left meanwhile, and what it had then was released then
                raise Refused(503, "websocket.left", "The client left.")
        except Refused as refused:
            await self._refuse(refused)
        except AgentRefused as refused:
            await self._refuse(Refused(404, "agent.refused", f"There is no such {self.kind}: {refused.message}."))
        except AgentSilent:
            message = "The container does not answer at the moment; try again."
            await self._refuse(Refused(503, "agent.silent", message))

    async def _refuse(self, refused: Refused) -> None:
        self._services.metrics.refused.labels(str(refused.status)).inc()
        await self._resources.aclose()
        self.refuse(refused)

    def _check_upgrade(self) -> None:
        headers = self.request.headers
        connection = [token.strip().lower() for token in headers.get("Connection", "").split(",")]
        if (
            self.request.method != "GET"
            or headers.get("Upgrade", "").lower() != "websocket"
            or "upgrade" not in connection
            or headers.get("Sec-WebSocket-Version") != "13"
            or not headers.get("Sec-WebSocket-Key")
        ):
            raise Refused(400, "websocket.expected", "Only WebSockets are served here.")

    def _credentials(self) -> bytes:
        """A digest of what is shown to be let in, whether or not it is good for anything."""
        get = self.request.headers.get
        shown = (get("Cookie", ""), get("Authorization", ""), self.get_query_argument("token", ""))
        return hashlib.blake2b("\0".join(shown).encode(errors="replace"), digest_size=16).digest()

    def _question(self) -> RouteQuestion:
        request = self.request
        address, scheme = self._services.origin.of(request)
        path, _, query = (request.uri or "").partition("?")
        get = request.headers.get
        return RouteQuestion(
            path=path,
            query=query,
            host=get("Host", ""),
            scheme=scheme,
            address=address,
            cookie=get("Cookie", ""),
            authorization=get("Authorization", ""),
            origin=get("Origin"),
            user_agent=get("User-Agent", ""),
            sec_fetch_site=get("Sec-Fetch-Site", ""),
        )

    def check_origin(self, origin: str) -> bool:
        """The hub's guard has judged the origin already: it knows the public address."""
        return True

    def check_trusted_origin(self, origin: str) -> bool:
        """See `check_origin`."""
        return True

    # ---- tornado's callbacks

    def open(self, *args: str, **kwargs: str) -> None:
        """Register, and begin."""
        services = self._services
        self.set_nodelay(True)
        self._is_open = True
        services.metrics.connections.labels(self.kind).inc()
        services.connections.add(self)
        if self._is_ended:
            return  # a newer connection of its session was faster
        if services.is_closing:
            self.end(CloseCode.SERVICE_RESTART, "the proxy restarts")
        else:
            self._has_begun = True
            self.begin()

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        """A message is a sign of life too."""
        self.heard_at = self._services.clock.monotonic()
        blocked = None if self._is_ended else self.receive(message)
        return None if blocked is None else self._hold(blocked)

    async def _hold(self, blocked: Awaitable[None]) -> None:
        self.is_held = True
        try:
            await blocked
        finally:
            self.is_held = False
            self.heard_at = self._services.clock.monotonic()

    def on_pong(self, data: bytes) -> None:
        """The client lives."""
        self.heard_at = self._services.clock.monotonic()

    def on_close(self) -> None:
        """The WebSocket is gone, for whatever reason."""
        self._release_once()

    def on_connection_close(self) -> None:
        """The connection is gone, maybe before the upgrade."""
        if isinstance(self.ws_connection, PartingProtocol):
            self._has_said_goodbye = self.ws_connection.has_heard_goodbye
        super().on_connection_close()
        self._release_once()

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """Tornado's, with a memory for goodbyes."""
        made = super().get_websocket_protocol()
        if not isinstance(made, WebSocketProtocol13):
            return made
        return PartingProtocol(self, made.mask_outgoing, made.params)

    @property
    def max_message_size(self) -> int:
        """Largest message of a client."""
        return self._services.limits.message_bytes

    @property
    def ping_interval(self) -> float:
        """Tornado's own pings are off: `Connections` pings, and takes any message as an answer."""
        return 0.0

    # ---- connections.Connection

    @property
    def seen(self) -> str:
        """See `Connection.seen`."""
        return ""

    def send_ping(self) -> None:
        """See `Connection.send_ping`."""
        try:
            self.ping(b"")
        except WebSocketClosedError:
            self._release_once()

    def end(self, code: CloseCode, reason: str) -> None:
        """See `Connection.end`."""
        if not self._is_ended:
            self._is_ended = True
            self._how = "silent" if reason == SILENT else "dropped"
            self._is_replaced = reason == REPLACED
            self.close(int(code), reason.encode()[:120].decode(errors="ignore"))
            self._release_once()

    async def finish_sending(self) -> None:
        """See `Connection.finish_sending`."""
        await self.flush_out()

    def count(self) -> None:
        """See `Connection.count`. By default nothing is counted."""

    # ---- inner

    def is_writable(self) -> bool:
        """Whether frames may be sent still."""
        return not self._is_ended and self.ws_connection is not None and not self.ws_connection.is_closing()

    def protocol13(self) -> WebSocketProtocol13:
        """Tornado's connection, whose stream `ClientWriter` writes to."""
        return cast(WebSocketProtocol13, self.ws_connection)

    def _how_left(self) -> HowEnded:
        """How the client ended the connection: with a word, or without one."""
        return "closed" if self._has_said_goodbye else "dropped"

    def _release_once(self) -> None:
        if self._is_open:
            self._is_open = False
            self._services.connections.remove(self, self._how or self._how_left())
            self._services.metrics.connections.labels(self.kind).dec()
            if self._has_begun:
                self.count()
                self.release()
        self._is_ended = True
        resources, self._resources = self._resources, AsyncExitStack()
        if not self._services.tasks.is_closed:
            self._services.tasks.start(resources.aclose(), f"{self.kind}.release")
