"""A kernel of another kind than ipykernel: plain sockets, one thread, and no answer while it runs a cell.

Like those of other languages it welcomes no subscriber and hears no second connection by a name that is taken. Cells
are Python whose print is published line by line; run as ``tiny_kernel.py -f connection.json``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import zmq

Header = dict[str, Any]


class TinyKernel:
    """Serves one connection file until it is killed."""

    def __init__(self, file: str) -> None:
        self._facts = json.loads(Path(file).read_text())
        self._key = self._facts["key"].encode()
        self._session, self._count = uuid.uuid4().hex, 0
        self._context = zmq.Context()
        self._shell, self._control = self._bind(zmq.ROUTER, "shell"), self._bind(zmq.ROUTER, "control")
        self._iopub = self._bind(zmq.PUB, "iopub")
        self._stdin = self._bind(zmq.ROUTER, "stdin")
        heart = self._bind(zmq.REP, "hb")
        threading.Thread(target=zmq.proxy, args=(heart, heart), daemon=True).start()

    def _bind(self, kind: int, channel: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.bind(f"ipc://{self._facts['ip']}-{self._facts[f'{channel}_port']}")
        return socket

    def serve(self) -> None:
        """Answer one request after the other."""
        poller = zmq.Poller()
        for socket in (self._control, self._shell):
            poller.register(socket, zmq.POLLIN)
        while True:
            for socket, _ in poller.poll():
                self._answer(socket)

    def _answer(self, socket: zmq.Socket[bytes]) -> None:
        peer, _, _, header, _, _, content = socket.recv_multipart()[:7]
        request: Header = json.loads(header)
        kind = request["msg_type"]
        self._publish("status", {"execution_state": "busy"}, request)
        if kind == "execute_request":
            reply = self._run(json.loads(content)["code"], request)
        else:
            reply = {"status": "ok", "protocol_version": "5.3", "implementation": "tiny", "language_info": {}}
        self._send(socket, [peer], kind.replace("_request", "_reply"), reply, request)
        self._publish("status", {"execution_state": "idle"}, request)

    def _run(self, code: str, request: Header) -> dict[str, Any]:
        self._count += 1
        self._publish("execute_input", {"code": code, "execution_count": self._count}, request)

        def say(*values: object, **_: object) -> None:
            self._publish("stream", {"name": "stdout", "text": " ".join(map(str, values)) + "\n"}, request)

        try:
            exec(code, {"print": say})
        except Exception as error:
            told = {"ename": type(error).__name__, "evalue": str(error), "traceback": [repr(error)]}
            self._publish("error", told, request)
            return {"status": "error", "execution_count": self._count, **told}
        return {"status": "ok", "execution_count": self._count, "user_expressions": {}, "payload": []}

    def _publish(self, kind: str, content: dict[str, Any], request: Header) -> None:
        self._send(self._iopub, [kind.encode()], kind, content, request)

    def _send(
        self, socket: zmq.Socket[bytes], before: list[bytes], kind: str, content: dict[str, Any], request: Header
    ) -> None:
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": self._session, "username": "tiny"}
        header |= {"date": "2026-01-01T00:00:00Z", "version": "5.3"}
        parts = [json.dumps(part).encode() for part in (header, request, {}, content)]
        signature = hmac.new(self._key, b"".join(parts), hashlib.sha256).hexdigest().encode()
        socket.send_multipart([*before, b"<IDS|MSG>", signature, *parts])


if __name__ == "__main__":
    TinyKernel(sys.argv[2]).serve()
