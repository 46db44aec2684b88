"""The tornado application, made the same way for the service and for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tornado.http1connection
import tornado.httputil
import tornado.routing
import tornado.web

from hub.http.access_log import log_request
from hub.http.handler import HubHandler, NothingHere
from hub.http.held_bytes import HeldBytes
from hub.http.services import Services
from hub.http.streaming import BodyTooLarge


class HubApplication(tornado.web.Application):
    """Knows how large a body may be before its first byte is read.

    tornado gathers the whole body and only then calls `prepare`; without this, anybody could make the hub hold
    as much as the largest upload, at any address.
    """

    def get_handler_delegate(
        self,
        request: tornado.httputil.HTTPServerRequest,
        target_class: type[tornado.web.RequestHandler],
        *rest: Any,
        **named: Any,
    ) -> Any:
        """See tornado.web.Application; called with the head of the request."""
        if issubclass(target_class, HubHandler):
            limit = target_class.body_limit(self.settings["services"].settings)
            announced = request.headers.get("Content-Length", "0")
            if announced.isdigit() and int(announced) > limit:
                return super().get_handler_delegate(request, BodyTooLarge, {"limit": limit})
            if isinstance(request.connection, tornado.http1connection.HTTP1Connection):
                request.connection.set_max_body_size(limit)
        return super().get_handler_delegate(request, target_class, *rest, **named)


def make_application(
    services: Services, routes: Sequence[tornado.routing.URLSpec], error_page: Any = None
) -> tornado.web.Application:
    """An application of `routes` (all of them HubHandlers).

    `error_page(handler, error) -> str` renders errors for people. tornado's own XSRF cookie and ETags are
    off: hub.http.handler does the one better and has no use for the other.
    """
    return HubApplication(
        list(routes),
        default_handler_class=NothingHere,
        log_function=log_request,
        services=services,
        error_page=error_page,
        held_bytes=HeldBytes(),
        xsrf_cookies=False,
        compress_response=False,
    )
