"""Where a redirect may lead: to a path of this hub, and nowhere else.

An open redirect lends the hub's good name to somebody else's page. Jupyter has had eight of them, all from
checking a string that a browser then read differently. So the rule here is narrow: a target is a plain
path under `/user/`, `/user-redirect/` or `/hub/`, in a form that every URL parser reads alike; anything else is
no target. tests/unit/http/test_redirect.py holds the list of attacks.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

MAX_TARGET_CHARS = 4096
_PREFIXES = ("/user/", "/user-redirect/", "/hub/")
_TRAPS = ("/hub/logout", "/hub/login")  # signing in must not end by signing out, or where it began
_DECODINGS = 3  # a gateway or a front end may decode once more than we do


def safe_redirect(target: str, default: str) -> str:
    """`target` if it is a path of this hub that is safe to follow after signing in, else `default`."""
    if not is_local(target) or not target.startswith(_PREFIXES):
        return default
    path = target.partition("?")[0].partition("#")[0]
    if path.rstrip("/") in _TRAPS:
        return default
    return in_ascii(target)


def is_local(target: str) -> bool:
    """Whether every URL parser reads `target` as a path on the server that sent it."""
    if not target.startswith("/") or len(target) > MAX_TARGET_CHARS or not _is_printable(target):
        return False
    path = target.partition("?")[0].partition("#")[0]
    for _ in range(_DECODINGS):
        if not _is_plain_path(path):
            return False
        path = unquote(path)
    return True


def in_ascii(target: str) -> str:
    """`target` with everything that may not stand in a header percent-encoded; what is encoded stays so."""
    return quote(target, safe="/?#[]@!$&'()*+,;=:%-._~")


def _is_plain_path(path: str) -> bool:
    segments = path.split("/")[1:]
    inner = segments[:-1] if segments and segments[-1] == "" else segments
    return (
        path.startswith("/")
        and "\\" not in path
        and _is_printable(path)
        and (path == "/" or "" not in inner)
        and "." not in segments
        and ".." not in segments
    )


def _is_printable(text: str) -> bool:
    return not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text)
