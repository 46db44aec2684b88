"""One process of a kernel, from its start to its end, with the agent's own connections to it.

A restarted kernel is another incarnation under the same kernel id; a spare is an incarnation without a kernel.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
from collections.abc import Callable
from typing import Any

import zmq

from hub.agent import bounds, files, messages
from hub.agent.child import Child, Reaper
from hub.agent.files import KernelFiles
from hub.agent.loop import Loop, Timer
from hub.agent.messages import Parts
from hub.agent.specs import Spec

READ_BATCH = 200
REST_SECONDS = 0.005
"""How long IOPub is not looked at while messages come in quick succession."""
NUDGE_SECONDS = 0.5
"""How long after the answer to kernel_info the kernel's IOPub may stay silent before it is asked again."""
MOST_NUDGES = 4
SETTLE_SECONDS = 0.02
"""How often a kernel that starts is looked at for its sockets."""


class Surroundings:
    """What every incarnation needs of the agent: loop, ZeroMQ context, reaper, run folder, our session id.

    The agent's own requests carry `session`, in which nobody else asks.
    """

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

    def said(self, batch: list[Parts]) -> None:
        """Messages on IOPub, in order."""

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
        self._iopub_monitor: zmq.Socket[bytes] | None = None
        self._iopub_connected = False
        self._heard_at = 0.0
        self._return_code: int | None = None
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

    def ask_control(self, done: Callable[[], None]) -> None:
        """Ask for kernel_info on the control channel; `done` is called when the answer comes."""
        self._send(files.CONTROL, "kernel_info_request", {}, done)

    def drain(self, seconds: float) -> None:
        """Hear all that IOPub has brought by now; of a kernel that prints without end, for `seconds`."""
        deadline = self._around.loop.now() + seconds
        while self._read_iopub() and self._around.loop.now() < deadline:
            pass

    # ---- connections

    def _listen(self) -> None:
        self._open(files.IOPUB, zmq.SUB, self._hear)
        self._open(files.SHELL, zmq.DEALER, self._read_shell)
        self._ask_kernel_info()

    def _open(self, number: int, kind: int, reader: Callable[[], object]) -> None:
        socket: zmq.Socket[bytes] = self._around.context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        if number == files.IOPUB:
            socket.setsockopt(zmq.RCVHWM, bounds.IOPUB_QUEUE)
            socket.setsockopt(zmq.SUBSCRIBE, b"")
            self._iopub_monitor = socket.get_monitor_socket(zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED)
            self._around.loop.watch(self._iopub_monitor, self._read_monitor)
        socket.connect(f"ipc://{self.files.path(number)}")
        self._sockets[number] = socket
        self._around.loop.watch(socket, reader)

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

    def _hear(self) -> None:
        """Hear what IOPub has; where one message follows upon another, let some come together before the next look.

        A turn of the loop costs several times what a message does, and the kernel's cell pays for it.
        """
        self._read_iopub()
        now = self._around.loop.now()
        if now - self._heard_at < 2 * REST_SECONDS and not self.over:
            self._around.loop.unwatch(self._sockets[files.IOPUB])
            self._around.loop.later(REST_SECONDS, self._hear_again)
        self._heard_at = now

    def _hear_again(self) -> None:
        if (socket := self._sockets.get(files.IOPUB)) is not None:
            self._around.loop.watch(socket, self._hear)

    def _read_iopub(self) -> bool:
        """Hear some messages, a bounded number at a time; whether there may be more."""
        socket = self._sockets.get(files.IOPUB)
        if socket is None:
            return False
        batch: list[Parts] = []
        size, more = 0, True
        while len(batch) < bounds.IOPUB_BATCH and size < bounds.IOPUB_BATCH_BYTES:
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                more = False
                break
            if (parts := messages.parts_of(frames)) is not None:
                batch.append(parts)
                size += sum(map(len, parts))
        if batch:
            self._heard = True
            self.listener.said(batch)
            self._check_ready()
        return more

    def _read_monitor(self) -> None:
        """Learn whether IOPub is connected. Events: 16 bits of type and 32 of value, in the machine's order."""
        while self._iopub_monitor is not None:
            try:
                event = self._iopub_monitor.recv_multipart(zmq.NOBLOCK)[0]
            except zmq.Again:
                break
            self._iopub_connected = struct.unpack_from("=H", event)[0] == zmq.EVENT_CONNECTED
        if self._return_code is not None and not self._iopub_connected:
            self._finish()

    def _read_shell(self) -> None:
        self._read_replies(files.SHELL)

    def _read_control(self) -> None:
        self._read_replies(files.CONTROL)

    def _read_replies(self, number: int) -> None:
        for frames in self._receive(number):
            parts = messages.parts_of(frames)
            message = messages.read(parts) if parts is not None else None
            if message is not None and (done := self._asked.pop(message.parent_id, None)) is not None:
                done()

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
        """The process is gone, but not yet all that it said: IOPub's end is waited for."""
        self.over = True
        self._return_code = return_code
        self._cancel_timers()
        for number in [number for number in self._sockets if number != files.IOPUB]:
            self._close(self._sockets.pop(number))
        self._asked.clear()
        self.child.close()
        self.files.remove()
        self._timers.append(self._around.loop.later(bounds.LAST_WORDS_SECONDS, self._finish))
        self._read_monitor()

    def _finish(self) -> None:
        return_code, self._return_code = self._return_code, None
        if return_code is None:
            return
        self._cancel_timers()
        self.drain(bounds.LAST_WORDS_SECONDS)
        iopub, monitor = self._sockets.pop(files.IOPUB), self._iopub_monitor
        self._iopub_monitor = None
        iopub.disable_monitor()
        self._close(iopub)
        if monitor is not None:
            self._close(monitor)
        self.listener.ended(return_code)

    def _close(self, socket: zmq.Socket[bytes]) -> None:
        self._around.loop.unwatch(socket)
        socket.close(0)

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
