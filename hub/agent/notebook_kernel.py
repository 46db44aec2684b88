"""A kernel's client for running cells one after another: blocking, over the kernel's sockets in the run folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from hub.agent import messages
from hub.agent.files import CONTROL, IOPUB, SHELL, STDIN

IOPUB_GRACE_SECONDS = 10.0
"""So long after a cell's reply is its "idle" waited for: what was printed may still be on its way."""
NUDGE_SECONDS = 0.5
RECEIVE_QUEUE = 100_000
POLL_SECONDS = 0.5

Json = dict[str, Any]
OnOutput = Callable[[str, str, Json], None]
"""Called with the id of the request that an IOPub message belongs to, the message's type, and its content."""


class KernelDied(Exception):
    """The kernel's process ended."""


class CellTooSlow(Exception):
    """The cell ran for longer than it may."""


class InputAsked(Exception):
    """The code asks for input, and nobody is there."""


class NotebookKernel:
    """A connection to a kernel of this container. `key` signs the messages. Close it at the end."""

    def __init__(self, run_folder: str, kernel_id: str, key: str) -> None:
        self._key = key.encode()
        self._session = os.urandom(16).hex()
        self._context: zmq.Context[Any] = zmq.Context()
        self._poller = zmq.Poller()
        self._sockets: dict[int, zmq.Socket[bytes]] = {}
        identity = os.urandom(16)
        for number in (SHELL, CONTROL, STDIN, IOPUB):
            socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB if number == IOPUB else zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RECONNECT_IVL, 20)
            if number == IOPUB:
                socket.setsockopt(zmq.RCVHWM, RECEIVE_QUEUE)
                socket.setsockopt(zmq.SUBSCRIBE, b"")
            else:
                # shell and stdin must have one identity: so a kernel knows whom to ask for input.
                socket.setsockopt(zmq.IDENTITY, identity)
            self._sockets[number] = socket
            self._poller.register(socket, zmq.POLLIN)
        self._monitor = self._sockets[SHELL].get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._poller.register(self._monitor, zmq.POLLIN)
        for number, socket in self._sockets.items():
            socket.connect(f"ipc://{run_folder}/{kernel_id}-{number}")

    def close(self) -> None:
        """Close all sockets."""
        self._sockets[SHELL].disable_monitor()
        self._monitor.close(0)
        for socket in self._sockets.values():
            socket.close(0)
        self._context.term()

    def wait_ready(self, seconds: float) -> None:
        """Return once the kernel answers and its outputs are being heard. Raises KernelDied."""
        deadline = time.monotonic() + seconds
        asked: set[str] = set()
        answered = heard = False
        nudge_at = 0.0
        while not (answered and heard):
            now = time.monotonic()
            if now >= deadline:
                raise KernelDied(f"the kernel did not answer within {seconds:g} s")
            if now >= nudge_at and (answered or not asked):
                asked.add(self._send(SHELL, "kernel_info_request", {}))
                nudge_at = now + NUDGE_SECONDS
            for number, _, parent, _ in self._receive(0.1):
                heard = heard or number == IOPUB
                answered = answered or (number == SHELL and parent in asked)

    def execute(self, code: str, *, stop_on_error: bool, seconds: float | None, on_sent: Callable[[str], None],
                on_output: OnOutput) -> Json:  # fmt: skip
        """Run `code` to its end and give the reply's content. `on_sent` is told the request's id before it runs.

        `seconds` None means without limit. Raises KernelDied, CellTooSlow (the code was interrupted), InputAsked.
        """
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": stop_on_error,
        }
        message_id, frames = messages.build(self._key, self._session, "execute_request", content)
        on_sent(message_id)
        self._sockets[SHELL].send_multipart(frames)
        deadline = None if seconds is None else time.monotonic() + seconds
        reply: Json | None = None
        idle = False
        grace = 0.0
        while reply is None or not idle:
            now = time.monotonic()
            if reply is not None and now >= grace:
                break
            if reply is None and deadline is not None and now >= deadline:
                self._send(CONTROL, "interrupt_request", {})
                raise CellTooSlow(f"The cell ran for longer than {seconds:g} s.")
            for number, kind, parent, body in self._receive(POLL_SECONDS):
                if number == STDIN and kind == "input_request":
                    raise InputAsked("The cell asks for input, which a run without a browser cannot give.")
                if number == IOPUB:
                    idle = idle or (parent == message_id and kind == "status" and body.get("execution_state") == "idle")
                    on_output(parent, kind, body)
                elif number == SHELL and parent == message_id and kind == "execute_reply":
                    reply = body
                    grace = time.monotonic() + IOPUB_GRACE_SECONDS
        return reply

    def _send(self, number: int, kind: str, content: Json) -> str:
        message_id, frames = messages.build(self._key, self._session, kind, content)
        self._sockets[number].send_multipart(frames)
        return message_id

    def _receive(self, seconds: float) -> list[tuple[int, str, str, Json]]:
        """What came within `seconds`: socket, type, the id of the request it belongs to, content."""
        ready = dict(self._poller.poll(int(seconds * 1000)))
        received = []
        for number, socket in self._sockets.items():
            if socket in ready:
                received += [(number, *message) for message in self._drain(socket)]
        if not received and self._monitor in ready:
            recv_monitor_message(self._monitor)
            raise KernelDied("The kernel died.")
        return received

    @staticmethod
    def _drain(socket: zmq.Socket[bytes]) -> list[tuple[str, str, Json]]:
        found = []
        for _ in range(200):
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            if (message := _read(frames)) is not None:
                found.append(message)
        return found


def _read(frames: list[bytes]) -> tuple[str, str, Json] | None:
    """A message's type, its parent's id, and its content; None when it is none."""
    try:
        start = frames.index(messages.DELIMITER) + 2
        header, parent, _, content = (json.loads(part) for part in frames[start : start + 4])
        return str(header["msg_type"]), str(parent.get("msg_id", "")), content if isinstance(content, dict) else {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
