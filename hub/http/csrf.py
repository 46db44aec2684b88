"""Whether a state-changing request was meant: Fetch Metadata, Origin, and a token bound to the sign-in.

All three are checked, each for the attack that the others miss (OWASP Cross-Site Request Forgery Prevention):
Fetch Metadata where the browser sends it, the Origin where it does not, and the token always: a header's
absence is never permission.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from hub.errors import RequestForged

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})


def check_site(headers: Mapping[str, str]) -> None:
    """Raise RequestForged if the browser says that the request comes from elsewhere.

    `Sec-Fetch-Site` must be `same-origin` or `none` when present; the host of `Origin`, or without it of
    `Referer`, must be the request's `Host` when present. (Only hosts are compared: the scheme that a gateway
    was reached by may be unknown here.)
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None and site not in _OWN_SITES:
        raise RequestForged("This request came from another site and was refused.")
    origin = headers.get("Origin")
    source = origin if origin is not None else headers.get("Referer")
    if source is not None and not is_same_host(source, headers.get("Host", "")):
        raise RequestForged("This request came from another site and was refused.")


def check_token(expected: str, given: str | None) -> None:
    """Raise RequestForged unless `given` is the `expected` token; an empty expectation matches nothing."""
    same = hmac.compare_digest(expected.encode(), (given or "").encode("utf-8", "surrogatepass"))
    if not expected or not same:
        raise RequestForged("This page is out of date, or cookies are blocked. Reload it and try again.")


def is_same_host(source: str, host: str) -> bool:
    """Whether an origin or address is one of `host`, the request's Host."""
    try:
        parts = urlsplit(source)
    except ValueError:
        return False
    return bool(host) and parts.scheme in {"http", "https"} and parts.netloc.lower() == host.lower()
