"""One process of a kernel, from its start to its end, with the agent's own connections to it.

A restarted kernel is another incarnation under the same kernel id; a spare is an incarnation without a kernel.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

import zmq

from hub.agent import bounds, files, messages
from hub.agent.child import Child, Reaper
from hub.agent.files import KernelFiles
from hub.agent.loop import Loop, Timer
from hub.agent.messages import Received
from hub.agent.specs import Spec

READ_BATCH = 200
NUDGE_SECONDS = 0.5
"""How long after the answer to kernel_info the kernel's IOPub may stay silent before it is asked again."""
MOST_NUDGES = 4
SETTLE_SECONDS = 0.02
"""How often a kernel that starts is looked at for its sockets."""


class Surroundings:
    """What every incarnation needs of the agent: loop, ZeroMQ context, reaper, run folder, our session id."""

    def __init__(self, loop: Loop, context: zmq.Context[Any], reaper: Reaper, run_folder: str) -> None:
        self.loop = loop
        self.context = context
        self.reaper = reaper
        self.run_folder = run_folder
        self.session = os.urandom(16).hex()


class Listener:
    """What an incarnation tells whoever it belongs to; each method does nothing until overridden."""

    def became_ready(self) -> None:
        """The kernel answered kernel_info and its IOPub is being heard."""

    def said(self, message: Received) -> None:
        """A message on IOPub."""

    def ended(self, return_code: int) -> None:
        """The process is gone and collected; its sockets are removed."""


