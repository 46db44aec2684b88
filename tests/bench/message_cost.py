"""The proxy's own processor time for a message, beside that of an older revision, in turns and in one run.

    python -m tests.bench.message_cost [--before REVISION] [--rounds N]

Each proxy is a process of its own whose processor clock is read from outside, so other work on the machine hardly
counts. The kernel is a stand-in that writes each batch into the proxy's socket at once; the next follows when the
client has the whole of the one before, and has answered its pings. Without a revision, only this tree is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

from hub.agent.journal import Journal
from tests.harness.proxy_rig import TOKEN, FakeAgent, FakeHub, FakeKernel, Rig

ROOT = Path(__file__).parents[2]
KEY = b"k"
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
PROXY = """
import asyncio, sys
from pathlib import Path
from proxy.cli import run
from proxy.config import ProxySettings
names = ProxySettings.__dataclass_fields__
more = {"state_dir": Path(sys.argv[4])} if "state_dir" in names else {}
token, port, hub_url = sys.argv[1:4]
asyncio.run(run(ProxySettings(internal_token=token, port=int(port), hub_url=hub_url, static_roots={}, **more)))
"""


# ---- what is sent


def frame(flags: int, body: bytes) -> bytes:
    """A ZMTP frame."""
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return struct.pack(">BQ", flags | 2, len(body)) + body


def message(msg_type: str, content: dict[str, object], session: str, request: str) -> bytes:
    """What a kernel writes into its socket for one signed message, as long as ipykernel's."""
    common = {"username": "username", "date": "2026-01-01T00:00:00.000000Z", "version": "5.3"}
    header = {"msg_id": f"{uuid.uuid4().hex}_12_{uuid.uuid4().int % 1000}", "msg_type": msg_type, "session": "f" * 36}
    parent = {"msg_id": request, "msg_type": "execute_request", "session": session}
    parts = [json.dumps(part).encode() for part in (header | common, parent | common, {}, content)]
    signature = hmac.new(KEY, b"".join(parts), hashlib.sha256).hexdigest().encode()
    frames = [msg_type.encode(), b"<IDS|MSG>", signature, *parts]
    return b"".join(frame(1, body) for body in frames[:-1]) + frame(0, frames[-1])


CONTENTS: dict[str, dict[str, object]] = {
    "stream": {"name": "stdout", "text": "0.123456789 0.987654321\n"},
    "display_data": {"data": {"text/plain": "x" * 200}, "metadata": {}, "transient": {}},
}


# ---- both ends


class StandIn:
    """A kernel's sockets, spoken to by hand; one proxy connects."""

    def __init__(self, folder: Path, kernel_id: str) -> None:
        self._listeners = {}
        for number in (1, 2, 3, 4):
            self._listeners[number] = socket.socket(socket.AF_UNIX)
            self._listeners[number].bind(f"{folder / kernel_id}-{number}")
            self._listeners[number].listen()
        self.sockets: dict[int, socket.socket] = {}

    def accept(self) -> None:
        """Shake hands with the proxy on all sockets, and drop what it says."""
        for number, kind in ((2, b"XPUB"), (1, b"ROUTER"), (4, b"ROUTER"), (3, b"ROUTER")):
            accepted, _ = self._listeners[number].accept()
            ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
            accepted.sendall(GREETING + frame(4, ready))
            self.sockets[number] = accepted
        self.sockets[2].sendall(message("iopub_welcome", {}, "", ""))

    def hear_request(self) -> None:
        """Read what the client asked on shell (the size is not looked at: it is there at once, whole)."""
        self.sockets[1].recv(1 << 16)

    def close(self) -> None:
        """Close everything."""
        for each in (*self._listeners.values(), *self.sockets.values()):
            each.close()


class Client:
    """A WebSocket client that counts messages and answers pings."""

    def __init__(self, port: int, path: str, session: str) -> None:
        self.session = session
        self.pings = 0
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (f"GET {path}?session_id={session} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: Upgrade")
        more = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}")
        protocol = "Sec-WebSocket-Protocol: v1.kernel.websocket.jupyter.org"
        self._socket.sendall("\r\n".join((*lines, *more, protocol, "", "")).encode())
        self._data = b""
        while b"\r\n\r\n" not in self._data:
            self._data += self._socket.recv(65536)
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n")[0], head

    def send(self, opcode: int, body: bytes) -> None:
        """Send a masked frame of less than 64 KiB (its mask is 0)."""
        size = bytes((0x80 | len(body),)) if len(body) < 126 else struct.pack("!BH", 0xFE, len(body))
        self._socket.sendall(bytes((0x80 | opcode,)) + size + bytes(4) + body)

    def receive(self, count: int) -> None:
        """Return when so many messages have come."""
        while count:
            count -= self._take()
            if count:
                self._data += self._socket.recv(1 << 18)
        self._take()

    def linger(self, seconds: float) -> None:
        """Do nothing but answer pings for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            with contextlib.suppress(TimeoutError):
                self._data += self._socket.recv(1 << 18)
            self._take()
        self._socket.settimeout(None)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _take(self) -> int:
        """Take the whole frames from what has come; how many of them are messages."""
        data, at, found = self._data, 0, 0
        while len(data) - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if start + size > len(data):
                break
            if data[at] == 0x89:
                self.pings += 1
                self.send(0xA, data[start : start + size])
            else:
                assert data[at] == 0x82, hex(data[at])
                found += 1
            at = start + size
        self._data = data[at:]
        return found


class Side:
    """A proxy of one tree, with a kernel and a client of its own."""

    def __init__(self, world: World, tree: Path, *, keeps: bool) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        state = world.folder / f"state-{self.port}"
        command = [sys.executable, "-c", PROXY, TOKEN, str(self.port), f"http://127.0.0.1:{world.hub.port}", str(state)]
        self._process = subprocess.Popen(command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)})
        self._clock = (~self._process.pid << 3) | 2  # clock_getcpuclockid(3)
        kernel = FakeKernel(str(uuid.uuid4()), key=KEY.decode())
        world.agent.kernels[kernel.kernel_id] = kernel
        if keeps:
            # With a journal (that nobody writes here) the proxy keeps cursors, as it does beside a real agent.
            world.agent.journals[kernel.kernel_id] = Journal(str(world.folder), kernel.kernel_id, 1 << 26)
        self.kernel = StandIn(world.folder, kernel.kernel_id)
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            time.sleep(0.05)
        self.client = Client(self.port, world.rig.allow_kernel(kernel), uuid.uuid4().hex)
        self.kernel.accept()
        time.sleep(0.3)

    def processor_seconds(self) -> float:
        """What the proxy's process has used so far."""
        return time.clock_gettime(self._clock)

    def close(self) -> None:
        """End the proxy."""
        self._process.terminate()
        self._process.wait()
        self.client.close()
        self.kernel.close()


