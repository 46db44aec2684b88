"""One line per request: no query, no header, no body and no one-time link, and nothing that moves the cursor.

Queries may hold tokens and file names' contents, so they are left out; what is left comes from strangers,
so it is shortened and control characters are escaped before anyone's terminal sees them.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from hub import metrics

if TYPE_CHECKING:
    import tornado.web

log = logging.getLogger("kernelhub.access")

MAX_SHOWN_CHARS = 200
_ONE_TIME_LINK = re.compile(r"(?i)\A(/hub/(?:setup|invitation|lti/register)/).+", re.DOTALL)
_QUIET_PATHS = frozenset({"/health/live", "/health/ready", "/metrics", "/internal/activity"})


def printable(text: str, limit: int = MAX_SHOWN_CHARS) -> str:
    """`text` cut to `limit` characters, with control, invisible and direction-changing characters escaped."""
    shown = text[:limit]
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    return escaped + ("…" if len(text) > limit else "")


def shown_path(path: str) -> str:
    """A request's path as it may stand in a log: the secret of a one-time link opens an account while it is unused."""
    return printable(_ONE_TIME_LINK.sub(r"\1…", path))


def log_request(handler: tornado.web.RequestHandler) -> None:
    """Write the line and count the request; given to tornado as its `log_function`."""
    request = handler.request
    status = handler.get_status()
    seconds = request.request_time()
    metrics.observe_request(type(handler).__name__, request.method or "", status, seconds)
    if request.path in _QUIET_PATHS and status < 400:
        return
    identity: Any = getattr(handler, "found_identity", None)
    fields = {
        "method": printable(request.method or "", 16),
        "path": shown_path(request.path),
        "status": status,
        "ms": round(seconds * 1000, 1),
        "user": identity.user.id if identity is not None else "-",
        "from": printable(getattr(handler, "address", ""), 64) or "-",
        "request": getattr(handler, "request_id", "-"),
    }
    log.log(
        logging.ERROR if status >= 500 and status != 503 else logging.INFO,
        "%(method)s %(path)s %(status)d %(ms).1fms user=%(user)s from=%(from)s request=%(request)s",
        fields,
        extra={"fields": fields},
    )