class Incarnation:
    """A kernel's process. `listener` may be exchanged at any time (a spare that is adopted).

    Starting raises OSError or ValueError when the program cannot be run or the files cannot be made.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        spec: Spec,
        prefix: str,
        key: bytes,
        cwd: str,
        env: dict[str, str],
        listener: Listener,
    ) -> None:
        self._around = surroundings
        self.spec = spec
        self.listener = listener
        self.ready = False
        self.over = False
        self.heartbeat_at: float | None = None
        self._sockets: dict[int, zmq.Socket[bytes]] = {}
        self._asked: dict[str, Callable[[], None]] = {}
        self._nudges = 0
        self._heard = False
        self._answered = False
        self._timers: list[Timer] = []
        self.files = KernelFiles(surroundings.run_folder, prefix, key, settles=not spec.is_ipykernel)
        self.files.write_connection_file()
        try:
            argv = spec.argv(self.files.connection_file)
            self.child = Child(surroundings.loop, argv, {**env, **spec.env()}, cwd)
        except BaseException:
            self.files.remove()
            raise
        surroundings.reaper.expect(self.child.pid, self._ended, self.child.process)
        self._listen()
        self._settle()
        self._timers.append(surroundings.loop.later(bounds.START_SECONDS, self._check_started))

    # ---- what others ask of it

    def rename(self, prefix: str) -> None:
        """Make the sockets appear under another prefix. Raises OSError."""
        self.files.rename(prefix)

    def execute_silently(self, code: str, done: Callable[[], None]) -> None:
        """Run `code` unseen: no output, no history, no execution count. `done` is called after the reply."""
        content = {
            "code": code,
            "silent": True,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        self._send(files.SHELL, "execute_request", content, done)

    def interrupt(self) -> None:
        """Interrupt what runs, in the way that the kernelspec asks for."""
        if self.spec.interrupts_by_message:
            self._send(files.CONTROL, "interrupt_request", {})
        else:
            self.child.signal(signal.SIGINT)

    def request_shutdown(self, restart: bool) -> None:
        """Ask the kernel to end by itself."""
        self._send(files.CONTROL, "shutdown_request", {"restart": restart})

    def ping(self) -> None:
        """Send a heartbeat; `heartbeat_at` moves when its echo comes."""
        if self.ready and not self.over:
            self._send_raw(files.HB, [b"", b"ping"])

    # ---- connections

    def _listen(self) -> None:
        iopub = self._open(files.IOPUB, zmq.SUB, self._read_iopub)
        # ipykernel begins the topics of status and execute_input with "kernel."; the outputs, which may come
        # by the thousand, are filtered at the kernel then and never cost the agent anything.
        iopub.setsockopt(zmq.SUBSCRIBE, b"kernel." if self.spec.is_ipykernel else b"")
        if self.spec.is_ipykernel:
            iopub.setsockopt(zmq.SUBSCRIBE, b"kernel_core.")
        self._open(files.SHELL, zmq.DEALER, self._read_shell)
        self._ask_kernel_info()

    def _open(self, number: int, kind: int, reader: Callable[[], None]) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._around.context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.connect(f"ipc://{self.files.path(number)}")
        self._sockets[number] = socket
        self._around.loop.watch(socket, reader)
        return socket

    def _send(self, number: int, kind: str, content: dict[str, Any], done: Callable[[], None] | None = None) -> None:
        message_id, frames = messages.build(self.files.key, self._around.session, kind, content)
        if done is not None:
            self._asked[message_id] = done
        self._send_raw(number, frames)

    def _send_raw(self, number: int, frames: list[bytes]) -> None:
        socket = self._sockets.get(number)
        if socket is None:
            return
        with contextlib.suppress(zmq.Again):  # a kernel that takes nothing is seen by its heartbeat
            socket.send_multipart(frames, zmq.NOBLOCK)

    def _receive(self, number: int) -> list[list[bytes]]:
        """What a socket has, a bounded number at a time; the poller tells of the rest."""
        socket = self._sockets.get(number)
        received: list[list[bytes]] = []
        while socket is not None and len(received) < READ_BATCH:
            try:
                received.append(socket.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                break
        return received

    def _read_iopub(self) -> None:
        for frames in self._receive(files.IOPUB):
            message = messages.read(frames)
            if message is None:
                continue
            self._heard = True
            self._check_ready()
            if not self.over:
                self.listener.said(message)

    def _read_shell(self) -> None:
        for frames in self._receive(files.SHELL):
            message = messages.read(frames)
            if message is not None and (done := self._asked.pop(message.parent_id, None)) is not None:
                done()

    def _read_control(self) -> None:
        self._receive(files.CONTROL)

    def _read_heartbeat(self) -> None:
        if self._receive(files.HB):
            self.heartbeat_at = self._around.loop.now()

    # ---- becoming ready

    def _settle(self) -> None:
        """Look for the kernel's sockets until all are there under the names that everybody expects."""
        if not self.over and not self.spec.is_ipykernel and not self.files.settle():
            self._around.loop.later(SETTLE_SECONDS, self._settle)

    def _ask_kernel_info(self) -> None:
        self._send(files.SHELL, "kernel_info_request", {}, self._kernel_info_came)

    def _kernel_info_came(self) -> None:
        self._answered = True
        self._check_ready()
        if not self.ready and not self.over:
            self._nudges += 1
            self._timers.append(self._around.loop.later(NUDGE_SECONDS, self._nudge))

    def _nudge(self) -> None:
        if not self.ready and not self.over:
            self._ask_kernel_info()

    def _check_ready(self) -> None:
        if self.ready or self.over or not self._answered or not (self._heard or self._nudges >= MOST_NUDGES):
            return
        self.ready = True
        self._cancel_timers()
        self._open(files.CONTROL, zmq.DEALER, self._read_control)
        self._open(files.HB, zmq.DEALER, self._read_heartbeat)
        self.ping()
        self.listener.became_ready()

    def _check_started(self) -> None:
        if not self.ready and not self.over:
            self.child.signal(signal.SIGKILL)

    # ---- the end

    def _ended(self, return_code: int) -> None:
        self.over = True
        self._cancel_timers()
        for socket in self._sockets.values():
            self._around.loop.unwatch(socket)
            socket.close(0)
        self._sockets.clear()
        self._asked.clear()
        self.child.close()
        self.files.remove()
        self.listener.ended(return_code)

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
