"""Messages that the proxy makes itself: states of the kernel, notes, and the question whether anybody is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from proxy.core.wire import Part, Parts

Minter = Callable[[str, dict[str, Any], Part], Parts]
"""Makes the parts of a message from its type, its content and its parent header."""

PROTOCOL = "5.3"
NO_PARENT = b"{}"


def make_minter(session: str, new_id: Callable[[], str], now: Callable[[], datetime]) -> Minter:
    """A minter for one connection: `session` is in all its headers, `new_id` and `now` are asked for each."""

    def mint(msg_type: str, content: dict[str, Any], parent: Part = NO_PARENT) -> Parts:
        header = {
            "msg_id": new_id(),
            "msg_type": msg_type,
            "session": session,
            "username": "kernelhub",
            "date": now().isoformat().replace("+00:00", "Z"),
            "version": PROTOCOL,
        }
        return [msgspec.json.encode(header), parent, b"{}", msgspec.json.encode(content)]

    return mint
