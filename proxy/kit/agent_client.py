"""The client of a workspace's agent, for hub and proxies.

It connects with the first request and stays connected: it pings, notices at once when the agent is gone,
fails what was asked of it, and opens the path anew for the next request. A request that could not be sent yet
waits for the agent within its own deadline, so `hello(timeout=60)` is how one waits for a container to come up.

Resource handling: one connection and the socket's inode per client, and one task; all are
released by `close`. Error handling: every method raises AgentRefused or AgentSilent, and SocketRefused never
escapes (an unsafe socket is a silent agent).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from proxy.contract.agent import (
    AgentEvent,
    Attachment,
    Executions,
    Hello,
    JobInfo,
    JobOutput,
    JournalExtent,
    KernelInfo,
    Resource,
    Status,
    TerminalAttachment,
    TerminalInfo,
)
from proxy.kit import request_ids
from proxy.kit.agent_link import AgentLink
from proxy.kit.agent_wire import (
    AgentFailure,
    AgentNonsense,
    AgentRefused,
    AgentSilent,
    Answer,
    Empty,
    decode_frame,
    decode_result,
    encode_request,
)
from proxy.kit.sockets import SocketMissing, SocketRefused
from proxy.kit.tasks import TaskOwner

__all__ = ["AgentClient", "AgentFailure", "AgentNonsense", "AgentRefused", "AgentSilent"]

log = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_UNANSWERED = 1000
MAX_NOTE_CHARACTERS = 1024
"""A text in a note that is longer is refused by the agent."""
CONNECT_POLL_SECONDS = (0.01, 0.25)
"""How often the path is looked at while no agent answers: from the first value, doubling, to the second."""
CHECK_SECONDS = 2.0
"""How often the path is looked at while connected."""


@dataclass(slots=True)
class _Pending:
    frame: bytes
    future: asyncio.Future[bytes]
    sent: bool = False


class AgentClient:
    """Asks the agent whose socket is in `folder`, owned by `owner_uid`.

    Set `on_event` to receive what the agent pushes (after `watch`, `attach_kernel` or `attach_terminal`) and
    `on_lost` to be told, once per connection, that it ended: subscriptions are gone then and must be asked
    for again. `ping_seconds` is the silence after which the agent is asked for a sign of life;
    `ping_timeout` how long it has for that.
    """

    def __init__(self, folder: Path, owner_uid: int, *, ping_seconds: float = 15.0, ping_timeout: float = 10.0) -> None:
        self._folder = folder
        self._owner_uid = owner_uid
        self._ping_seconds = ping_seconds
        self._ping_timeout = ping_timeout
        self._link: AgentLink | None = None
        self._pending: dict[int, _Pending] = {}
        self._last_id = 0
        self._obstacle = "no socket was looked for yet"
        self._tasks = TaskOwner(f"agent-client.{folder.name}")
        self._upkeep: asyncio.Task[None] | None = None
        self._closed = False
        self._resume: Callable[[], Awaitable[None]] | None = None
        self._waking: asyncio.Task[AgentSilent | None] | None = None
        self.on_event: Callable[[AgentEvent], None] = lambda event: None
        self.on_lost: Callable[[], None] = lambda: None

    @property
    def connected(self) -> bool:
        """Whether a connection to an agent stands now."""
        return self._link is not None and self._link.established

    @property
    def unanswered(self) -> int:
        """How many requests wait for their answer."""
        return len(self._pending)

    @property
    def held(self) -> bool:
        """Whether the container is taken for paused."""
        return self._resume is not None

    def hold(self, resume: Callable[[], Awaitable[None]]) -> None:
        """The container is paused, or about to be: each request awaits `resume` first, several of them the same one.

        `resume` has the container go on, and raises AgentSilent when that cannot be.
        """
        self._resume = resume

    def release(self) -> None:
        """The container goes on."""
        self._resume = None

    async def request(
        self,
        op: str,
        result_type: type[Result],
        args: Mapping[str, object] | None = None,
        timeout: float = 10.0,
    ) -> Result:
        """Ask `op` with `args`; return the answer as `result_type`.

        Raises AgentRefused when the agent said no; AgentSilent when it gave no answer within `timeout`
        seconds, ended meanwhile (it is not known whether it did what was asked), or is not there;
        AgentNonsense (an AgentSilent) when the answer has another shape.
        """
        if self._resume is not None:
            await self._wake(self._resume)
        if self._closed:
            raise AgentSilent("the client is closed")
        if len(self._pending) >= MAX_UNANSWERED:
            raise AgentSilent(f"{MAX_UNANSWERED} requests are unanswered already")
        self._last_id += 1
        request_id = self._last_id
        frame = encode_request(request_id, op, args or {}, request_ids.current.get())
        pending = _Pending(frame, asyncio.get_running_loop().create_future())
        self._pending[request_id] = pending
        try:
            async with asyncio.timeout(timeout):
                self._dispatch(request_id, pending)
                return decode_result(await pending.future, result_type)
        except TimeoutError as error:
            why = "" if pending.sent else f" ({self._obstacle})"
            raise AgentSilent(f"no answer to {op} within {timeout:g} s{why}") from error
        finally:
            self._pending.pop(request_id, None)

    async def close(self) -> None:
        """Fail what is unanswered, close the connection, end the task. `on_lost` is not called."""
        self._closed = True
        self._drop_link()
        self._fail(AgentSilent("the client was closed"), only_sent=False)
        await self._tasks.close()

    # ---- the connection

    async def _wake(self, resume: Callable[[], Awaitable[None]]) -> None:
        if self._closed:
            raise AgentSilent("the client is closed")
        if self._waking is None or self._waking.done():
            self._waking = self._tasks.start(_silence_of(resume), "wake")
        if (silence := await asyncio.shield(self._waking)) is not None:
            raise AgentSilent(str(silence)) from silence

    def _dispatch(self, request_id: int, pending: _Pending) -> None:
        if self._link is None:
            self._open()
        elif not pending.sent:
            self._link.send(request_id, pending.frame)
        if self._upkeep is None or self._upkeep.done():
            self._upkeep = self._tasks.start(self._keep_up(), "upkeep")

    def _open(self) -> None:
        try:
            link = AgentLink(
                self._folder,
                self._owner_uid,
                on_frame=self._receive,
                on_sent=self._mark_sent,
                on_down=self._lose,
            )
        except SocketMissing:
            self._obstacle = "there is no agent socket"
            return
        except SocketRefused as refusal:
            self._obstacle = str(refusal)
            return
        self._link = link
        self._obstacle = f"the socket does not accept: {link.obstacle}" if link.obstacle else "the agent does not greet"
        for request_id, pending in list(self._pending.items()):
            link.send(request_id, pending.frame)

    def _mark_sent(self, request_id: int) -> None:
        if (pending := self._pending.get(request_id)) is not None:
            pending.sent = True

    def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _lose(self, reason: str) -> None:
        """The connection ended: fail what the agent was asked, keep what it was not told yet."""
        was_established = self.connected
        self._drop_link()
        self._fail(AgentSilent(reason), only_sent=True)
        if was_established and not self._closed:
            log.info("agent in %s lost: %s", self._folder.name, reason)
            self._call(self.on_lost)

    def _fail(self, error: AgentSilent, *, only_sent: bool) -> None:
        for pending in self._pending.values():
            if (pending.sent or not only_sent) and not pending.future.done():
                pending.future.set_exception(error)

    async def _keep_up(self) -> None:
        """Open the path until it answers, then look after the connection; ends when there is neither."""
        pause = CONNECT_POLL_SECONDS[0]
        while self._link is not None or self._pending:
            if self.connected:
                pause = CONNECT_POLL_SECONDS[0]
                await self._look_after()
                continue
            if self._link is not None and self._link.was_replaced():
                self._drop_link()
            if self._link is None:
                self._open()
            await asyncio.sleep(pause)
            pause = min(pause * 2, CONNECT_POLL_SECONDS[1])
            if self._link is not None and not self.connected and not self._pending:
                self._drop_link()  # nobody waits for it any more

    async def _look_after(self) -> None:
        """Let time pass over a live connection, looking at the path, then ask for a sign of life."""
        link, quiet = self._link, 0.0
        while quiet < self._ping_seconds:
            pause = min(CHECK_SECONDS, self._ping_seconds - quiet)
            await asyncio.sleep(pause)
            quiet += pause
            if self._link is not link or link is None:
                return
            if link.was_replaced():
                self._lose("the agent's socket was removed or replaced")
                return
        if self.held:
            return
        try:
            await self.ping(self._ping_timeout)
        except AgentSilent:
            if self._link is link and not self.held:
                self._lose(f"the agent gave no sign of life within {self._ping_timeout:g} s")
        except AgentRefused:
            pass  # an answer all the same

    def _receive(self, frame: bytes) -> None:
        try:
            message = decode_frame(frame)
        except AgentNonsense as nonsense:
            self._lose(str(nonsense))
            return
        if not isinstance(message, Answer):
            self._call(self.on_event, message)
            return
        pending = self._pending.get(message.id)
        if pending is None or pending.future.done():
            return  # it came after its deadline
        if message.refused is not None:
            pending.future.set_exception(message.refused)
        else:
            pending.future.set_result(message.result)

    def _call(self, callback: Callable[..., None], *args: AgentEvent) -> None:
        try:
            callback(*args)
        except Exception:
            log.exception("a callback of the agent client failed")

    # ---- the requests, typed

    async def hello(self, timeout: float = 10.0) -> Hello:
        """Version, kernelspecs and the name of the default one."""
        return await self.request("hello", Hello, timeout=timeout)

    async def ping(self, timeout: float = 5.0) -> None:
        """Return if the agent answers."""
        await self.request("ping", Empty, timeout=timeout)

    async def status(self, timeout: float = 5.0) -> Status:
        """Kernels, terminals and the container's use, in one answer."""
        return await self.request("status", Status, timeout=timeout)

    async def watch(self, timeout: float = 5.0) -> None:
        """Have the events of all kernels pushed to `on_event` from now on."""
        await self.request("watch", Empty, timeout=timeout)

    async def kernelspec_resource(self, name: str, file: str, timeout: float = 10.0) -> Resource:
        """A file of a kernelspec's folder, such as its logo, in base64."""
        return await self.request("kernelspec.resource", Resource, {"name": name, "file": file}, timeout)

    async def start_kernel(
        self, kernel_id: str, name: str, cwd: str, env: Mapping[str, str], timeout: float = 30.0
    ) -> KernelInfo:
        """Start a kernel of the kernelspec `name` in `cwd`, relative to the home; "" is the home itself."""
        args = {"kernel_id": kernel_id, "name": name, "cwd": cwd, "env": dict(env)}
        return self._about(kernel_id, await self.request("kernel.start", KernelInfo, args, timeout))

    async def attach_kernel(self, kernel_id: str, timeout: float = 10.0) -> Attachment:
        """What is needed to speak to the kernel; its events are pushed from now on."""
        attachment = await self.request("kernel.attach", Attachment, {"kernel_id": kernel_id}, timeout)
        self._about(kernel_id, attachment.kernel)
        return attachment

    async def detach_kernel(self, kernel_id: str, timeout: float = 5.0) -> None:
        """End what `attach_kernel` began."""
        await self.request("kernel.detach", Empty, {"kernel_id": kernel_id}, timeout)

    async def interrupt_kernel(self, kernel_id: str, timeout: float = 10.0) -> None:
        """Interrupt what the kernel runs."""
        await self.request("kernel.interrupt", Empty, {"kernel_id": kernel_id}, timeout)

    async def restart_kernel(self, kernel_id: str, timeout: float = 30.0) -> KernelInfo:
        """End the kernel's process and start a new one under the same id."""
        info = await self.request("kernel.restart", KernelInfo, {"kernel_id": kernel_id}, timeout)
        return self._about(kernel_id, info)

    async def farewell_kernel(self, kernel_id: str, reason: str, timeout: float = 1.0) -> None:
        """Have cells that run told `reason` when the kernel is ended next because somebody asked for it."""
        await self.request("kernel.farewell", Empty, {"kernel_id": kernel_id, "reason": reason[:500]}, timeout)

    async def shutdown_kernel(self, kernel_id: str, timeout: float = 30.0) -> None:
        """End the kernel; it is forgotten when this returns."""
        await self.request("kernel.shutdown", Empty, {"kernel_id": kernel_id}, timeout)

    async def create_terminal(self, cwd: str = "", name: str | None = None, timeout: float = 10.0) -> TerminalInfo:
        """Open a terminal in `cwd`, relative to the home; without `name` the agent picks one."""
        args = {"cwd": cwd} if name is None else {"cwd": cwd, "name": name}
        return await self.request("terminal.create", TerminalInfo, args, timeout)

    async def delete_terminal(self, name: str, timeout: float = 10.0) -> None:
        """End a terminal's shell and forget it."""
        await self.request("terminal.delete", Empty, {"name": name}, timeout)

    async def attach_terminal(self, name: str, timeout: float = 10.0) -> TerminalAttachment:
        """The terminal's scrollback; its output is pushed from now on."""
        return await self.request("terminal.attach", TerminalAttachment, {"name": name}, timeout)

    async def detach_terminal(self, name: str, timeout: float = 5.0) -> None:
        """End what `attach_terminal` began."""
        await self.request("terminal.detach", Empty, {"name": name}, timeout)

    async def terminal_input(self, name: str, data: str, timeout: float = 10.0) -> None:
        """Type `data` into the terminal."""
        await self.request("terminal.input", Empty, {"name": name, "data": data}, timeout)

    async def resize_terminal(self, name: str, rows: int, cols: int, timeout: float = 5.0) -> None:
        """Tell the terminal its size in characters."""
        await self.request("terminal.resize", Empty, {"name": name, "rows": rows, "cols": cols}, timeout)

    async def executions(self, kernel_id: str, after: int = 0, timeout: float = 10.0) -> Executions:
        """What was run in the kernel's process after execution number `after`, as much as one answer holds."""
        args = {"kernel_id": kernel_id, "after": after}
        return await self.request("kernel.executions", Executions, args, timeout)

    async def sync_journal(self, kernel_id: str, timeout: float = 5.0) -> JournalExtent:
        """Have all that the kernel's IOPub has brought the agent written into the journal; how far that reaches."""
        return await self.request("journal.sync", JournalExtent, {"kernel_id": kernel_id}, timeout)

    def note_request(self, kernel_id: str, *, msg_id: str, session: str, msg_type: str, cell_id: str) -> None:
        """Have it written into the kernel's journal that a front end sends this request.

        Nobody waits for it, and it never raises: without a connection there is no note, nor with a text that is
        too long, nor while the agent does not read.
        """
        link, texts = self._link, (msg_id, session, msg_type, cell_id)
        if self._closed or link is None or not link.established or link.waiting >= MAX_UNANSWERED:
            return
        if max(map(len, texts)) > MAX_NOTE_CHARACTERS:
            return
        self._last_id += 1
        args = {"kernel_id": kernel_id, "msg_id": msg_id, "session": session, "msg_type": msg_type, "cell_id": cell_id}
        link.send(self._last_id, encode_request(self._last_id, "journal.note", args))

    async def start_job(
        self, job_id: str, program: str, arguments: Mapping[str, object], timeout: float = 10.0
    ) -> JobInfo:
        """Start one of the agent's programs with `arguments`; with the id of a job that is there already: that one."""
        args = {"job_id": job_id, "program": program, "arguments": dict(arguments)}
        return self._about_job(job_id, await self.request("job.start", JobInfo, args, timeout))

    async def read_job(self, job_id: str, offset: int = 0, timeout: float = 10.0) -> JobOutput:
        """What a job wrote from `offset` on, as much of it as one answer gives, and how the job is."""
        output = await self.request("job.read", JobOutput, {"job_id": job_id, "offset": offset}, timeout)
        self._about_job(job_id, output.job)
        if output.offset < offset < output.job.output_bytes or output.next_offset < output.offset:
            raise AgentNonsense(f"asked for job {job_id} from {offset} on, the agent answered from {output.offset}")
        return output

    async def stop_job(self, job_id: str, timeout: float = 15.0) -> None:
        """End a job; it has ended when this returns."""
        await self.request("job.stop", Empty, {"job_id": job_id}, timeout)

    def _about_job(self, job_id: str, info: JobInfo) -> JobInfo:
        if info.job_id != job_id:
            raise AgentNonsense(f"asked about job {job_id}, the agent answered about another")
        return info

    def _about(self, kernel_id: str, info: KernelInfo) -> KernelInfo:
        if info.kernel_id != kernel_id:
            raise AgentNonsense(f"asked about kernel {kernel_id}, the agent answered about another")
        return info


async def _silence_of(resume: Callable[[], Awaitable[None]]) -> AgentSilent | None:
    try:
        await resume()
    except AgentSilent as silence:
        return silence
    return None
