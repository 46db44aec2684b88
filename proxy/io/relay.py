"""The one WebSocket that the hub serves itself (``api/events/subscribe``), passed on message by message.

The hub's own handler judges credentials and origin: it gets the client's headers as a forwarded request does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import aiohttp
from multidict import CIMultiDict
from tornado.websocket import WebSocketClosedError

from proxy.contract.close_codes import CloseCode
from proxy.core.http_rules import encode_target
from proxy.errors import HubAway, Refused
from proxy.io.handler import heads_of
from proxy.io.hub_client import HubClient
from proxy.io.websocket import ChannelHandler, SocketServices

PASSED_CODES = frozenset((1000, 1003, 1007, 1008, 1009, 1011, 1012, 1013))
MESSAGE_BYTES = 4 * 1024 * 1024


class RelayHandler(ChannelHandler):
    """One client's WebSocket to the hub."""

    kind = "relay"
    _downward: asyncio.Task[None] | None = None

    def initialize(self, services: SocketServices, hub: HubClient) -> None:  # type: ignore[override]
        """Take the collaborators."""
        super().initialize(services)
        self._hub = hub

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """What the hub selected."""
        return self._upstream.protocol

    async def reach(self) -> None:
        """See `ChannelHandler.reach`."""
        head = heads_of(self.request)
        address, scheme = self._services.origin.of(self.request)
        fields: CIMultiDict[str] = CIMultiDict(self._services.origin.fields(self.request, head))
        for name in [name for name in fields if name.lower().startswith("sec-websocket-")]:
            fields.pop(name, None)
        fields["X-Forwarded-For"], fields["X-Forwarded-Proto"] = address, scheme
        offered = [p.strip() for value in head.all("sec-websocket-protocol") for p in value.split(",")]
        try:
            self._upstream = await self._hub.open_websocket(encode_target(head.target), fields, offered, MESSAGE_BYTES)
        except HubAway as error:
            raise Refused(503, HubAway.code, "The hub is not there at the moment; try again.") from error
        self._resources.push_async_callback(self._upstream.close)

    def begin(self) -> None:
        """See `ChannelHandler.begin`."""
        self._downward = self._services.tasks.start(self._pass_down(), "relay.down")

    def receive(self, message: str | bytes) -> Awaitable[None] | None:
        """See `ChannelHandler.receive`."""
        return self._pass_up(message)

    def release(self) -> None:
        """See `ChannelHandler.release`."""
        if self._downward is not None:
            self._downward.cancel()

    async def _pass_up(self, message: str | bytes) -> None:
        try:
            if isinstance(message, str):
                await self._upstream.send_str(message)
            else:
                await self._upstream.send_bytes(message)
        except (aiohttp.ClientError, OSError):
            self.end(CloseCode.SERVICE_RESTART, "the hub is gone")

    async def _pass_down(self) -> None:
        try:
            async for message in self._upstream:
                if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    await self.write_message(message.data, binary=message.type is aiohttp.WSMsgType.BINARY)
        except WebSocketClosedError:
            return
        code = self._upstream.close_code or 0
        # A hub that vanished comes back: 1012 has the front end connect again.
        self.close(code if code in PASSED_CODES or 3000 <= code < 5000 else int(CloseCode.SERVICE_RESTART))
