"""The proxy, wired: who opens this file sees all of it."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import time
import uuid
from typing import Any
from weakref import WeakSet

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.routing import URLSpec
from tornado.web import Application, RequestHandler

from proxy.config import ProxySettings
from proxy.core.http_rules import Gateways, Vouching, check_request
from proxy.core.limits import MIB
from proxy.errors import Refused
from proxy.io.activity import Activity
from proxy.io.agents import Agents
from proxy.io.connections import Connections
from proxy.io.cursors import Cursors
from proxy.io.forward import ForwardHandler
from proxy.io.handing import Handing
from proxy.io.handler import Origin, RefusingHandler, heads_of
from proxy.io.health import LiveHandler, ReadyHandler, metrics_application
from proxy.io.hub_client import HubClient
from proxy.io.journals import JournalThreads
from proxy.io.keepers import Keepers
from proxy.io.kernel_channel import KernelHandler
from proxy.io.listening import accept_waiting, handed_over, listen
from proxy.io.pauses import Pauses
from proxy.io.relay import RelayHandler
from proxy.io.routes import Routes
from proxy.io.static import StaticFiles, StaticHandler
from proxy.io.terminal import TerminalHandler
from proxy.io.websocket import SocketServices
from proxy.kit.clock import Clock, SystemClock
from proxy.kit.tasks import TaskOwner
from proxy.metrics import Metrics

log = logging.getLogger(__name__)

KERNEL_PATH = r"/user/[^/]+/api/kernels/[^/]+/channels"
TERMINAL_PATH = r"/user/[^/]+/terminals/websocket/[^/]+"
EVENTS_PATH = r"/user/[^/]+/api/events/subscribe"
SMALL_BODY_BYTES = 64 * 1024
HEADER_SECONDS = 75.0
LEFT_SECONDS = 5.0
"""How often it is looked for clients that nobody stands in for."""
SETTLE_SECONDS = 1.0
"""When another proxy takes over: how long who was accepted a moment ago has to send a request."""


class Gate(Application):
    """Refuses what is ambiguous, malformed or not public before any handler is chosen, and knows what is under way."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._under_way: WeakSet[HTTPServerRequest] = WeakSet()

    @property
    def under_way(self) -> int:
        """Requests that are not answered yet, and whose client is still there. WebSockets do not count."""
        return sum(map(_is_connected, list(self._under_way)))

    def log_request(self, handler: RequestHandler) -> None:
        """See `tornado.web.Application`: called when a request is answered."""
        self._under_way.discard(handler.request)
        super().log_request(handler)

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """See `tornado.routing.Router.find_handler`."""
        self._under_way.add(request)
        try:
            check_request(heads_of(request))
        except Refused as refused:
            return self.get_handler_delegate(request, RefusingHandler, {"refused": refused})
        return super().find_handler(request, **kwargs)


