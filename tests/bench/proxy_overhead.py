"""Bare kernel sockets beside the same kernel through the proxy, interleaved, in one run.

    python -m tests.bench.proxy_overhead [rounds] [requests per round]

The proxy runs in a process of its own, as in production. A round trip is an execute_request of ``1`` until both
its reply and the state idle have come. The flood is published by a stand-in kernel that never limits itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import multiprocessing
import os
import statistics
import sys
import time
import uuid
from pathlib import Path

import psutil
import zmq
import zmq.asyncio

from hub.agent.journal import Journal
from proxy.cli import run as run_proxy
from proxy.config import ProxySettings
from tests.harness.proxy_rig import TOKEN, FakeAgent, FakeHub, FakeKernel, KernelClient, Rig, short_folder

DELIMITER = b"<IDS|MSG>"
JOURNAL_BYTES = 64 * 1024 * 1024


def message(key: str, msg_type: str, content: dict[str, object], session: str = "s") -> tuple[str, list[bytes]]:
    """A signed message, and its id."""
    msg_id = uuid.uuid4().hex
    header = {"msg_id": msg_id, "msg_type": msg_type, "session": session, "username": "", "date": "", "version": "5.3"}
    parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
    signature = hmac.new(key.encode(), b"".join(parts), hashlib.sha256).hexdigest().encode()
    return msg_id, [DELIMITER, signature, *parts]


class Bare:
    """A client on the kernel's own sockets."""

    def __init__(self, folder: Path, kernel: FakeKernel) -> None:
        context = zmq.Context.instance()
        self._key = kernel.key
        self.shell, self.iopub = context.socket(zmq.DEALER), context.socket(zmq.SUB)
        self.iopub.subscribe(b"")
        self.iopub.rcvhwm = 0
        self.shell.connect(f"ipc://{folder}/{kernel.kernel_id}-1")
        self.iopub.connect(f"ipc://{folder}/{kernel.kernel_id}-2")
        self.poller = zmq.Poller()
        self.poller.register(self.shell, zmq.POLLIN)
        self.poller.register(self.iopub, zmq.POLLIN)
        self.iopub.recv_multipart()

    def round_trip(self) -> float:
        """One execute_request; seconds."""
        msg_id, frames = message(self._key, "execute_request", {"code": "1", "silent": False, "allow_stdin": False})
        began = time.perf_counter()
        self.shell.send_multipart(frames)
        is_idle = is_replied = False
        while not (is_idle and is_replied):
            for socket, _ in self.poller.poll():
                parts = socket.recv_multipart()
                header, parent, _, content = (json.loads(p) for p in parts[parts.index(DELIMITER) + 2 :][:4])
                if parent.get("msg_id") != msg_id:
                    continue
                is_replied = is_replied or socket is self.shell
                is_idle = is_idle or (header["msg_type"] == "status" and content["execution_state"] == "idle")
        return time.perf_counter() - began


async def through_proxy(client: KernelClient) -> float:
    """The same through the proxy; seconds."""
    began = time.perf_counter()
    await client.execute("1")
    return time.perf_counter() - began


async def quiet(*clients: KernelClient) -> None:
    """Read and throw away until nothing comes for 10 ms."""
    for client in clients:
        try:
            while True:
                async with asyncio.timeout(0.01):
                    await client.socket.recv()
        except TimeoutError:
            pass
        client.seen.clear()


def proxy_process(settings: ProxySettings) -> None:
    """Body of the proxy's process."""
    asyncio.run(run_proxy(settings))


def flood(address: str, key: str, count: int, size: int, go: object) -> None:
    """Body of the stand-in kernel's process: publish `count` stream messages once told to."""
    context = zmq.Context()
    sockets = {n: context.socket(k) for n, k in ((1, zmq.ROUTER), (2, zmq.XPUB), (3, zmq.ROUTER), (4, zmq.ROUTER))}
    for number, socket in sockets.items():
        socket.sndhwm = 0
        socket.bind(f"ipc://{address}-{number}")
    iopub = sockets[2]
    iopub.recv()
    iopub.send_multipart(message(key, "iopub_welcome", {"subscription": ""})[1])
    go.wait()  # type: ignore[attr-defined]
    frames = [b"stream.stdout", *message(key, "stream", {"name": "stdout", "text": "x" * size})[1]]
    last = [b"end", *message(key, "status", {"execution_state": "idle"})[1]]
    for _ in range(count):
        iopub.send_multipart(frames)
    iopub.send_multipart(last)
    time.sleep(60)


