"""``/user/<name>/terminals/websocket/<terminal>``: a terminal of the workspace, through its agent.

Each terminal connection has an agent client of its own: output that is pushed after ``terminal.attach`` answered
is then exactly what the scrollback in that answer does not contain.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path

from tornado.websocket import WebSocketClosedError

from proxy.contract.agent import AgentEvent, TerminalExit, TerminalOutput
from proxy.contract.close_codes import CloseCode
from proxy.contract.route import KernelRoute, TerminalRoute
from proxy.core.terminal import Input, OutputQueue, Resize, decode, encode
from proxy.errors import BadFrame, Refused
from proxy.io.connections import Holder
from proxy.io.websocket import ChannelHandler
from proxy.kit.agent_client import AgentClient, AgentFailure, AgentRefused

log = logging.getLogger(__name__)

ATTACH_SECONDS = 5.0


class TerminalHandler(ChannelHandler):
    """One client's connection to one terminal."""

    kind = "terminal"
    _is_writing = False

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """None is defined for terminals."""
        return None

    async def attach(self, route: KernelRoute | TerminalRoute) -> Holder:
        """See `ChannelHandler.attach`."""
        if not isinstance(route, TerminalRoute):
            raise Refused(404, "route.kind", "There is no such terminal.")
        self._name = route.terminal
        self._workspace_id = route.workspace_id
        self._early: list[AgentEvent] = []
        self._agent = AgentClient(Path(route.run_folder), route.owner_uid)
        self._resources.push_async_callback(self._agent.close)
        self._resources.enter_context(self._services.pauses.holding(route.workspace_id, self._agent))
        self._agent.on_event = self._on_event
        self._agent.on_lost = self._on_lost
        attached = await self._agent.attach_terminal(route.terminal, timeout=ATTACH_SECONDS)
        self._output = OutputQueue()
        self._output.push(attached.scrollback)
        return Holder(route.principal, route.workspace_id, None)

    def begin(self) -> None:
        """See `ChannelHandler.begin`."""
        self._write(encode("setup", {}))
        self._pump()
        early, self._early = self._early, []
        for event in early:
            self._on_event(event)

    def receive(self, message: str | bytes) -> Awaitable[None] | None:
        """See `ChannelHandler.receive`. One at a time, so that what is typed stays in order."""
        try:
            wanted = decode(message)
        except BadFrame as bad:
            self.end(CloseCode.POLICY, f"{bad.code}: {bad}")
            return None
        return self._do(wanted) if wanted is not None else None

    async def flush_out(self) -> None:
        """See `ChannelHandler.flush_out`."""
        self._pump()

    async def _do(self, wanted: Input | Resize) -> None:
        await self._services.pauses.awake(self._workspace_id)
        try:
            if isinstance(wanted, Input):
                await self._agent.terminal_input(self._name, wanted.data)
            else:
                await self._agent.resize_terminal(self._name, wanted.rows, wanted.cols)
        except AgentRefused as refused:
            if refused.code == "not_found":
                self._disconnect()
            else:
                log.info("terminal %s: %s", self._name, refused)
        except AgentFailure:
            self._on_lost()

    def _on_event(self, event: AgentEvent) -> None:
        if not self._is_open:
            self._early.append(event)
        elif isinstance(event, TerminalOutput) and event.name == self._name:
            self._output.push(event.data)
            if not self._is_writing:
                self._pump()
        elif isinstance(event, TerminalExit) and event.name == self._name:
            self._disconnect()

    def _on_lost(self) -> None:
        if self._is_open:
            self.end(CloseCode.SERVICE_RESTART, "the terminal's container does not answer")

    def _disconnect(self) -> None:
        self._is_writing = False
        self._pump()
        self._write(encode("disconnect", 1))
        self.end(CloseCode.NORMAL, "the terminal ended")

    def _pump(self) -> None:
        while self._output and self.is_writable():
            written = self._write(encode("stdout", self._output.pop()))
            if written is not None and not written.done():
                self._is_writing = True
                written.add_done_callback(self._written)
                return

    def _written(self, future: asyncio.Future[None]) -> None:
        self._is_writing = False
        if not future.cancelled() and future.exception() is None:
            self._pump()

    def _write(self, message: str) -> asyncio.Future[None] | None:
        try:
            return self.write_message(message)
        except WebSocketClosedError:
            return None
