"""Pages of other origins: which may use a user's Jupyter API, and how browsers are told so.

A page of one of `allowed_origins` (Colab's, VS Code's in the browser) may use everything below ``/user/<name>/`` that
is an API, and proves who it acts for with an API token: in the Authorization header, or in the address where it can
send none. A cookie never counts for a page of another origin, allowed or not: browsers add it by themselves, so it
says nothing about what the user wants. That is why the answer may permit credentials (such pages ask with
``credentials: include``) and gives nothing away by it.

Source: Fetch standard, 3.3 (CORS protocol), and Private Network Access, 2.4. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import Enum

from hub.errors import Forbidden
from hub.http.csrf import is_same_host

MAX_AGE_SECONDS = 600
"""So long may a browser remember the answer to a preflight: Chromium's two hours would outlive a change of settings."""
METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
EXPOSED = "Content-Disposition, ETag, Last-Modified, Location, Retry-After, X-Request-Id"
"""Headers that the pages' scripts may read besides those that every script may."""

_API_PATH = re.compile(r"/user/[^/]+/(?:api|lab/api|files|kernelspecs|nbconvert|lsp)(?:/|\Z)")
_FIELD_NAME = re.compile(r"[a-z0-9-]{1,64}")
_DEFAULT_FIELDS = "accept, authorization, content-type, x-xsrftoken"
MAX_FIELDS = 32


class Source(Enum):
    """Where a request comes from, by its Origin."""

    OWN = "a page of this hub, or no page"
    ALLOWED = "a page of one of the allowed origins"
    FOREIGN = "a page of any other origin"


def source_of(origin: str | None, host: str, allowed: Collection[str]) -> Source:
    """Judge an Origin header; `host` is the request's Host, `allowed` the exact origins of the configuration."""
    if origin is None or is_same_host(origin, host):
        return Source.OWN
    return Source.ALLOWED if origin in allowed else Source.FOREIGN


def is_shared(path: str) -> bool:
    """Whether allowed origins may use this address: the API of a user, and no page."""
    return _API_PATH.match(path) is not None


def answer_headers(origin: str | None, source: Source) -> dict[str, str]:
    """What goes with every answer at a shared address, errors included, so that the page can read them."""
    if origin is None or source is not Source.ALLOWED:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": EXPOSED,
    }


def preflight_headers(asked: Mapping[str, str], source: Source) -> dict[str, str]:
    """What else answers a preflight, whose headers are `asked`: nothing unless the origin is allowed."""
    if source is not Source.ALLOWED:
        return {}
    headers = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": _wanted_fields(asked.get("Access-Control-Request-Headers", "")),
        "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
    }
    if asked.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return headers


def check_socket_origin(origin: str | None, host: str, by_token: bool, allowed: Collection[str]) -> None:
    """Refuse a WebSocket that another site's page opened (CORS does not hold for them). Raises Forbidden.

    Browsers always send an Origin with an upgrade: with a cookie its absence is no permission. A program with a token
    needs none; a page of another origin needs the token and must be allowed.
    """
    if origin is None:
        if not by_token:
            raise Forbidden("A WebSocket opened with a cookie must say its Origin.")
        return
    source = source_of(origin, host, allowed)
    if source is Source.OWN or (source is Source.ALLOWED and by_token):
        return
    if source is Source.ALLOWED:
        raise Forbidden("A page of another site opens WebSockets with an API token only.")
    raise Forbidden("This WebSocket was opened by another site, which is not one of this hub's allowed_origins.")


def _wanted_fields(asked: str) -> str:
    """The header names that a page wants to send, if they are names; an allowed page may send any."""
    names = [name.strip().lower() for name in asked.split(",")]
    named = [name for name in names if _FIELD_NAME.fullmatch(name)]
    return ", ".join(named[:MAX_FIELDS]) or _DEFAULT_FIELDS
