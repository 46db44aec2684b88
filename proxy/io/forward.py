"""Everything that is not bridged or static goes to the hub, streamed both ways.

At most a few pieces of 64 KiB are in memory per direction: each side is read only as fast as the other takes.
A client that leaves ends the hub's request; a hub that dies midway ends the client's answer visibly cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import cast

import aiohttp
from multidict import CIMultiDict
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import stream_request_body

from proxy.core.http_rules import encode_target, response_fields
from proxy.errors import HubAway, Refused
from proxy.io.handler import Origin, PlainHandler, heads_of
from proxy.io.hub_client import HubClient
from proxy.kit import request_ids
from proxy.kit.tasks import TaskOwner
from proxy.metrics import Metrics

HEAD_SECONDS = 300.0
"""Longest time from the end of a request to the head of its answer."""
UPLOAD_IDLE_SECONDS = 60.0
"""A client that sends no piece of its body for so long is given up."""
UNLIMITED = 1 << 62
LINGER_BYTES = 8 * 1024 * 1024
"""So much of a body that the hub did not want is read and thrown away, so that the client sees the answer."""
WHOLE_BYTES = 64 * 1024
"""Answers up to this size are written with their head, in one packet."""


class BodyChannel:
    """The pieces of a request body on their way from client to hub; holds at most one."""

    def __init__(self) -> None:
        self._piece: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._abandoned = asyncio.Event()
        self.is_timed_out = False

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody reads any more."""
        return self._abandoned.is_set()

    async def put(self, piece: bytes | None) -> None:
        """Hand over a piece, None at the end; returns when there is room, or nobody reads any more."""
        if self._piece.empty() and not self.is_abandoned:
            self._piece.put_nowait(piece)
            return
        putting = asyncio.ensure_future(self._piece.put(piece))
        leaving = asyncio.ensure_future(self._abandoned.wait())
        try:
            await asyncio.wait((putting, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            putting.cancel()
            leaving.cancel()

    def abandon(self) -> None:
        """Nobody reads any more."""
        self._abandoned.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises TimeoutError when the client stalls."""
        while True:
            try:
                async with asyncio.timeout(UPLOAD_IDLE_SECONDS):
                    piece = await self._piece.get()
            except TimeoutError:
                self.is_timed_out = True
                raise
            if piece is None:
                return
            yield piece


@stream_request_body
class ForwardHandler(PlainHandler):
    """Sends the request to the hub and its answer back."""

    _exchange: asyncio.Task[aiohttp.ClientResponse] | None = None
    _response: aiohttp.ClientResponse | None = None
    _is_left = False

    def initialize(
        self, hub: HubClient, origin: Origin, tasks: TaskOwner, metrics: Metrics, max_body: int | None
    ) -> None:
        """Take the collaborators."""
        self._hub, self._origin, self._tasks, self._metrics = hub, origin, tasks, metrics
        self._max_body = max_body
        self._body = BodyChannel()
        self._taken_bytes = self._unwanted_bytes = 0
        self._is_too_large = False

    def prepare(self) -> None:
        """Begin the exchange as soon as the head of the request is there."""
        self._began = asyncio.get_running_loop().time()
        self.begin_request()
        self._connection().set_max_body_size(UNLIMITED)  # tornado's own limit answers a bare 400
        address, scheme = self._origin.of(self.request)
        head = heads_of(self.request)
        if self.request.headers.get("Upgrade", "").lower() == "websocket":
            self.refuse(Refused(404, "websocket.not_found", "There is no WebSocket here."))
            return
        fields: CIMultiDict[str] = CIMultiDict(self._origin.fields(self.request, head))
        fields["X-Forwarded-For"], fields["X-Forwarded-Proto"] = address, scheme
        fields[request_ids.HEADER] = self.request_id
        length = head.all("content-length")
        has_body = bool(head.all("transfer-encoding")) or (bool(length) and int(length[0]) > 0)
        if self._max_body is not None and length and int(length[0]) > self._max_body:
            self._is_too_large = True
            self._body.abandon()
            return
        if self._tasks.is_closed:
            self.refuse(Refused(503, "proxy.closing", "This proxy is restarting; try again."))
            return
        target = encode_target(head.target)
        self._exchange = self._tasks.start(
            self._send(head.method, target, fields, self._body.pieces() if has_body else None), "exchange"
        )
        self._exchange.add_done_callback(lambda task: self._body.abandon())

    async def data_received(self, chunk: bytes) -> None:
        """Pass a piece of the body on; the client is read no further until it is taken."""
        self._taken_bytes += len(chunk)
        if self._max_body is not None and self._taken_bytes > self._max_body and self._exchange is not None:
            self._is_too_large = True
            self._exchange.cancel()
            self._body.abandon()
        if not self._body.is_abandoned:
            await self._body.put(chunk)
            return
        self._unwanted_bytes += len(chunk)
        if self._unwanted_bytes > LINGER_BYTES and not self._finished:
            await self._answer()

    async def _answer(self) -> None:
        """The body is there, or not wanted: wait for the answer and relay it."""
        if self._is_too_large or self._exchange is None:
            self.refuse(Refused(413, "http.too_large", "The request's body is too large."))
            return
        await self._body.put(None)
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                self._response = response = await self._exchange
        except asyncio.CancelledError:
            if not self._is_left:
                raise
            return
        except HubAway:
            self._metrics.hub_away.inc()
            self.refuse(self._why_none())
            return
        except TimeoutError:
            self.refuse(Refused(504, "hub.slow", "The hub did not answer in time."))
            return
        try:
            await self._relay(response)
        finally:
            response.close() if self._unwanted_bytes else response.release()
            self._metrics.forward_seconds.observe(asyncio.get_running_loop().time() - self._began)

    get = head = post = put = patch = delete = options = _answer

    def on_connection_close(self) -> None:
        """The client left: so does its request."""
        self._is_left = True
        self._body.abandon()
        if self._exchange is not None:
            self._exchange.cancel()
        if self._response is not None:
            self._response.close()

    async def _send(
        self, method: str, target: str, fields: CIMultiDict[str], body: AsyncIterator[bytes] | None
    ) -> aiohttp.ClientResponse:
        return await self._hub.forward(method, target, fields, body)

    def _why_none(self) -> Refused:
        if self._body.is_timed_out:
            return Refused(408, "http.slow", "The request's body did not arrive in time.")
        return Refused(503, HubAway.code, "The hub is not there at the moment; try again in a few seconds.")

    async def _relay(self, response: aiohttp.ClientResponse) -> None:
        self._write_head(response)
        try:
            if self.request.method != "HEAD":
                await self._relay_body(response)
            if not self._finished:
                await self.finish()
        except StreamClosedError:
            response.close()
        except (aiohttp.ClientError, OSError, TimeoutError):
            # The status has gone out; only a broken connection can say that the rest is missing.
            response.close()
            self._connection().close()

    def _write_head(self, response: aiohttp.ClientResponse) -> None:
        known = response.status in HTTPStatus._value2member_map_
        self.set_status(response.status, None if known else "Unknown")
        for name in list(self._headers):
            self.clear_header(name)
        raw = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)
        for name, value in response_fields(raw):
            self.add_header(name, value)

    async def _relay_body(self, response: aiohttp.ClientResponse) -> None:
        length = response.content_length
        if length is not None and length <= WHOLE_BYTES:
            self.write(await response.read())
            await self.flush()
            return
        self._connection().stream.set_nodelay(True)  # server-sent events must not wait for an acknowledgement
        await self.flush()
        async for piece in response.content.iter_any():
            self.write(piece)
            await self.flush()

    def _connection(self) -> HTTP1Connection:
        return cast(HTTP1Connection, self.request.connection)
