"""What a proxy asks the hub when a workspace's agent is lost: have its kernels ended, and why?

``POST /internal/ends`` with an `EndsQuestion`, answered by an `EndsAnswer`. The hub asks the engine, and holds its
answer for a few seconds while that is not sure: an agent is lost a moment before the engine knows of the end. A kernel
that is not listed still runs, or nobody knows; nothing follows from that.
"""

from __future__ import annotations

import msgspec

ANSWER_SECONDS = 3.0
"""How long the hub may hold its answer; who asks waits a little longer."""


class EndsQuestion(msgspec.Struct, frozen=True):
    """The kernels of one workspace that this proxy has connections to."""

    workspace_id: str
    kernel_ids: list[str]


class KernelEnd(msgspec.Struct, frozen=True):
    """A kernel that is no more. `by_user`: its own user wanted it so, and need not be told in the notebook."""

    kernel_id: str
    reason: str
    by_user: bool


class EndsAnswer(msgspec.Struct, frozen=True):
    """The kernels, of those asked about, that have ended for good."""

    ended: list[KernelEnd]