async def measure_flood(rig: Rig, proxy: psutil.Process, count: int, size: int) -> None:
    """Print messages per second and the proxy's CPU time for one flood."""
    kernel = FakeKernel(str(uuid.uuid4()), key="k")
    rig.agent.kernels[kernel.kernel_id] = kernel
    rig.agent.journals[kernel.kernel_id] = Journal(str(rig.folder), kernel.kernel_id, JOURNAL_BYTES)
    spawn = multiprocessing.get_context("spawn")
    go = spawn.Event()
    source = spawn.Process(target=flood, args=(str(rig.folder / kernel.kernel_id), "k", count, size, go), daemon=True)
    source.start()
    while not (rig.folder / f"{kernel.kernel_id}-4").exists():
        await asyncio.sleep(0.01)
    async with rig.connect(kernel) as client:
        await asyncio.sleep(0.5)
        cpu = sum(proxy.cpu_times()[:2])
        began = time.perf_counter()
        go.set()
        got, text = 0, 0
        while True:
            raw = await client.socket.recv()
            got += 1
            text += len(raw)
            if b'"idle"' in raw[-40:]:
                break
        took = time.perf_counter() - began
        cpu = sum(proxy.cpu_times()[:2]) - cpu
    source.terminate()
    print(
        f"flood {count} x {size} B: {count / took:,.0f} msg/s, {text / took / 1e6:.0f} MB/s, "
        f"{1e6 * cpu / count:.1f} us of CPU per message; {got} WebSocket messages; "
        f"proxy rss {proxy.memory_info().rss / 2**20:.0f} MiB"
    )


async def main(rounds: int, requests: int) -> None:
    """Print the table."""
    async with short_folder() as folder:
        agent, hub = FakeAgent(folder), FakeHub()
        await hub.start()
        port = 18000 + os.getpid() % 2000
        settings = ProxySettings(
            internal_token=TOKEN,
            port=port,
            hub_url=f"http://127.0.0.1:{hub.port}",
            static_roots={},
            state_dir=folder / "proxy",
        )
        process = multiprocessing.get_context("spawn").Process(target=proxy_process, args=(settings,), daemon=True)
        process.start()
        proxy = psutil.Process(process.pid)

        class Away:
            """Stands for the proxy in the other process."""

        away = Away()
        away.port = port  # type: ignore[attr-defined]
        rig = Rig(away, hub, agent, folder)  # type: ignore[arg-type]
        try:
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except OSError:
                    await asyncio.sleep(0.05)
            print(f"proxy at rest: rss {proxy.memory_info().rss / 2**20:.0f} MiB")
            kernel = await agent.start_kernel()
            # With a journal (that nobody writes here) the proxy keeps cursors, as it does beside a real agent.
            agent.journals[kernel.kernel_id] = Journal(str(folder), kernel.kernel_id, JOURNAL_BYTES)
            bare_times: list[float] = []
            times: dict[bool, list[float]] = {True: [], False: []}
            async with rig.connect(kernel) as v1, rig.connect(kernel, v1=False) as legacy:
                bare = await asyncio.to_thread(Bare, folder, kernel)
                for client in (v1, legacy):
                    for _ in range(20):
                        await through_proxy(client)
                for _ in range(rounds * requests):
                    # One after the other, so that all three meet the same disturbances; each begins when both
                    # clients have read what they were told about the others' requests.
                    bare_times.append(await asyncio.to_thread(bare.round_trip))
                    for is_v1, client in ((True, v1), (False, legacy)):
                        await quiet(v1, legacy)
                        times[is_v1].append(await through_proxy(client))
                    await quiet(v1, legacy)
            base = statistics.median(bare_times)
            for name, values in (
                ("bare sockets", bare_times),
                ("proxy, v1", times[True]),
                ("proxy, default", times[False]),
            ):
                middle = statistics.median(values)
                print(
                    f"{name:15} p50 {1e3 * middle:6.2f} ms (+{1e3 * (middle - base):.2f})  "
                    f"p95 {1e3 * sorted(values)[int(len(values) * 0.95)]:6.2f} ms  min {1e3 * min(values):.2f} ms"
                )
            await measure_flood(rig, proxy, 50_000, 20)
            await measure_flood(rig, proxy, 20_000, 2000)
        finally:
            process.terminate()
            process.join()
            await hub.stop()
            await agent.close()


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    asyncio.run(main(*(numbers or [4, 150])))
