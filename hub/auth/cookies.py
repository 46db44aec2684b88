"""The cookies: their names and flags, how they are read, and the form token that is bound to one.

The *sign-in cookie* holds the secret of a sign-in. The *form cookie* is given to browsers that are not signed in
yet, so that the sign-in form too can prove that it was ours; the *attempt cookie* to those whose password was right and
whose second factor is still to come. Where browsers use https
all have the ``__Host-`` prefix: no sibling domain and no narrower path can then plant one (CVE-2024-28233).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TypedDict

MAX_HEADER_CHARS = 16 * 1024
_NAME = "kernelhub"
_FORM_NAME = "kernelhub-form"
_ATTEMPT_NAME = "kernelhub-attempt"


class CookieFlags(TypedDict):
    """What both cookies are set with, as keyword arguments of tornado's `set_cookie`."""

    path: str
    httponly: bool
    secure: bool
    samesite: str


def sign_in_cookie_name(secure: bool) -> str:
    """The name of the cookie that holds a sign-in's secret; `secure`: browsers reach the hub by https."""
    return f"__Host-{_NAME}" if secure else _NAME


def form_cookie_name(secure: bool) -> str:
    """The name of the cookie that the form token of somebody who is not signed in is bound to."""
    return f"__Host-{_FORM_NAME}" if secure else _FORM_NAME


def attempt_cookie_name(secure: bool) -> str:
    """The name of the cookie of somebody whose password was right and whose second factor is still to come."""
    return f"__Host-{_ATTEMPT_NAME}" if secure else _ATTEMPT_NAME


def cookie_flags(secure: bool) -> CookieFlags:
    """Host-wide, unreadable by scripts, not sent by other sites' forms."""
    return {"path": "/", "httponly": True, "secure": secure, "samesite": "Lax"}


def read_cookie(header: str, name: str) -> str | None:
    """The value of the cookie `name` in a Cookie header, None when it is absent.

    Also None when the name occurs twice with different values: then one of them was planted, and a browser
    does not say which. (Python's own parser takes time that grows with the square of the header's length.)
    """
    if len(header) > MAX_HEADER_CHARS:
        return None
    values = set()
    for part in header.split(";"):
        found, _, value = part.strip().partition("=")
        if found == name and value:
            values.add(value.strip('"'))
    return values.pop() if len(values) == 1 else None


def form_token(cookie_value: str) -> str:
    """What forms and front ends send back, derived from a cookie's secret without telling it."""
    return hmac.new(cookie_value.encode(), b"kernelhub form token", hashlib.sha256).hexdigest()