class World:
    """The fake hub and agent, on a loop in a thread of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result()
        self.rig = Rig(SimpleNamespace(port=0), self.hub, self.agent, folder)  # type: ignore[arg-type]

    async def _begin(self) -> None:
        self.agent, self.hub = FakeAgent(self.folder), FakeHub()
        await self.hub.start()


# ---- what is measured


def batches(kind: str, size: int, pause: float = 0.0) -> Callable[[Side, int], None]:
    """A case: batches of `size` messages, `pause` seconds between them."""

    def run(side: Side, times: int) -> None:
        content, session = CONTENTS[kind], side.client.session
        ready = [b"".join(message(kind, content, session, "r") for _ in range(size)) for _ in range(32)]
        for number in range(times):
            side.kernel.sockets[2].sendall(ready[number % 32])
            side.client.receive(size)
            if pause:
                side.client.linger(pause)

    return run


def cells(side: Side, times: int) -> None:
    """A case: requests, each answered by busy, input, an output, the reply and idle."""
    session, client, kernel = side.client.session, side.client, side.kernel
    for number in range(times):
        request = f"{session}-{number}"
        header = {"msg_id": request, "msg_type": "execute_request", "session": session, "username": ""}
        parts = [b"shell", json.dumps(header).encode(), b"{}", b'{"cellId":"c"}', b'{"code":"1","silent":false}']
        offsets = [8 * (len(parts) + 2)]
        for part in parts:
            offsets.append(offsets[-1] + len(part))
        answers = (
            message("status", {"execution_state": "busy"}, session, request),
            message("execute_input", {"code": "1", "execution_count": number}, session, request),
            message("stream", CONTENTS["stream"], session, request),
            message("status", {"execution_state": "idle"}, session, request),
        )
        reply = message("execute_reply", {"status": "ok", "execution_count": number}, session, request)
        body = struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)
        client.send(0x2, body)
        kernel.hear_request()
        kernel.sockets[2].sendall(answers[0] + answers[1])
        client.receive(2)
        kernel.sockets[2].sendall(answers[2])
        client.receive(1)
        kernel.sockets[1].sendall(reply[reply.index(b"\x01\x09<IDS") :])  # without a topic
        client.receive(1)
        kernel.sockets[2].sendall(answers[3])
        client.receive(1)


CASES: dict[str, tuple[Callable[[Side, int], None], int, int]] = {
    "stream, batches of 20": (batches("stream", 20), 200, 20),
    "display_data, batches of 20": (batches("display_data", 20), 200, 20),
    "stream, one by one": (batches("stream", 1), 1000, 1),
    "display_data, one by one": (batches("display_data", 1), 1000, 1),
    "stream, one every 2 ms": (batches("stream", 1, 0.002), 300, 1),
    "stream, one every 20 ms": (batches("stream", 1, 0.02), 50, 1),
    "cells (request to idle)": (cells, 200, 1),
}
"""What it is, how often a round has it, and by what its time is divided."""


@contextlib.contextmanager
def tree_of(revision: str) -> Iterator[Path]:
    """A revision's files in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", revision, "proxy"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def measure(sides: list[Side], rounds: int, only: str) -> None:
    """Print the table: microseconds of processor time, this tree's last."""
    for name, (run, times, share) in CASES.items():
        if only not in name:
            continue
        used: list[list[float]] = [[] for _ in sides]
        for side in sides:
            run(side, times // 5)
        pings = [side.client.pings for side in sides]
        for number in range(rounds):
            for which in range(len(sides)) if number % 2 else reversed(range(len(sides))):
                began = sides[which].processor_seconds()
                run(sides[which], times)
                used[which].append(1e6 * (sides[which].processor_seconds() - began) / (times * share))
        middle = [statistics.median(values) for values in used]
        asked = (sides[-1].client.pings - pings[-1]) / (rounds * times)
        figures = "  ".join(f"{value:7.2f} us" for value in middle)
        ratio = f"x{middle[-1] / middle[0]:.2f} (minima x{min(used[-1]) / min(used[0]):.2f})"
        print(f"{name:28} {figures}  {ratio if len(sides) > 1 else ''}  pings {asked:.3f}", flush=True)


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", help="a revision to compare with")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="cases with this in their name")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        world = World(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kh-", dir="/tmp"))))
        trees = [stack.enter_context(tree_of(given.before)), ROOT] if given.before else [ROOT]
        sides = [Side(world, tree, keeps=(tree / "proxy/io/cursors.py").exists()) for tree in trees]
        for side in sides:
            stack.callback(side.close)
        measure(sides, given.rounds, given.only)


if __name__ == "__main__":
    main()
