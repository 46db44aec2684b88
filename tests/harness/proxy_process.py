"""A proxy in a process of its own, beside a fake hub and a fake agent, so that its memory can be watched."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil

from proxy.cli import run
from proxy.config import ProxySettings
from tests.harness.proxy_rig import TOKEN, FakeAgent, FakeHub, Rig, eventually, short_folder


def _proxy(settings: ProxySettings) -> None:
    asyncio.run(run(settings))


@contextmanager
def proxy_process(hub_port: int, port: int = 0, state_dir: Path | None = None) -> Iterator[tuple[int, psutil.Process]]:
    """Run a proxy for this hub; its port (0: any) and its process. It may be killed meanwhile."""
    if not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    settings = ProxySettings(
        internal_token=TOKEN,
        port=port,
        hub_url=f"http://127.0.0.1:{hub_port}",
        static_roots={},
        state_dir=state_dir,
    )
    process = multiprocessing.get_context("spawn").Process(target=_proxy, args=(settings,), daemon=True)
    process.start()
    try:
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.join(10)
        assert process.exitcode in (0, -signal.SIGKILL), "the proxy ended badly"


class World(Rig):
    """A rig whose proxy is another process."""

    process: psutil.Process


class Port:
    """Stands for a proxy in another process."""

    def __init__(self, port: int) -> None:
        self.port = port


@asynccontextmanager
async def run_world() -> AsyncIterator[World]:
    """Start everything but a kernel."""
    async with short_folder() as folder:
        agent, hub = FakeAgent(folder), FakeHub()
        await hub.start()
        try:
            with proxy_process(hub.port) as (port, process):
                await eventually(lambda: listens(port))
                world = World(Port(port), hub, agent, folder)  # type: ignore[arg-type]
                world.process = process
                yield world
        finally:
            await hub.stop()
            await agent.close()


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def until_read(world: World) -> None:
    """Return when the proxy has nothing more to do: its CPU time stands still."""
    last = -1.0
    while (now := sum(world.process.cpu_times()[:2])) != last:
        last = now
        await asyncio.sleep(0.3)