class Proxy:
    """One proxy process. `start` listens; `close` refuses new connections, tells clients (1012) and ends."""

    def __init__(self, settings: ProxySettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self.metrics = Metrics()
        self._tasks = TaskOwner("proxy")
        clock = clock or SystemClock()
        vouching = Vouching(settings.vouching_headers, settings.vouching_addresses)
        gateways = Origin(Gateways(settings.trusted_proxies), vouching)
        self.hub = HubClient(settings.hub_url, settings.internal_token)
        self.connections = Connections(clock, settings.ping_seconds, settings.silence_seconds)
        self._files = StaticFiles(settings.static_roots, settings.cache_dir)
        routes = Routes(self.hub, clock)
        self._pauses = Pauses(self.hub)
        self._activity = Activity(
            *(self.hub, self.connections, self._pauses, uuid.uuid4().hex, clock, settings.report_seconds),
            told=routes.told,
        )
        self._cursors = Cursors(settings.state_dir)
        self._journals = JournalThreads()
        self._keepers = Keepers(settings.state_dir, clock, settings.limits)
        self._handing = Handing(self._cursors, self.connections.give_up)
        self._sockets = SocketServices(
            routes,
            Agents(self.hub, self._pauses),
            self._pauses,
            self.connections,
            gateways,
            clock,
            self._tasks,
            self.metrics,
            settings.limits,
            self._cursors,
            self._journals,
            self._keepers,
            self._handing,
        )
        bridged = {"services": self._sockets}
        forwarded = {
            "hub": self.hub,
            "origin": gateways,
            "tasks": self._tasks,
            "metrics": self.metrics,
            "max_body": settings.max_body,
        }
        static = [
            URLSpec(re.escape(prefix) + ".*", StaticHandler, {"files": self._files}) for prefix in self._files.prefixes
        ]
        self._gate = Gate(
            [
                URLSpec(KERNEL_PATH, KernelHandler, bridged),
                URLSpec(TERMINAL_PATH, TerminalHandler, bridged),
                URLSpec(EVENTS_PATH, RelayHandler, {**bridged, "hub": self.hub}),
                URLSpec(r"/health/live", LiveHandler),
                URLSpec(r"/health/ready", ReadyHandler, {"hub": self.hub}),
                *static,
                URLSpec(r".*", ForwardHandler, forwarded),
            ],
            log_function=_log_request,
            websocket_max_message_size=settings.limits.message_bytes,
        )
        self._server = HTTPServer(
            self._gate,
            idle_connection_timeout=HEADER_SECONDS,
            max_body_size=SMALL_BODY_BYTES,  # ForwardHandler, which streams, raises it for itself
            max_buffer_size=settings.limits.message_bytes + MIB,
            max_header_size=64 * 1024,
        )
        self._metrics_server = HTTPServer(metrics_application(self.metrics, self.connections.count_all))
        self._listening: list[socket.socket] = []
        self._is_hurried = False
        self.port = settings.port
        self.metrics_port: int | None = None

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        settings = self._settings
        takes_over = bool(settings.listen_fds) or settings.reuse_port
        if settings.listen_fds:
            self._listening = handed_over(settings.listen_fds)
        else:
            self._listening = listen(settings.host, settings.port, reuse_port=settings.reuse_port)
        self._cursors.open()
        self._handing.open()
        self._keepers.open()
        self.hub.start()
        if settings.metrics_port is not None:
            loopback = listen("127.0.0.1", settings.metrics_port, reuse_port=takes_over)
            self.metrics_port = loopback[0].getsockname()[1]
            self._metrics_server.add_sockets(loopback)
        self._tasks.start(self.connections.ping_for_ever(), "pings")
        self._tasks.start(self._activity.report_for_ever(), "activity")
        self._tasks.start(self._look_again_for_ever(), "keepers")
        self._server.add_sockets(self._listening)
        self.port = self._listening[0].getsockname()[1]
        metrics = f", metrics on 127.0.0.1:{self.metrics_port}" if self.metrics_port else ""
        log.info("the proxy listens on %s:%s%s", settings.host, self.port, metrics)
        if settings.ready_fd is not None:
            os.write(settings.ready_fd, b"ready\n")
            os.close(settings.ready_fd)

    def hurry(self) -> None:
        """Wait no longer for requests that are under way; for a `close` that does."""
        self._is_hurried = True

    async def close(self, *, finish: bool = False) -> None:
        """Take no new connections, write out what waits, close WebSockets with 1012, end; all within seconds.

        With `finish`, because another proxy has taken over, requests that are under way are answered first, for at most
        `finish_seconds`. Closing twice is harmless.
        """
        if self._sockets.is_closing:
            return
        if not self._settings.listen_fds:
            accept_waiting(self._server, self._listening)
        self._server.stop()
        self._metrics_server.stop()
        self._sockets.is_closing = True
        await self.connections.close_all(self._settings.close_seconds)
        await asyncio.sleep(0)  # the closing frames leave
        if finish:
            await self._finish()
        try:
            async with asyncio.timeout(1.0):
                await self._activity.report()  # nothing is open here any more
        except TimeoutError:
            pass
        await self._tasks.close()
        await self._pauses.close()
        self._keepers.close()
        self._handing.close()
        self._cursors.close()
        self._journals.close()
        self._files.close()
        try:
            async with asyncio.timeout(2.0):
                await self._server.close_all_connections()
        except TimeoutError:
            log.warning("some connections did not close in time")
        await self.hub.close()

    async def _look_again_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LEFT_SECONDS)
            self._keepers.look_again(self._cursors.stands)

    async def _finish(self) -> None:
        """Until every request is answered, and who was accepted a moment ago had time to send one."""
        began = time.monotonic()
        deadline = began + self._settings.finish_seconds
        while not self._is_hurried and time.monotonic() < deadline:
            if time.monotonic() - began >= SETTLE_SECONDS and not self._gate.under_way:
                return
            await asyncio.sleep(0.05)
        if left := self._gate.under_way:
            log.warning("%d requests were not answered in time and are cut", left)


def _is_connected(request: HTTPServerRequest) -> bool:
    """Whether the request's connection is open, and still one of HTTP: a WebSocket has taken its stream away."""
    stream = getattr(request.connection, "stream", None)
    return stream is not None and not stream.closed()


def _log_request(handler: RequestHandler) -> None:
    """One line per request, without the query: it can hold what must not be in a log."""
    request = handler.request
    log.debug("%s %s %s %.1f ms", handler.get_status(), request.method, request.path, 1000 * request.request_time())
