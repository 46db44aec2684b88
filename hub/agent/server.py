"""The agent's socket: reads requests, has them checked and performed, sends answers and events."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

import zmq

from hub.agent import bounds, log, wire
from hub.agent.loop import Loop
from hub.agent.peers import Peer, Peers

READ_BATCH = 100
SEND_QUEUE = 128
"""Messages kept for a peer that does not read; beyond, output is dropped and the newest states are owed."""

Perform = Callable[[Peer, wire.Request, Callable[[dict[str, Any]], None]], "dict[str, Any] | None"]


class Server:
    """The ROUTER socket ``agent.sock`` in the run folder. Set `perform` before the loop runs."""

    def __init__(self, loop: Loop, context: zmq.Context[Any], run_folder: str) -> None:
        self._path = f"{run_folder}/agent.sock"
        self._socket = socket = context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 200)
        socket.setsockopt(zmq.MAXMSGSIZE, bounds.MAX_MESSAGE_BYTES)
        socket.setsockopt(zmq.RCVHWM, READ_BATCH)
        socket.setsockopt(zmq.SNDHWM, SEND_QUEUE)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.HANDSHAKE_IVL, 10_000)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        socket.bind(f"ipc://{self._path}")
        self.peers = Peers(loop, socket)
        self.perform: Perform = lambda peer, request, answer: {}
        loop.watch(socket, self._read)
        loop.every(bounds.PEER_SILENCE_SECONDS / 4, self.peers.forget_silent)

    def close(self) -> None:
        """Close the socket, sending what is under way for a moment, and remove it."""
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def _read(self) -> None:
        for _ in range(READ_BATCH):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(frames) == 2:
                self._handle(self.peers.hear(frames[0]), frames[1])

    def _handle(self, peer: Peer, frame: bytes) -> None:
        try:
            request_id, op, args, cause = wire.parse(frame)
        except wire.Unanswerable:
            return

        def answer(result: dict[str, Any]) -> None:
            self.peers.send(peer, wire.success(request_id, result))

        try:
            request = wire.check(request_id, op, args, cause)
            log.asked(request.op, request.args, request.cause)
            result = self.perform(peer, request, answer)
        except wire.Refusal as refusal:
            log.asked(op[:64], {}, cause, refusal.code)
            self.peers.send(peer, wire.refusal(request_id, refusal.code, refusal.message))
        except Exception as error:
            sys.excepthook(*sys.exc_info())
            message = f"the agent failed: {type(error).__name__}"
            self.peers.send(peer, wire.refusal(request_id, "internal", message))
        else:
            if result is not None:
                answer(result)
