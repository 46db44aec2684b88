"""One agent client per workspace, shared by all connections into it, and who hears its events.

An agent that is lost may be gone with its kernels: the hub, which can ask the engine, is asked why
(`proxy.contract.ends`).

Resource handling: `Agents.use` counts users; the client is closed when the last one leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy.contract.agent import AgentEvent, Attachment, KernelEvent, KernelInfo
from proxy.contract.ends import ANSWER_SECONDS, EndsAnswer, EndsQuestion, KernelEnd
from proxy.errors import HubAway
from proxy.io.hub_client import HubClient
from proxy.io.pauses import Pauses
from proxy.kit.agent_client import AgentClient, AgentFailure, AgentRefused
from proxy.kit.tasks import TaskOwner

log = logging.getLogger(__name__)

ATTACH_SECONDS = 5.0
RETURN_SECONDS = 30.0
"""How long a lost agent has to come back before the connections into its workspace are closed."""
RETURN_PAUSE_SECONDS = 1.0
ENDS_PATH = "/internal/ends"
ENDS_SECONDS = ANSWER_SECONDS + 2.0
ENDS_PAUSES = (2.0, 8.0)
"""Seconds between questions while the agent is away and the hub is not sure: a loaded engine takes its time."""


@dataclass(frozen=True, slots=True)
class Listener:
    """What a connection wants to hear of its kernel.

    `on_kernel`: each change. `on_ended`: it ended together with its agent, for this reason (None: its user wanted
    that). `on_gone`: nobody knows, and the agent has not come back.
    """

    on_kernel: Callable[[KernelInfo], None]
    on_ended: Callable[[str | None], None]
    on_gone: Callable[[], None]


class SharedAgent:
    """The agent of one workspace: kernel attachments, counted, with their events given to each connection.

    When the agent is lost (it restarts, or is frozen for a while) connections live on: kernels talk to proxies
    directly. They are closed (`on_gone`) when it has not come back, with the same kernel, in `RETURN_SECONDS`, and
    told at once (`on_ended`) of a kernel of which the hub knows that it has ended.
    """

    def __init__(self, folder: Path, owner_uid: int, workspace_id: str, hub: HubClient) -> None:
        self._workspace_id = workspace_id
        self._hub = hub
        self.client = AgentClient(folder, owner_uid)
        self.client.on_event = self._on_event
        self.client.on_lost = self._on_lost
        self._listeners: dict[str, dict[object, Listener]] = {}
        self._tasks = TaskOwner(f"agent.{folder.name}")
        self._returning: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    async def attach(self, kernel_id: str, token: object, listener: Listener) -> Attachment:
        """Attach a connection, known by `token`; `listener` hears of its kernel until `detach`.

        Raises AgentRefused (no such kernel) or AgentSilent; nothing is attached then.
        """
        self._listeners.setdefault(kernel_id, {})[token] = listener
        try:
            return await self.client.attach_kernel(kernel_id, timeout=ATTACH_SECONDS)
        except BaseException:
            self._forget(kernel_id, token)
            raise

    async def key_of(self, kernel_id: str) -> Attachment:
        """Ask again for an attached kernel's key and state, after a restart. Raises like `attach`."""
        return await self.client.attach_kernel(kernel_id, timeout=ATTACH_SECONDS)

    async def detach(self, kernel_id: str, token: object) -> None:
        """End one connection's attachment; the agent is told after the last. Never raises.

        A paused one is not woken for that: what it says of a kernel that nobody is attached to is not heard.
        """
        if self._forget(kernel_id, token) and not self.client.held:
            try:
                await self.client.detach_kernel(kernel_id, timeout=2.0)
            except AgentFailure as failure:
                log.debug("detaching from kernel %s: %s", kernel_id, failure)

    async def close(self) -> None:
        """Close the client and stop waiting for its return."""
        await self._tasks.close()
        await self.client.close()

    def _forget(self, kernel_id: str, token: object) -> bool:
        listeners = self._listeners.get(kernel_id, {})
        listeners.pop(token, None)
        if listeners:
            return False
        return self._listeners.pop(kernel_id, None) is not None

    def _on_event(self, event: AgentEvent) -> None:
        if isinstance(event, KernelEvent):
            for listener in self._heard_by(event.kernel.kernel_id):
                listener.on_kernel(event.kernel)

    def _heard_by(self, kernel_id: str) -> list[Listener]:
        return list(self._listeners.get(kernel_id, {}).values())

    def _on_lost(self) -> None:
        if not self._listeners:
            return
        if self._returning is None or self._returning.done():
            self._returning = self._tasks.start(self._attach_again(), "return")
        if self._asking is None or self._asking.done():
            self._asking = self._tasks.start(self._ask_why(), "ends")

    async def _attach_again(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + RETURN_SECONDS
        for kernel_id in list(self._listeners):
            while kernel_id in self._listeners:
                try:
                    attachment = await self.key_of(kernel_id)
                except AgentRefused:
                    self._gone(kernel_id)
                except AgentFailure:
                    if loop.time() >= until:
                        self._gone(kernel_id)
                    await asyncio.sleep(RETURN_PAUSE_SECONDS)
                    continue
                else:
                    self._on_event(KernelEvent(attachment.kernel))
                break

    def _gone(self, kernel_id: str) -> None:
        for listener in self._heard_by(kernel_id):
            listener.on_gone()

    async def _ask_why(self) -> None:
        """Ask the hub which kernels ended with the agent. A hub that is away, or not sure, ends none."""
        for pause in (0.0, *ENDS_PAUSES):
            await asyncio.sleep(pause)
            if self.client.connected or not self._listeners:
                return
            question = EndsQuestion(self._workspace_id, list(self._listeners))
            try:
                answer: EndsAnswer = await self._hub.ask(ENDS_PATH, question, EndsAnswer, ENDS_SECONDS)
            except HubAway as away:
                log.info("why the agent of %s is lost is not known: %s", self._workspace_id, away)
                continue
            for end in answer.ended:
                self._ended(end)

    def _ended(self, end: KernelEnd) -> None:
        log.info("kernel %s has ended with its agent: %s", end.kernel_id, end.reason)
        for listener in self._heard_by(end.kernel_id):
            listener.on_ended(None if end.by_user else end.reason)


class Agents:
    """The agents of all workspaces with connections through this proxy."""

    def __init__(self, hub: HubClient, pauses: Pauses) -> None:
        self._hub = hub
        self._pauses = pauses
        self._shared: dict[tuple[str, int], SharedAgent] = {}
        self._users: Counter[tuple[str, int]] = Counter()

    @asynccontextmanager
    async def use(self, run_folder: str, owner_uid: int, workspace_id: str) -> AsyncIterator[SharedAgent]:
        """The workspace's agent, for as long as the block lasts."""
        key = (run_folder, owner_uid)
        agent = self._shared.get(key)
        if agent is None:
            agent = self._shared[key] = SharedAgent(Path(run_folder), owner_uid, workspace_id, self._hub)
        self._users[key] += 1
        try:
            with self._pauses.holding(workspace_id, agent.client):
                yield agent
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._shared[key]
                await agent.close()
