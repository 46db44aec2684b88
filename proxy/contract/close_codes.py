"""WebSocket close codes, in one table.

JupyterLab does not reconnect after 1000 and 1001, so a proxy that restarts uses 1012. Source: RFC 6455 7.4,
the IANA registry, and the reconnect logic of @jupyterlab/services.
"""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """Why the proxy closes a connection."""

    NORMAL = 1000
    POLICY = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    SIGNED_OUT = 4401
    KERNEL_GONE = 4404
