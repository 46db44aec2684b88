"""The headers that every answer carries, and the content security policies of the kinds of answers."""

from __future__ import annotations

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""For the hub's own pages: no inline script or style, nothing from elsewhere, in nobody's frame."""

API_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""For data: were it ever shown as a page, it could do nothing."""

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: with it browsers send `Origin: null` from our own forms (Fetch, "append a request
    # Origin header"), which could not be told from a forged one. To other sites this sends nothing either.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_HSTS = "max-age=31536000"
_OPENERS = {True: "same-origin-allow-popups", False: "same-origin"}
"""What a page may have to do with one that opened it. Users' pages, whose scripts may be anybody's, have another value
than the hub's own: browsers then keep the two in separate browsing context groups, and neither holds the other's
window (HTML, "Cross-origin opener policies")."""


def security_headers(policy: str, https: bool, of_user: bool = False) -> dict[str, str]:
    """The headers for an answer with this content security policy.

    `https`: browsers reach us by it; `of_user`: it is a page under ``/user/``.
    """
    headers = {**_ALWAYS, "Content-Security-Policy": policy, "Cross-Origin-Opener-Policy": _OPENERS[of_user]}
    if https:
        headers["Strict-Transport-Security"] = _HSTS
    return headers
