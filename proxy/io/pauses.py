"""Which workspaces are paused, as the hub says, and the question that has them go on.

The hub names a workspace in its answers to reports before it is frozen, and freezes it only when every proxy with
connections into it has reported that it knows (`paused` of the next report). From then on the agent's client is held,
so that its silence is no loss, and the first message that a client sends there asks for a thaw. The message is not kept
back: it waits in the kernel's socket.

News can be old when it comes: of what was asked before a thaw was answered, nothing is believed about that workspace.
And it can come late: when something was sent there since the report before, a thaw is asked for at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from proxy.contract.thaw import ThawAnswer, ThawQuestion
from proxy.errors import HubAway
from proxy.io.hub_client import HubClient
from proxy.kit.agent_client import AgentClient, AgentSilent
from proxy.kit.tasks import TaskOwner

log = logging.getLogger(__name__)

THAW_PATH = "/internal/thaw"
THAW_SECONDS = 30.0
"""How long the hub has for one answer: an engine may take its time."""
AGAIN_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
"""How long a request to a paused agent waits for its thaw; a client's message waits for ever."""


class Pauses:
    """The paused workspaces of one proxy. Owns the tasks that ask for thaws, until `close`."""

    def __init__(self, hub: HubClient) -> None:
        self._hub = hub
        self._tasks = TaskOwner("pauses")
        self._clients: defaultdict[str, Counter[AgentClient]] = defaultdict(Counter)
        self._paused: set[str] = set()
        self._thawed_at: dict[str, float] = {}
        self._thawing: dict[str, asyncio.Task[None]] = {}
        self._sent_at: dict[str, float] = {}
        self._asked_at = 0.0

    @property
    def workspaces(self) -> list[str]:
        """The workspaces that are taken for paused now, in order."""
        return sorted(self._paused)

    @contextmanager
    def holding(self, workspace_id: str, client: AgentClient) -> Iterator[None]:
        """Within the block a client of this workspace's agent is held while the workspace is paused."""
        self._clients[workspace_id][client] += 1
        if workspace_id in self._paused:
            self._hold(workspace_id, client)
        try:
            yield
        finally:
            clients = self._clients[workspace_id]
            clients[client] -= 1
            if not clients[client]:
                del clients[client]
            if not clients:
                del self._clients[workspace_id]
                self._paused.discard(workspace_id)
                self._thawed_at.pop(workspace_id, None)
                self._sent_at.pop(workspace_id, None)

    def learn(self, asked_at: float, named: Iterable[str]) -> None:
        """Take what the hub answered to what was asked at `asked_at`, a time of the loop."""
        known = {each for each in named if each in self._clients and self._thawed_at.get(each, 0.0) < asked_at}
        for workspace_id in known - self._paused:
            self._paused.add(workspace_id)
            for client in self._clients[workspace_id]:
                self._hold(workspace_id, client)
            sent_at = self._sent_at.get(workspace_id, -1.0)
            if sent_at >= self._asked_at and sent_at > self._thawed_at.get(workspace_id, -1.0):
                self.wake(workspace_id)
        self._asked_at = max(self._asked_at, asked_at)
        for workspace_id in self._paused - known:
            if workspace_id not in self._thawing:
                self._release(workspace_id)

    def wake(self, workspace_id: str) -> None:
        """A client sends something into the workspace: have it go on, if it is paused."""
        if workspace_id in self._clients:
            self._sent_at[workspace_id] = asyncio.get_running_loop().time()
        if workspace_id in self._paused and not self._tasks.is_closed:
            self._thaw(workspace_id)

    async def awake(self, workspace_id: str) -> None:
        """Return when the workspace goes on, for something that has no socket to wait in; however long that takes."""
        self.wake(workspace_id)
        if (task := self._thawing.get(workspace_id)) is not None:
            await asyncio.shield(task)

    async def close(self) -> None:
        """Stop asking."""
        await self._tasks.close()

    def _hold(self, workspace_id: str, client: AgentClient) -> None:
        async def resume() -> None:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await asyncio.shield(self._thaw(workspace_id))
            except TimeoutError as error:
                raise AgentSilent("the container is paused, and could not be made to go on yet") from error

        client.hold(resume)

    def _release(self, workspace_id: str) -> None:
        self._paused.discard(workspace_id)
        for client in self._clients.get(workspace_id, ()):
            client.release()

    def _thaw(self, workspace_id: str) -> asyncio.Task[None]:
        """The task that asks; all who need the workspace wait for the same one."""
        task = self._thawing.get(workspace_id)
        if task is None:
            task = self._thawing[workspace_id] = self._tasks.start(self._ask(workspace_id), f"thaw {workspace_id}")
        return task

    async def _ask(self, workspace_id: str) -> None:
        """Ask until the hub has an answer. A workspace that runs no more is nothing to wait for either."""
        try:
            while workspace_id in self._clients:
                answer = await self._ask_once(workspace_id)
                if not answer.thawed:
                    log.info("paused workspace %s does not go on: %s", workspace_id, answer.reason)
                if not answer.again:
                    self._thawed_at[workspace_id] = asyncio.get_running_loop().time()
                    self._release(workspace_id)
                    return
                await asyncio.sleep(AGAIN_SECONDS)
        finally:
            del self._thawing[workspace_id]

    async def _ask_once(self, workspace_id: str) -> ThawAnswer:
        try:
            answer: ThawAnswer = await self._hub.ask(THAW_PATH, ThawQuestion(workspace_id), ThawAnswer, THAW_SECONDS)
        except HubAway as away:
            return ThawAnswer(False, str(away), again=True)
        return answer
