"""Messages of the agent protocol, version 1, as hub and proxies read them.

docs/reference/agent-protocol.md is the specification. What an agent says is untrusted: `decode_reply` accepts
only these shapes, bounded in size, and no value from here may become a path or an address.
"""

from __future__ import annotations

from typing import Any

import msgspec

PROTOCOL_VERSION = 1
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
AGENT_SOCKET = "agent.sock"


class KernelInfo(msgspec.Struct, frozen=True):
    """The agent's view of one kernel.

    `state` is one of starting, idle, busy, restarting, dead. `generation` grows with each restart. Times ending
    in ``_at`` are seconds since the epoch by the agent's clock; `idle_seconds` is monotonic and zero while busy.
    `heartbeat_seconds` is the age of the last echo, None before the first.
    """

    kernel_id: str
    name: str
    state: str
    generation: int
    started_at: float
    last_activity_at: float
    idle_seconds: float
    executions: int
    pid: int | None = None
    rss_bytes: int = 0
    cpu_seconds: float = 0.0
    heartbeat_seconds: float | None = None
    reason: str | None = None
    exit_status: int | None = None


class ContainerInfo(msgspec.Struct, frozen=True):
    """Use and limits of the whole container, from its cgroup; None where the cgroup does not say."""

    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_seconds: float | None = None
    oom_kills: int = 0
    agent_rss_bytes: int = 0


class TerminalInfo(msgspec.Struct, frozen=True):
    """One terminal. `idle_seconds` since its last input or output."""

    name: str
    last_activity_at: float
    idle_seconds: float


class Kernelspec(msgspec.Struct, frozen=True):
    """A kernelspec of the image: the parsed ``kernel.json`` and the names of its resource files."""

    name: str
    spec: dict[str, Any]
    resources: list[str]


class Hello(msgspec.Struct, frozen=True):
    """Answer to ``hello``."""

    protocol: int
    version: str
    started_at: float
    default_kernel: str | None
    kernelspecs: list[Kernelspec]


class Status(msgspec.Struct, frozen=True):
    """Answer to ``status``: everything about the container, in one message."""

    kernels: list[KernelInfo]
    terminals: list[TerminalInfo]
    container: ContainerInfo


class Attachment(msgspec.Struct, frozen=True):
    """Answer to ``kernel.attach``: what a client of the kernel's sockets needs, and where it stands now."""

    kernel: KernelInfo
    key: str
    signature_scheme: str


class Resource(msgspec.Struct, frozen=True):
    """Answer to ``kernelspec.resource``: base64 of the file."""

    data: str


class TerminalAttachment(msgspec.Struct, frozen=True):
    """Answer to ``terminal.attach``: the bounded scrollback, as text."""

    name: str
    scrollback: str


class KernelEvent(msgspec.Struct, frozen=True, tag_field="event", tag="kernel"):
    """Pushed to every watcher, and to those attached to this kernel, when state or generation changes."""

    kernel: KernelInfo


class TerminalOutput(msgspec.Struct, frozen=True, tag_field="event", tag="terminal.output"):
    """Pushed to those attached to a terminal."""

    name: str
    data: str


class TerminalExit(msgspec.Struct, frozen=True, tag_field="event", tag="terminal.exit"):
    """Pushed to those attached to a terminal when its shell ended."""

    name: str


AgentEvent = KernelEvent | TerminalOutput | TerminalExit
