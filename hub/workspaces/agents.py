"""The hub's connections to the agents of running workspaces, and what they last said.

One `AgentClient` per running workspace, opened when first needed and kept. The hub watches every agent, so that
kernels' states are read from memory; what an agent says is used only after `_sane` has bounded it. While a workspace
is paused, what its agent said last is what is known, and any request to it lets the container go on first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from hub import metrics
from hub.domain.health import Health
from hub.domain.ids import KernelId, WorkspaceId
from hub.domain.kernels import KernelState
from hub.domain.workspace import Workspace
from hub.errors import (
    AgentSilent,
    BadRequest,
    Conflict,
    HubError,
    KernelNotReady,
    NotFound,
    StartFailed,
    UnknownKernelspec,
)
from hub.spawn.folders import Folders
from hub.workspaces.health import Healths, Judged, Signs, Word
from hub.workspaces.punctuality import Punctuality
from proxy.contract.agent import AgentEvent, ContainerInfo, Hello, JobInfo, KernelEvent, KernelInfo, TerminalInfo
from proxy.kit.agent_client import AgentClient, AgentRefused
from proxy.kit.agent_client import AgentSilent as ClientSilent
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)
T = TypeVar("T")
Resume = Callable[[], Awaitable[None]]
"""Lets a paused workspace go on. Raises a HubError when that cannot be."""

STATUS_MAX_AGE_SECONDS = 2.0
GREET_SECONDS = 5.0
MAX_KERNELS_BELIEVED = 256
MAX_REASON_CHARS = 500
MAX_SPAN_SECONDS = 10.0 * 365 * 86400


@dataclass(frozen=True, slots=True)
class LiveKernel:
    """What an agent said of a kernel, bounded: `heard_at` is on the hub's monotonic clock.

    `heartbeat_seconds`: age of the last echo, None before the first. `control_seconds`: how long a question on the
    control channel is unanswered, zero when the last was answered, None when it is not asked. `cpu_recent`: processors
    in use over the last seconds, None when not known. `restarts`: how often it was started again by itself.
    `journal_last`: the number of the last record in its journal.
    """

    id: KernelId
    spec_name: str
    state: KernelState
    executions: int
    idle_for: timedelta
    heard_at: float
    rss_bytes: int
    cpu_seconds: float
    reason: str | None
    generation: int
    heartbeat_seconds: float | None = None
    control_seconds: float | None = None
    cpu_recent: float | None = None
    restarts: int = 0
    exit_status: int | None = None
    journal_last: int = 0

    @property
    def signs(self) -> Signs:
        """The signals that its health is judged from."""
        return Signs(
            _span(self.heartbeat_seconds), _span(self.control_seconds), self.cpu_recent, self.restarts, self.exit_status
        )

    def idle_now(self, monotonic: float) -> timedelta:
        """How long the kernel has been idle by now; zero unless it is idle."""
        if self.state is not KernelState.IDLE:
            return timedelta(0)
        return self.idle_for + timedelta(seconds=max(0.0, monotonic - self.heard_at))


@dataclass(frozen=True, slots=True)
class Live:
    """One workspace's last status: `heard_at` is on the hub's monotonic clock.

    `is_told`: an agent said so; else it is what the database knows of a paused workspace, and of terminals that is
    nothing.
    """

    heard_at: float
    kernels: dict[KernelId, LiveKernel]
    terminals: list[TerminalInfo]
    container: ContainerInfo
    jobs: list[JobInfo] = field(default_factory=list)
    is_told: bool = True


class Agents:
    """Asks agents, and remembers their answers for a moment."""

    def __init__(self, folders: Folders, clock: Clock, punctuality: Punctuality | None = None) -> None:
        self._folders = folders
        self._clock = clock
        self._healths = Healths(clock, punctuality)
        self._clients: dict[WorkspaceId, AgentClient] = {}
        self._live: dict[WorkspaceId, Live] = {}
        self._watched: set[WorkspaceId] = set()
        self._held: dict[WorkspaceId, Resume] = {}
        self.on_kernel: Callable[[WorkspaceId, LiveKernel], None] = lambda _workspace, _kernel: None
        self.on_lost: Callable[[WorkspaceId], None] = lambda _workspace: None

    def client(self, workspace_id: WorkspaceId) -> AgentClient:
        """The connection to a workspace's agent, opened now if it is not yet.

        The run folder was made and given its owner by the hub; a container's user cannot change either, so
        its owner is the uid that every socket in it must have. Raises AgentSilent if there is no folder.
        """
        client = self._clients.get(workspace_id)
        if client is None:
            folder = self._folders.run(workspace_id)
            client = AgentClient(folder, _owner(folder))
            client.on_event = lambda event: self._heard(workspace_id, event)
            client.on_lost = lambda: self._lost(workspace_id)
            self._clients[workspace_id] = client
            if (resume := self._held.get(workspace_id)) is not None:
                client.hold(_in_clients_words(resume))
        return client

    def hold(self, workspace_id: WorkspaceId, resume: Resume, known: Live | None = None) -> None:
        """The workspace is paused: its agent is asked nothing until `resume` was awaited, once for all who ask.

        `known` stands for its status when no agent has told one.
        """
        self._held[workspace_id] = resume
        if known is not None:
            self._live.setdefault(workspace_id, known)
        if (client := self._clients.get(workspace_id)) is not None:
            client.hold(_in_clients_words(resume))

    def release(self, workspace_id: WorkspaceId) -> None:
        """The workspace goes on: its agent is asked again, and what it said before is old."""
        if self._held.pop(workspace_id, None) is None:
            return
        self._live.pop(workspace_id, None)
        if (client := self._clients.get(workspace_id)) is not None:
            client.release()

    def is_held(self, workspace_id: WorkspaceId) -> bool:
        """Whether it is taken for paused."""
        return workspace_id in self._held

    def is_asking(self, workspace_id: WorkspaceId) -> bool:
        """Whether an answer of its agent is awaited."""
        client = self._clients.get(workspace_id)
        return client is not None and client.unanswered > 0

    async def wake(self, workspace_id: WorkspaceId) -> None:
        """Have a paused workspace go on, before anything is asked of it. Raises EngineSilent, Conflict."""
        if (resume := self._held.get(workspace_id)) is not None:
            await resume()

    def gave_back(self, workspace_id: WorkspaceId, given_bytes: int) -> None:
        """So much of a paused workspace's memory is the machine's again."""
        live = self._live.get(workspace_id)
        if live is not None and live.container.memory_bytes is not None and workspace_id in self._held:
            left = msgspec.structs.replace(
                live.container, memory_bytes=max(0, live.container.memory_bytes - given_bytes)
            )
            self._live[workspace_id] = replace(live, container=left)

    async def greet(self, workspace_id: WorkspaceId, timeout: float = GREET_SECONDS) -> Hello:
        """Say hello and watch from now on. Raises AgentSilent when nobody answers within `timeout` seconds."""
        hello = await ask(self.client(workspace_id).hello(timeout))
        await self._watch(workspace_id)
        return hello

    async def status(self, workspace_id: WorkspaceId, max_age: float = STATUS_MAX_AGE_SECONDS) -> Live:
        """What the agent says now, or said at most `max_age` seconds ago. Raises AgentSilent.

        Of a paused workspace it is what is known, however old; that lets nothing go on.
        """
        known = self._live.get(workspace_id)
        if workspace_id in self._held:
            if known is None:
                raise AgentSilent("Your container is paused; it goes on when it is needed.")
            return known
        if known is not None and self._clock.monotonic() - known.heard_at <= max_age:
            return known
        await self._watch(workspace_id)
        try:
            with metrics.timed(metrics.POLLS, "running", "unknown"):
                status = await ask(self.client(workspace_id).status())
        except AgentSilent:
            self._healths.lose(workspace_id)
            raise
        now = self._clock.monotonic()
        kernels = [_sane(info, now) for info in status.kernels[:MAX_KERNELS_BELIEVED]]
        live = Live(now, {kernel.id: kernel for kernel in kernels}, status.terminals, status.container, status.jobs)
        self._live[workspace_id] = live
        self._healths.keep_only(workspace_id, set(live.kernels))
        for kernel in kernels:
            self._hear(workspace_id, kernel)
        return live

    def health(self, kernel: Judged, workspace: Workspace) -> Health:
        """How a kernel of this workspace is, from what was last heard; `unknown` when that was not lately."""
        return self._healths.of(kernel, workspace)

    def interrupted(self, workspace_id: WorkspaceId, kernel_id: KernelId) -> None:
        """An interrupt was sent to a kernel: its health depends on whether that helps."""
        self._healths.interrupted(workspace_id, kernel_id)

    async def farewell(self, workspace_id: WorkspaceId, kernel_ids: Iterable[KernelId], reason: str) -> None:
        """Have notebooks told why their kernels are about to be ended. An agent that cannot be asked is no obstacle."""
        try:
            client = self.client(workspace_id)
            words = (client.farewell_kernel(kernel_id, reason) for kernel_id in kernel_ids)
            await asyncio.gather(*words, return_exceptions=True)
        except AgentSilent:
            pass

    def forget_status(self, workspace_id: WorkspaceId) -> None:
        """Make the next `status` ask again: something was just changed. Nothing changes in a paused workspace."""
        if workspace_id not in self._held:
            self._live.pop(workspace_id, None)

    def connected(self, workspace_id: WorkspaceId) -> bool:
        """Whether its agent was greeted or asked, and has not been lost since."""
        return workspace_id in self._watched

    async def drop(self, workspace_id: WorkspaceId) -> None:
        """Close the connection: the workspace is stopped, or will be greeted anew."""
        if workspace_id not in self._held:
            self._live.pop(workspace_id, None)
            self._healths.forget(workspace_id)
        self._watched.discard(workspace_id)
        client = self._clients.pop(workspace_id, None)
        if client is not None:
            await client.close()

    async def close(self) -> None:
        """Close all connections. The workspaces go on."""
        await asyncio.gather(*(self.drop(workspace_id) for workspace_id in list(self._clients)))

    def _heard(self, workspace_id: WorkspaceId, event: AgentEvent) -> None:
        if not isinstance(event, KernelEvent):
            return
        kernel = _sane(event.kernel, self._clock.monotonic())
        live = self._live.get(workspace_id)
        if live is not None and len(live.kernels) < MAX_KERNELS_BELIEVED:
            live.kernels[kernel.id] = kernel
        self._hear(workspace_id, kernel)
        self.on_kernel(workspace_id, kernel)

    async def _watch(self, workspace_id: WorkspaceId) -> None:
        if workspace_id not in self._watched:
            await ask(self.client(workspace_id).watch())
            self._watched.add(workspace_id)

    def _hear(self, workspace_id: WorkspaceId, kernel: LiveKernel) -> None:
        word = Word(workspace_id, kernel.state, kernel.generation, kernel.idle_for, kernel.reason, kernel.signs)
        self._healths.hear(kernel.id, word)

    def _lost(self, workspace_id: WorkspaceId) -> None:
        if workspace_id not in self._held:
            self._live.pop(workspace_id, None)
        self._watched.discard(workspace_id)
        self._healths.lose(workspace_id)
        self.on_lost(workspace_id)


def _in_clients_words(resume: Resume) -> Resume:
    """A workspace that cannot go on is, to who asks its agent, an agent that does not answer."""

    async def wake() -> None:
        try:
            await resume()
        except HubError as error:
            raise ClientSilent(error.message) from error

    return wake


async def ask(answer: Awaitable[T]) -> T:
    """Await an agent's answer, with its refusals and silence as the hub's own errors."""
    try:
        return await answer
    except ClientSilent as error:
        raise AgentSilent("Your container does not answer at the moment. Try again in a few seconds.") from error
    except AgentRefused as error:
        raise _refusal(error) from error


def _refusal(error: AgentRefused) -> HubError:
    message = shortened(str(error.message))
    match error.code:
        case "not_found":
            return NotFound(message)
        case "exists" | "too_many":
            return Conflict(message)
        case "not_ready":
            return KernelNotReady(f"This cannot be done now: {message}.")
        case "unknown_kernelspec":
            return UnknownKernelspec(message)
        case "unknown_op":
            return Conflict("Your container was started by an earlier version of the hub. Stop it, then try again.")
        case "bad_request":
            return BadRequest(message)
        case _:
            return StartFailed(message)


def _owner(folder: Path) -> int:
    try:
        return folder.lstat().st_uid
    except OSError as error:
        raise AgentSilent("The container has no run folder: it is not running.") from error


def _sane(info: KernelInfo, now: float) -> LiveKernel:
    """An agent's word within bounds: an unknown state is `unknown`, a negative span is zero."""
    try:
        state = KernelState(info.state)
    except ValueError:
        state = KernelState.UNKNOWN
    idle = _sane_span(info.idle_seconds) or 0.0
    return LiveKernel(
        id=KernelId(info.kernel_id[:64]),
        spec_name=info.name[:128],
        state=state,
        executions=max(0, min(info.executions, 2**31 - 1)),
        idle_for=timedelta(seconds=idle),
        heard_at=now,
        rss_bytes=max(0, info.rss_bytes),
        cpu_seconds=max(0.0, info.cpu_seconds),
        reason=shortened(info.reason) if info.reason else None,
        generation=info.generation,
        heartbeat_seconds=_sane_span(info.heartbeat_seconds),
        control_seconds=_sane_span(info.control_seconds),
        cpu_recent=_sane_span(info.cpu_recent),
        restarts=max(0, min(info.restarts, 2**31 - 1)),
        exit_status=info.exit_status if info.exit_status is not None and abs(info.exit_status) < 2**16 else None,
        journal_last=info.journal_last,
    )


def _sane_span(seconds: float | None) -> float | None:
    """A span, or a number of processors, that can be: None for what is no number."""
    return min(max(seconds, 0.0), MAX_SPAN_SECONDS) if seconds is not None and seconds == seconds else None


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def last_activity(kernel: LiveKernel, now: datetime, monotonic: float) -> datetime:
    """When a kernel was last active, by the hub's clock: agents' clocks are not believed."""
    return now - kernel.idle_now(monotonic)


def shortened(text: str) -> str:
    """What an agent said, bounded: the beginning says what happened, and the end of a traceback why."""
    if len(text) <= MAX_REASON_CHARS:
        return text
    head = MAX_REASON_CHARS // 3
    return f"{text[:head]} … {text[-(MAX_REASON_CHARS - head - 3) :]}"
