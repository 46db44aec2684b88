"""What all HTTP handlers of the proxy share: no Server header, plain errors, no ETags of its own."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from proxy.core.http_rules import Gateways, Heads, Vouching, request_fields
from proxy.errors import Refused
from proxy.kit import request_ids

RETRY_SECONDS = 2


def heads_of(request: HTTPServerRequest) -> Heads:
    """The head of a request, as the rules want it."""
    return Heads(request.method or "", request.version, request.uri or "", list(request.headers.get_all()))


def peer_of(request: HTTPServerRequest) -> str:
    """The address at the other end of the connection; a Unix socket has none."""
    return request.remote_ip or "127.0.0.1"


class PlainHandler(RequestHandler):
    """Base: errors are one sentence, as text, or as JSON beneath ``/api/``. Each request has an id."""

    request_id: str = ""

    def begin_request(self) -> None:
        """Give the request its id, which logs of this process, the hub and the agent will carry."""
        self.request_id = request_ids.new_request_id()
        request_ids.current.set(self.request_id)
        self.set_header(request_ids.HEADER, self.request_id)

    def set_default_headers(self) -> None:
        """Name no software."""
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")

    def compute_etag(self) -> str | None:
        """None: tornado would hash every answer."""
        return None

    def refuse(self, refused: Refused, *, is_last: bool = False) -> asyncio.Future[None]:
        """Finish with an error; what is returned is done when it has been written.

        `is_last`: the client is told that its connection ends with this answer.
        """
        self.clear()
        if is_last:
            self.set_header("Connection", "close")
        if self.request_id:
            self.set_header(request_ids.HEADER, self.request_id)
        self.set_status(refused.status, None if refused.status < 600 else "Error")
        self.set_header("Cache-Control", "no-store")
        if refused.status in (502, 503):
            self.set_header("Retry-After", str(RETRY_SECONDS))
        if "/api/" in self.request.path:
            self.set_header("Content-Type", "application/json")
            body = {"message": refused.message, "reason": None, "code": refused.code}
            return self.finish(msgspec.json.encode(body))
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        return self.finish(refused.message + "\n")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What tornado itself refuses, and our own mistakes, without a traceback."""
        reason = "The request cannot be answered." if status_code >= 500 else "The request was refused."
        self.refuse(Refused(status_code, f"http.{status_code}", reason))


class RefusingHandler(PlainHandler):
    """Answers every method with one refusal, whatever was asked."""

    def initialize(self, refused: Refused) -> None:
        """Take the refusal to give."""
        self._refused = refused

    async def prepare(self) -> None:
        """Refuse. What follows a malformed request on its connection could be anything, so that ends too."""
        is_malformed = self._refused.status == 400
        try:
            await self.refuse(self._refused, is_last=is_malformed)
        except StreamClosedError:
            return
        if is_malformed:
            cast(HTTP1Connection, self.request.connection).close()


class Origin:
    """Who a request comes from, gateways taken into account."""

    def __init__(self, gateways: Gateways, vouching: Vouching | None = None) -> None:
        self._gateways = gateways
        self._vouching = vouching or Vouching()

    def fields(self, request: HTTPServerRequest, head: Heads) -> list[tuple[str, str]]:
        """The request's fields that go on to the hub, with what a gateway says about who this is."""
        said = self._vouching.said(peer_of(request), head.fields)
        return request_fields(self._vouching.without(head.fields), said)

    def of(self, request: HTTPServerRequest) -> tuple[str, str]:
        """The client's address and scheme."""
        return self._gateways.client(peer_of(request), request.protocol, heads_of(request))
