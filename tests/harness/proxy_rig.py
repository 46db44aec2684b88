"""A proxy with everything around it faked but the kernel: a hub and an agent in this process, a real ipykernel.

`KernelClient` is written from the documentation of the WebSocket framings and shares no code with the proxy.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websockets
import zmq
import zmq.asyncio
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, stream_request_body
from tornado.websocket import WebSocketHandler

from hub.agent import ipykernel_start
from hub.agent.journal import DEATH, PROCESS, Journal
from proxy.app import Proxy
from proxy.config import ProxySettings

AGENT_SESSION = "a9" * 16
TOKEN = "internal-token-of-the-tests"
PATIENCE = 20.0


@asynccontextmanager
async def short_folder() -> AsyncIterator[Path]:
    """A folder whose name leaves room for socket names (107 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix="kh-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- the agent


@dataclass
class FakeKernel:
    """A kernel that the fake agent knows."""

    kernel_id: str
    key: str = ""
    state: str = "idle"
    generation: int = 1
    reason: str | None = None
    process: subprocess.Popen[bytes] | None = None
    hands_over: bool = True

    def info(self) -> dict[str, Any]:
        return {
            "kernel_id": self.kernel_id,
            "name": "python3",
            "state": self.state,
            "generation": self.generation,
            "started_at": time.time(),
            "last_activity_at": time.time(),
            "idle_seconds": 0.0,
            "executions": 0,
            "reason": self.reason,
            "hands_over": self.hands_over,
        }


class FakeAgent:
    """Speaks the agent's protocol on ``agent.sock``."""

    def __init__(self, folder: Path, *, keeps_journals: bool = False) -> None:
        self.folder = folder
        self.kernels: dict[str, FakeKernel] = {}
        self.keeps_journals = keeps_journals
        self.journals: dict[str, Journal] = {}
        self.notes: list[dict[str, str]] = []
        self._listeners: dict[str, zmq.asyncio.Socket] = {}
        self._askers: dict[str, zmq.Socket[bytes]] = {}
        self.terminals: dict[str, str] = {}
        self.inputs: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.peers: set[bytes] = set()
        self.is_silent = False
        self._context = zmq.asyncio.Context()
        self._open()

    def _open(self) -> None:
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(f"ipc://{self.folder}/agent.sock")
        self._task = asyncio.create_task(self._serve())

    async def restart(self) -> None:
        """Break all connections and listen anew, knowing the same kernels and no peers."""
        self._task.cancel()
        self._socket.close()
        self.peers.clear()
        self._open()

    async def _serve(self) -> None:
        while True:
            peer, frame = await self._socket.recv_multipart()
            if self.is_silent:
                continue
            self.peers.add(peer)
            request = json.loads(frame)
            try:
                answer = {"id": request["id"], "ok": True, "result": self._answer(request["op"], request["args"])}
            except KeyError as error:
                answer = {"id": request["id"], "ok": False, "error": {"code": "not_found", "message": str(error)}}
            await self._socket.send_multipart([peer, json.dumps(answer).encode()])

    def _answer(self, op: str, args: dict[str, Any]) -> dict[str, Any]:
        match op:
            case "kernel.attach":
                kernel = self.kernels[args["kernel_id"]]
                attachment = {"kernel": kernel.info(), "key": kernel.key, "signature_scheme": "hmac-sha256"}
                if (journal := self.journals.get(kernel.kernel_id)) is not None:
                    attachment["kernel"]["journal_last"] = journal.last
                    attachment["session"] = AGENT_SESSION
                return attachment
            case "journal.sync":
                self.write_journal(args["kernel_id"])
                return self.journals[args["kernel_id"]].extent()
            case "journal.note":
                self.notes.append(args)
            case "terminal.attach":
                return {"name": args["name"], "scrollback": self.terminals[args["name"]]}
            case "terminal.input":
                self.inputs.append(args["data"])
            case "terminal.resize":
                self.sizes.append((args["rows"], args["cols"]))
        return {}

    def keep_journal(self, kernel: FakeKernel, bound: int = 64 << 20) -> Journal:
        """Listen to a kernel's IOPub from now on, and write what it says into its journal."""
        known = self.journals.get(kernel.kernel_id)
        journal = self.journals[kernel.kernel_id] = known or Journal(str(self.folder), kernel.kernel_id, bound)
        if (former := self._listeners.pop(kernel.kernel_id, None)) is not None:
            former.close(0)
        listener = self._listeners[kernel.kernel_id] = self._context.socket(zmq.SUB)
        listener.rcvhwm = 0
        listener.subscribe(b"")
        listener.connect(f"ipc://{self.folder / kernel.kernel_id}-2")
        journal.add(PROCESS, {"generation": kernel.generation})
        journal.flush()
        return journal

    def write_journal(self, kernel_id: str) -> None:
        """Write all that has come."""
        plain = zmq.Socket.shadow(self._listeners[kernel_id].underlying)
        while plain.poll(0):
            frames = plain.recv_multipart()
            parts = frames[frames.index(b"<IDS|MSG>") + 2 :]
            if AGENT_SESSION.encode() not in parts[1]:
                self.journals[kernel_id].add_message(parts)
        self.journals[kernel_id].flush()

    def ask_kernel(self, kernel: FakeKernel) -> None:
        """Ask the kernel whether it lives, as agents do, on control."""
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "kernel_info_request", "session": AGENT_SESSION}
        header |= {"username": "kernelhub", "date": "2026-01-01T00:00:00Z", "version": "5.3"}
        parts = [json.dumps(part).encode() for part in (header, {}, {}, {})]
        signature = hmac.new(kernel.key.encode(), b"".join(parts), hashlib.sha256).hexdigest().encode()
        if kernel.kernel_id not in self._askers:
            asker = self._askers[kernel.kernel_id] = zmq.Context.instance().socket(zmq.DEALER)
            asker.linger = 0
            asker.connect(f"ipc://{self.folder / kernel.kernel_id}-4")
        self._askers[kernel.kernel_id].send_multipart([b"<IDS|MSG>", signature, *parts])

    async def die(self, kernel: FakeKernel, request: dict[str, Any], reason: str, *, asked: bool = False) -> None:
        """Kill the kernel while it runs `request` (a header), and write what an agent writes then.

        `asked`: its user restarts it, who is told no error.
        """
        assert kernel.process is not None
        kernel.process.kill()
        kernel.process.wait()
        await asyncio.sleep(0.1)
        self.write_journal(kernel.kernel_id)
        journal = self.journals[kernel.kernel_id]
        error = ("error", {"ename": "KernelDied", "evalue": reason, "traceback": [reason]})
        for kind, content in (*([] if asked else [error]), ("status", {"execution_state": "idle"})):
            header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": AGENT_SESSION, "version": "5.3"}
            journal.add_message([json.dumps(part).encode() for part in (header, request, {}, content)])
        death = {"generation": kernel.generation, "reason": reason, "exit_status": -9, "asked": asked}
        journal.add(DEATH, death)
        journal.flush()
        kernel.generation += 1
        kernel.key = uuid.uuid4().hex

    async def tell(self, event: dict[str, Any]) -> None:
        """Push an event to every peer."""
        for peer in self.peers:
            await self._socket.send_multipart([peer, json.dumps(event).encode()])

    async def tell_kernel(self, kernel: FakeKernel, **changes: Any) -> None:
        """Change a kernel and say so."""
        for name, value in changes.items():
            setattr(kernel, name, value)
        await self.tell({"event": "kernel", "kernel": kernel.info()})

    async def start_kernel(
        self, kernel: FakeKernel | None = None, program: tuple[str, ...] = (ipykernel_start.__file__,)
    ) -> FakeKernel:
        """Start ipykernel as agents do, or another `program`, on ipc sockets in the folder; wait until it answers."""
        kernel = kernel or FakeKernel(str(uuid.uuid4()), key=uuid.uuid4().hex)
        self.kernels[kernel.kernel_id] = kernel
        prefix = self.folder / kernel.kernel_id
        connection = {
            "transport": "ipc",
            "ip": str(prefix),
            "shell_port": 1,
            "iopub_port": 2,
            "stdin_port": 3,
            "control_port": 4,
            "hb_port": 5,
            "key": kernel.key,
            "signature_scheme": "hmac-sha256",
        }
        for old in self.folder.glob(f"{kernel.kernel_id}-*"):
            old.unlink()
        file = self.folder / f"{kernel.kernel_id}.json"
        file.write_text(json.dumps(connection))
        command = [sys.executable, *program, "-f", str(file)]
        environment = {**os.environ, "IPYTHONDIR": str(self.folder / "ipython"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        kernel.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        heart = self._context.socket(zmq.REQ)
        heart.linger = 0
        heart.connect(f"ipc://{prefix}-5")
        await heart.send(b"ping")
        async with asyncio.timeout(PATIENCE):
            await heart.recv()
        heart.close()
        if self.keeps_journals:
            self.keep_journal(kernel)
            await asyncio.sleep(0.1)  # its subscription arrives
        return kernel

    async def close(self) -> None:
        self._task.cancel()
        self._socket.close()
        for asker in self._askers.values():
            asker.close(0)
        for kernel in self.kernels.values():
            if kernel.process is not None:
                kernel.process.kill()
                kernel.process.wait()
        self._context.destroy(0)


# ---- the hub


@dataclass
class FakeHub:
    """Answers what the proxy asks, and remembers it."""

    routes: dict[str, dict[str, Any]] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    questions: list[dict[str, Any]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str, list[tuple[str, str]]]] = field(default_factory=list)
    uploaded: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    streams: list[Any] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    thaws: list[str] = field(default_factory=list)
    on_thaw: Callable[[], Awaitable[bool]] | None = None
    """Has a workspace go on; when it gives False the hub fails."""
    port: int = 0
    _server: HTTPServer | None = None

    async def start(self) -> None:
        application = Application(
            [
                (r"/internal/(route|activity|thaw)", InternalHandler, {"hub": self}),
                (r"/health/(?:live|ready)", HealthHandler),
                (r"/user/alice/api/events/subscribe", EventsHandler, {"hub": self}),
                (r"/upload.*", UploadHandler, {"hub": self}),
                (r"/.*", EchoHandler, {"hub": self}),
            ]
        )
        self._server = HTTPServer(application, max_body_size=1 << 40)
        sockets = bind_sockets(self.port, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        self._server.add_sockets(sockets)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            for stream in self.streams:
                stream.close()
            await self._server.close_all_connections()


class InternalHandler(RequestHandler):
    def initialize(self, hub: FakeHub) -> None:
        self.hub = hub

    async def post(self, what: str) -> None:
        assert self.request.headers["X-Kernelhub-Internal"] == TOKEN
        question = json.loads(self.request.body)
        if what == "activity":
            self.hub.reports.append(question)
            await self.finish({"revoked": self.hub.revoked, "paused": self.hub.paused})
            return
        if what == "thaw":
            await self._thaw(question["workspace_id"])
            return
        self.hub.questions.append(question)
        refusal = {"kind": "refused", "status": 403, "code": "forbidden", "message": "Forbidden"}
        await self.finish(self.hub.routes.get(question["path"], refusal))

    async def _thaw(self, workspace_id: str) -> None:
        self.hub.thaws.append(workspace_id)
        if self.hub.on_thaw is not None and not await self.hub.on_thaw():
            self.set_status(500)
            return
        self.hub.paused = [each for each in self.hub.paused if each != workspace_id]
        await self.finish({"thawed": True})


class EventsHandler(WebSocketHandler):
    """A WebSocket of the hub itself: mirrors what it gets."""

    def initialize(self, hub: FakeHub) -> None:
        self.hub = hub

    def prepare(self) -> None:
        self.hub.requests.append(
            (self.request.method or "", self.request.uri or "", list(self.request.headers.get_all()))
        )
        if self.request.headers.get("Cookie") != "good":
            self.set_status(403)
            self.finish()

    def open(self) -> None:
        self.hub.streams.append(self.ws_connection.stream)  # type: ignore[union-attr]

    def on_message(self, message: str | bytes) -> None:
        if message == "leave":
            self.close(4401, "signed out")
        else:
            self.write_message(message, binary=isinstance(message, bytes))


class HealthHandler(RequestHandler):
    def get(self) -> None:
        self.finish("live")


class EchoHandler(RequestHandler):
    def initialize(self, hub: FakeHub) -> None:
        self.hub = hub

    async def prepare(self) -> None:
        uri = self.request.uri or ""
        self.hub.requests.append((self.request.method or "", uri, list(self.request.headers.get_all())))
        path = uri.partition("?")[0]
        if path == "/download":
            size = int(self.get_argument("size"))
            if self.get_argument("length", "yes") == "yes":
                self.set_header("Content-Length", str(size))
            while size > 0:
                piece = b"x" * min(size, 1 << 18)
                size -= len(piece)
                self.write(piece)
                await self.flush()
            await self.finish()
        elif path == "/cut":
            self.set_header("Content-Length", "100000")
            self.write(b"x" * 70000)
            await self.flush()
            self.request.connection.close()
        elif path == "/events":
            self.set_header("Content-Type", "text/event-stream")
            self.write("data: one\n\n")
            await self.flush()
            await self.hub.release.wait()
            self.write("data: two\n\n")
            await self.finish()
        elif path == "/cookies":
            self.add_header("Set-Cookie", "a=1; Path=/")
            self.add_header("Set-Cookie", "b=2; Path=/")
            self.set_header("Connection", "x-secret")
            self.set_header("X-Secret", "1")
            self.set_status(302)
            self.set_header("Location", "/elsewhere")
            await self.finish()
        elif path == "/cached":
            self.set_header("Etag", '"1"')
            self.set_status(304 if self.request.headers.get("If-None-Match") == '"1"' else 200)
            await self.finish()
        elif path == "/nothing":
            self.set_status(204)
            await self.finish()
        else:
            self.set_header("Content-Type", "application/json")
            body = {"method": self.request.method, "uri": uri, "body": self.request.body.decode("latin-1")}
            await self.finish(json.dumps(body))


@stream_request_body
class UploadHandler(RequestHandler):
    def initialize(self, hub: FakeHub) -> None:
        self.hub = hub

    def prepare(self) -> None:
        self.hub.uploaded = 0
        if "refuse" in (self.request.uri or ""):
            self.set_status(413)
            self.finish("too large")

    def data_received(self, chunk: bytes) -> None:
        self.hub.uploaded += len(chunk)

    def put(self) -> None:
        self.finish(str(self.hub.uploaded))


# ---- everything together


@dataclass
class Rig:
    """A running proxy with a fake hub and a fake agent."""

    proxy: Proxy
    hub: FakeHub
    agent: FakeAgent
    folder: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.proxy.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def allow_kernel(self, kernel: FakeKernel, principal: str = "sign-in-1") -> str:
        """Let the hub route to this kernel; return its path."""
        path = f"/user/alice/api/kernels/{kernel.kernel_id}/channels"
        self.hub.routes[path] = {
            "kind": "kernel",
            "principal": principal,
            "user_id": "u1",
            "workspace_id": "w1",
            "kernel_id": kernel.kernel_id,
            "run_folder": str(self.folder),
            "owner_uid": os.getuid(),
        }
        return path

    def allow_terminal(self, name: str, scrollback: str = "") -> str:
        path = f"/user/alice/terminals/websocket/{name}"
        self.agent.terminals[name] = scrollback
        self.hub.routes[path] = {
            "kind": "terminal",
            "principal": "sign-in-1",
            "user_id": "u1",
            "workspace_id": "w1",
            "terminal": name,
            "run_folder": str(self.folder),
            "owner_uid": os.getuid(),
        }
        return path

    @asynccontextmanager
    async def connect(
        self,
        kernel: FakeKernel,
        *,
        v1: bool = True,
        session: str | None = None,
        address: str | None = None,
        principal: str = "sign-in-1",
        **options: Any,
    ) -> AsyncIterator[KernelClient]:
        path = self.allow_kernel(kernel, principal)
        session = session or uuid.uuid4().hex
        where = address or self.address
        protocols = ["v1.kernel.websocket.jupyter.org"] if v1 else None
        async with websockets.connect(
            f"ws://{where}{path}?session_id={session}",
            subprotocols=protocols,  # type: ignore[arg-type]
            max_size=None,
            compression=None,
            ping_interval=None,
            **options,
        ) as socket:
            yield KernelClient(socket, v1, session)


@asynccontextmanager
async def run_rig(*, keeps_journals: bool = False, **settings: Any) -> AsyncIterator[Rig]:
    """Start everything but a kernel."""
    async with short_folder() as folder:
        agent, hub = FakeAgent(folder, keeps_journals=keeps_journals), FakeHub()
        await hub.start()
        settings.setdefault("static_roots", {})
        proxy = Proxy(ProxySettings(internal_token=TOKEN, port=0, hub_url=f"http://127.0.0.1:{hub.port}", **settings))
        await proxy.start()
        try:
            yield Rig(proxy, hub, agent, folder)
        finally:
            try:
                await proxy.close()
            finally:
                await hub.stop()
                await agent.close()


# ---- a client


class KernelClient:
    """Speaks one of the framings over a WebSocket. Messages are dicts with header, content, channel, buffers, …."""

    def __init__(self, socket: Any, v1: bool, session: str) -> None:
        self.socket = socket
        self.v1 = v1
        self.session = session
        self.seen: list[dict[str, Any]] = []

    async def send(
        self,
        msg_type: str,
        content: dict[str, Any],
        channel: str = "shell",
        buffers: tuple[bytes, ...] = (),
        metadata: dict[str, Any] | None = None,
    ) -> str:
        msg_id = uuid.uuid4().hex
        header = {
            "msg_id": msg_id,
            "msg_type": msg_type,
            "session": self.session,
            "username": "",
            "date": "2026-01-01T00:00:00Z",
            "version": "5.3",
        }
        await self.socket.send(self._pack(channel, header, content, buffers, metadata or {}))
        return msg_id

    def _pack(
        self,
        channel: str,
        header: dict[str, Any],
        content: dict[str, Any],
        buffers: tuple[bytes, ...],
        metadata: dict[str, Any],
    ) -> str | bytes:
        if self.v1:
            parts = [channel.encode(), *(json.dumps(p).encode() for p in (header, {}, metadata, content)), *buffers]
            offsets = [8 * (2 + len(parts))]
            for part in parts:
                offsets.append(offsets[-1] + len(part))
            return struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)
        message = {"channel": channel, "header": header, "parent_header": {}, "metadata": metadata, "content": content}
        if not buffers:
            return json.dumps(message)
        parts = [json.dumps(message).encode(), *buffers]
        offsets = [4 * (len(parts) + 1)]
        for part in parts[:-1]:
            offsets.append(offsets[-1] + len(part))
        return struct.pack(f">{len(parts) + 1}I", len(parts), *offsets) + b"".join(parts)

    def _unpack(self, raw: str | bytes) -> dict[str, Any]:
        if self.v1:
            assert isinstance(raw, bytes)
            (count,) = struct.unpack_from("<Q", raw)
            offsets = struct.unpack_from(f"<{count}Q", raw, 8)
            parts = [raw[a:b] for a, b in itertools.pairwise(offsets)]
            header, parent, metadata, content = (json.loads(p) for p in parts[1:5])
            return {
                "channel": parts[0].decode(),
                "header": header,
                "parent_header": parent,
                "metadata": metadata,
                "content": content,
                "buffers": parts[5:],
            }
        if isinstance(raw, str):
            return json.loads(raw)
        (count,) = struct.unpack_from(">I", raw)
        offsets = [*struct.unpack_from(f">{count}I", raw, 4), len(raw)]
        parts = [raw[a:b] for a, b in itertools.pairwise(offsets)]
        return {**json.loads(parts[0]), "buffers": parts[1:]}

    async def leave(self) -> None:
        """Close the connection, and read what had arrived until then."""
        await self.socket.close()
        try:
            while True:
                await self.receive()
        except websockets.ConnectionClosed:
            pass

    async def receive(self, timeout: float = PATIENCE) -> dict[str, Any]:
        async with asyncio.timeout(timeout):
            message = self._unpack(await self.socket.recv())
        self.seen.append(message)
        return message

    async def until(self, accept: Callable[[dict[str, Any]], bool], timeout: float = PATIENCE) -> dict[str, Any]:
        async with asyncio.timeout(timeout):
            while not accept(message := await self.receive(timeout)):
                pass
        return message

    async def execute(self, code: str, timeout: float = PATIENCE, **options: Any) -> list[dict[str, Any]]:
        """Run code; return the messages about it, when both its reply and the state idle have come."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, **options}
        return await self.answers(await self.send("execute_request", content), timeout)

    async def answers(self, msg_id: str, timeout: float = PATIENCE) -> list[dict[str, Any]]:
        """All messages about a request, those seen already included, once its reply and the state idle have come."""
        about = [m for m in self.seen if m["parent_header"].get("msg_id") == msg_id]
        async with asyncio.timeout(timeout):
            while not _is_answered(about):
                message = await self.receive(timeout)
                if message["parent_header"].get("msg_id") == msg_id:
                    about.append(message)
        return about


def _is_answered(about: list[dict[str, Any]]) -> bool:
    kinds = [m["header"]["msg_type"] for m in about]
    states = [m["content"]["execution_state"] for m in about if m["header"]["msg_type"] == "status"]
    return "idle" in states and any(kind.endswith("_reply") for kind in kinds)


def text_of(messages: list[dict[str, Any]], name: str = "stdout") -> str:
    """All stream text in `messages`."""
    return "".join(
        m["content"]["text"] for m in messages if m["header"]["msg_type"] == "stream" and m["content"]["name"] == name
    )


async def eventually(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    """Return as soon as `condition` holds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)
