"""The tornado application, made the same way for the service and for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tornado.routing
import tornado.web

from hub.http.access_log import log_request
from hub.http.handler import NothingHere
from hub.http.services import Services


def make_application(
    services: Services, routes: Sequence[tornado.routing.URLSpec], error_page: Any = None
) -> tornado.web.Application:
    """An application of `routes` (all of them HubHandlers).

    `error_page(handler, error) -> str` renders errors for people. tornado's own XSRF cookie and ETags are
    off: hub.http.handler does the one better and has no use for the other.
    """
    return tornado.web.Application(
        list(routes),
        default_handler_class=NothingHere,
        log_function=log_request,
        services=services,
        error_page=error_page,
        xsrf_cookies=False,
        compress_response=False,
    )
