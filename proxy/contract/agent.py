"""Messages of the agent protocol, version 1, as hub and proxies read them.

docs/reference/agent-protocol.md is the specification. What an agent says is untrusted:
`proxy.kit.agent_wire` accepts only these shapes, bounded in size and form, and no value from here may become a
path or an address.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

PROTOCOL_VERSION = 1
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
AGENT_SOCKET = "agent.sock"
KERNEL_SOCKETS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}
"""The number at the end of each socket's name, ``<kernel_id>-<number>`` (Jupyter's ipc transport)."""

KernelIdText = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
KernelStateText = Annotated[str, msgspec.Meta(pattern=r"^(starting|idle|busy|restarting|dead)\Z")]
SpecNameText = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}\Z")]
TerminalNameText = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
ProgramText = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{0,63}\Z")]
FileNameText = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}\Z")]
ReasonText = Annotated[str, msgspec.Meta(max_length=20_000)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Span = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class KernelInfo(msgspec.Struct, frozen=True):
    """The agent's view of one kernel.

    `state` is one of starting, idle, busy, restarting, dead. `generation` grows with each restart. Times ending
    in ``_at`` are seconds since the epoch by the agent's clock; `idle_seconds` is monotonic and zero while busy.
    `heartbeat_seconds` is the age of the last echo, None before the first.
    `reason` and `exit_status` (negative: a signal) tell of the last death that nobody asked for, also after the
    automatic restart that followed; None again after a requested restart.

    `journal_last` is the number of the last record in its journal. `control_seconds` is the age of the oldest
    request on its control channel that is unanswered, 0 when the last one was answered, None when it was never asked
    or is of a kind that may answer there only between cells. `cpu_recent` is how many processors its processes used
    over about the last 10 s, None when not known yet. `restarts` counts those that nobody asked for. `ending`: somebody
    else than its user has begun to end it, for `reason`; its journal tells its cells of that, and not of the interrupt.
    `hands_over`: its sockets are known to hear a new connection by the name of one that they take for open still.
    """

    kernel_id: KernelIdText
    name: SpecNameText
    state: KernelStateText
    generation: Whole
    started_at: Span
    last_activity_at: Span
    idle_seconds: Span
    executions: Whole
    pid: Whole | None = None
    rss_bytes: Whole = 0
    cpu_seconds: Span = 0.0
    heartbeat_seconds: Span | None = None
    reason: ReasonText | None = None
    exit_status: int | None = None
    journal_last: Whole = 0
    control_seconds: Span | None = None
    cpu_recent: Span | None = None
    restarts: Whole = 0
    ending: bool = False
    hands_over: bool = False


class ContainerInfo(msgspec.Struct, frozen=True):
    """Use and limits of the whole container, from its cgroup; None where the cgroup does not say.

    `uptime_seconds`: for how long the agent has run, by a monotonic clock; None of an agent that does not say.
    """

    memory_bytes: Whole | None = None
    memory_limit_bytes: Whole | None = None
    cpu_seconds: Span | None = None
    oom_kills: Whole = 0
    agent_rss_bytes: Whole = 0
    uptime_seconds: Span | None = None


class TerminalInfo(msgspec.Struct, frozen=True):
    """One terminal. `idle_seconds` since its last input or output."""

    name: TerminalNameText
    last_activity_at: Span
    idle_seconds: Span


class JobInfo(msgspec.Struct, frozen=True):
    """A program of the agent's own that it runs for the hub beside the kernels, such as ``git_pull``.

    `exit_status` is None while it runs; negative: a signal. `reason` is the last that it wrote to stderr, if it
    failed. `output_bytes` is all that it has written so far, of
    which `job.read` gives what was kept.
    """

    job_id: KernelIdText
    program: ProgramText
    started_at: Span
    output_bytes: Whole = 0
    ended_at: Span | None = None
    exit_status: int | None = None
    reason: ReasonText | None = None


class JobOutput(msgspec.Struct, frozen=True):
    """Answer to ``job.read``: whole lines of what the program wrote (each a JSON object), from `offset` on.

    `offset` is larger than what was asked for when the lines in between were dropped; `next_offset` is where to
    go on.
    """

    job: JobInfo
    offset: Whole
    next_offset: Whole
    text: Annotated[str, msgspec.Meta(max_length=MAX_MESSAGE_BYTES)]


class Kernelspec(msgspec.Struct, frozen=True):
    """A kernelspec of the image: the parsed ``kernel.json``, the names of its resource files, and its folder.

    `folder` is only shown, never opened: it is a path inside the container.
    """

    name: SpecNameText
    spec: dict[str, Any]
    resources: Annotated[list[FileNameText], msgspec.Meta(max_length=100)]
    folder: Annotated[str, msgspec.Meta(max_length=4096)] = ""


class Hello(msgspec.Struct, frozen=True):
    """Answer to ``hello``."""

    protocol: Whole
    version: Annotated[str, msgspec.Meta(max_length=64)]
    started_at: Span
    default_kernel: SpecNameText | None
    kernelspecs: Annotated[list[Kernelspec], msgspec.Meta(max_length=64)]


class Status(msgspec.Struct, frozen=True):
    """Answer to ``status``: everything about the container, in one message."""

    kernels: Annotated[list[KernelInfo], msgspec.Meta(max_length=64)]
    terminals: Annotated[list[TerminalInfo], msgspec.Meta(max_length=32)]
    container: ContainerInfo
    jobs: Annotated[list[JobInfo], msgspec.Meta(max_length=64)] = []


class Attachment(msgspec.Struct, frozen=True):
    """Answer to ``kernel.attach``: what a client of the kernel's sockets needs, and where it stands now.

    `session` is the agent's own: messages on IOPub with it in their parent header answer the agent's own requests
    (such as the one on the control channel every few seconds) and are for nobody else. "" when it is not known.
    """

    kernel: KernelInfo
    key: Annotated[str, msgspec.Meta(max_length=256)]
    signature_scheme: Annotated[str, msgspec.Meta(pattern=r"^hmac-sha256\Z")]
    session: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{32})?\Z")] = ""


class Execution(msgspec.Struct, frozen=True):
    """One execution in a kernel's process: `number` counts from 1, `execution_count` is the kernel's own."""

    number: Whole
    execution_count: Whole
    code: Annotated[str, msgspec.Meta(max_length=64 * 1024)]
    at: Span


class Executions(msgspec.Struct, frozen=True):
    """Answer to ``kernel.executions``: those that are kept of the process of this `generation`, oldest first.

    `total` is how many there have been in it: the oldest are forgotten, and one answer may not hold all.
    """

    generation: Whole
    executions: Annotated[list[Execution], msgspec.Meta(max_length=4000)]
    total: Whole


class JournalExtent(msgspec.Struct, frozen=True):
    """Answer to ``journal.sync``: the first and last record of a kernel's journal (0 and 0: none), its size, and what
    it has lost since the kernel's birth.
    """

    first: Whole
    last: Whole
    bytes: Whole
    lost_messages: Whole
    lost_bytes: Whole


class Resource(msgspec.Struct, frozen=True):
    """Answer to ``kernelspec.resource``: base64 of the file."""

    data: str


class TerminalAttachment(msgspec.Struct, frozen=True):
    """Answer to ``terminal.attach``: the bounded scrollback, as text."""

    name: TerminalNameText
    scrollback: str


class KernelEvent(msgspec.Struct, frozen=True, tag_field="event", tag="kernel"):
    """Pushed to every watcher, and to those attached to this kernel, when state or generation changes."""

    kernel: KernelInfo


class TerminalOutput(msgspec.Struct, frozen=True, tag_field="event", tag="terminal.output"):
    """Pushed to those attached to a terminal."""

    name: TerminalNameText
    data: str


class TerminalExit(msgspec.Struct, frozen=True, tag_field="event", tag="terminal.exit"):
    """Pushed to those attached to a terminal when its shell ended."""

    name: TerminalNameText


AgentEvent = KernelEvent | TerminalOutput | TerminalExit
