"""The question a proxy asks the hub before a client's message goes into a paused container, and the answer.

``POST /internal/thaw`` with a `ThawQuestion`, answered by a `ThawAnswer` as soon as the container goes on. A container
that runs is thawed already, so that asking twice does no harm. When the hub does not answer, the proxy asks again: the
message is in the kernel's socket by then, and waits there.
"""

from __future__ import annotations

import msgspec


class ThawQuestion(msgspec.Struct, frozen=True):
    """Have this workspace's container go on: a message for it is under way."""

    workspace_id: str


class ThawAnswer(msgspec.Struct, frozen=True):
    """Whether the container goes on now; `reason` says in words why it does not, and is empty when it does.

    Not `thawed` for good is a workspace that runs no more; of an engine that is silent it is worth asking again,
    which `again` says.
    """

    thawed: bool
    reason: str = ""
    again: bool = False
