"""SIGKILL of a proxy: its successor goes on where it stood, to the message."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import websockets

from tests.harness.proxy_process import Port, listens, proxy_process
from tests.harness.proxy_rig import FakeAgent, FakeHub, FakeKernel, KernelClient, Rig, eventually, short_folder, text_of


@dataclass
class Page:
    """A front end that connects again until its work is done, and remembers what it has."""

    session: str
    seen: list[dict[str, object]] = field(default_factory=list)


@asynccontextmanager
async def surroundings() -> AsyncIterator[tuple[FakeHub, FakeAgent, Path]]:
    async with short_folder() as folder:
        agent, hub = FakeAgent(folder, keeps_journals=True), FakeHub()
        await hub.start()
        try:
            yield hub, agent, folder
        finally:
            await hub.stop()
            await agent.close()


async def watch(rig: Rig, kernel: FakeKernel, page: Page, msg_id: str) -> KernelClient:
    """Read until the request is answered, or the connection ends."""
    async with rig.connect(kernel, session=page.session) as client:
        client.seen = page.seen  # type: ignore[assignment]
        with suppress(websockets.ConnectionClosed):
            await client.answers(msg_id)
        return client


async def test_a_proxy_that_is_killed_again_and_again_loses_no_message_and_doubles_none(tmp_path: Path) -> None:
    chance = random.Random(7)
    async with surroundings() as (hub, agent, folder):
        kernel = await agent.start_kernel()
        page, msg_id, port = Page("s"), "", 0
        code = "import time\nfor i in range(1000):\n    print(i, flush=True)\n    if i % 10 == 0: time.sleep(0.08)"
        for life in range(3):
            with proxy_process(hub.port, port, tmp_path) as (port, process):
                rig = Rig(Port(port), hub, agent, folder)  # type: ignore[arg-type]
                await eventually(lambda at=port: listens(at))
                if life == 2:
                    await watch(rig, kernel, page, msg_id)
                    break
                async with rig.connect(kernel, session=page.session) as client:
                    client.seen = page.seen  # type: ignore[assignment]
                    if not msg_id:
                        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
                        msg_id = await client.send("execute_request", content)
                    await client.until(lambda m: m["header"]["msg_type"] == "stream")
                    reading = asyncio.create_task(read_all(client))
                    await asyncio.sleep(chance.uniform(0.0, 0.15))
                    process.kill()
                    await asyncio.wait_for(reading, 10)
        assert text_of(page.seen) == "".join(f"{i}\n" for i in range(1000))  # type: ignore[arg-type]
        kinds = [m["header"]["msg_type"] for m in page.seen if m["parent_header"].get("msg_id") == msg_id]  # type: ignore[index,attr-defined]
        assert kinds.count("execute_reply") == 1
        assert kinds.count("status") == 2


async def read_all(client: KernelClient) -> None:
    """Read until the connection ends."""
    with suppress(websockets.ConnectionClosed):
        while True:
            await client.receive()


async def test_input_that_waits_outlives_the_proxy(tmp_path: Path) -> None:
    async with surroundings() as (hub, agent, folder):
        kernel = await agent.start_kernel()
        content = {"code": "print('hello ' + input('name? '))", "silent": False, "allow_stdin": True}
        with proxy_process(hub.port, 0, tmp_path) as (port, process):
            rig = Rig(Port(port), hub, agent, folder)  # type: ignore[arg-type]
            await eventually(lambda: listens(port))
            async with rig.connect(kernel, session="s") as client:
                await client.send("execute_request", content)
                await client.until(lambda m: m["header"]["msg_type"] == "input_request")
                process.kill()
                await read_all(client)
        with proxy_process(hub.port, port, tmp_path):
            await eventually(lambda: listens(port))
            async with rig.connect(kernel, session="other-page") as other:
                await other.until(lambda m: m["header"]["msg_type"] == "input_request")
                await other.send("input_reply", {"value": "Ada", "status": "ok"}, channel="stdin")
                await other.until(lambda m: text_of([m]) == "hello Ada\n")
