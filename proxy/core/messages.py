"""Messages that the proxy makes itself: states of the kernel, notes, and the question whether anybody is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import msgspec

from proxy.core.wire import Part, Parts

PROTOCOL = "5.3"
USERNAME = "kernelhub"
"""In the headers of all that the program asks or says itself."""
NO_PARENT = b"{}"


class Minter(Protocol):
    """Makes the parts of a message."""

    def __call__(
        self, msg_type: str, content: dict[str, Any], parent: Part = NO_PARENT, session: str | None = None
    ) -> Parts:
        """From its type, its content, its parent header, and the session that it is said for (None: the maker's own).

        JupyterLab takes every change of a header's session for a new kernel and leaves older messages unhandled, so
        what is said in a kernel's place has the kernel's session.
        """


def make_minter(session: str, new_id: Callable[[], str], now: Callable[[], datetime]) -> Minter:
    """A minter for one connection: `session` is in all its headers, `new_id` and `now` are asked for each."""
    own = session

    def mint(msg_type: str, content: dict[str, Any], parent: Part = NO_PARENT, session: str | None = None) -> Parts:
        header = {
            "msg_id": new_id(),
            "msg_type": msg_type,
            "session": session or own,
            "username": USERNAME,
            "date": now().isoformat().replace("+00:00", "Z"),
            "version": PROTOCOL,
        }
        return [msgspec.json.encode(header), parent, b"{}", msgspec.json.encode(content)]

    return mint
