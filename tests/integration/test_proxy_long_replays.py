"""A replay that is larger than all queues, and journals that a hostile container has written itself."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from hub.agent.journal import Journal
from proxy.core import bridge
from proxy.kit.journal_format import HEAD, MAGIC, segment_name
from tests.harness.proxy_process import Port, listens, proxy_process
from tests.harness.proxy_rig import (
    FakeAgent,
    FakeHub,
    KernelClient,
    Rig,
    eventually,
    run_rig,
    short_folder,
    text_of,
)
from tests.integration.test_proxy_replay import back

MIB = 1024 * 1024
CELL = {"msg_id": "long-cell", "session": "s", "msg_type": "execute_request"}


def published(kind: str, session: str = "kernel", **content: object) -> list[bytes]:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": session, "version": "5.3"}
    return [json.dumps(part).encode() for part in (header, CELL, {}, content)]


def shown(client: KernelClient) -> list[int]:
    return [m["content"]["metadata"]["n"] for m in client.seen if m["header"]["msg_type"] == "display_data"]


async def test_54_mb_come_to_a_slow_client_once_and_in_order_and_the_proxy_holds_little_of_it(tmp_path: Path) -> None:
    async with short_folder() as folder:
        agent, hub = FakeAgent(folder, keeps_journals=True), FakeHub()
        await hub.start()
        try:
            kernel = await agent.start_kernel()
            with proxy_process(hub.port, 0, tmp_path) as (port, process):
                rig = Rig(Port(port), hub, agent, folder)  # type: ignore[arg-type]
                await eventually(lambda: listens(port))
                async with rig.connect(kernel, session="s") as client:
                    await client.execute("1")
                    await asyncio.sleep(0.1)
                journal = agent.journals[kernel.kernel_id]
                agent.write_journal(kernel.kernel_id)
                for n in range(540):
                    data = {"text/plain": "x" * 100_000}
                    journal.add_message(published("display_data", data=data, metadata={"n": n}))
                journal.add_message(published("status", execution_state="idle"))
                before, most = process.memory_info().rss, 0
                async with rig.connect(kernel, session="s", max_queue=1) as again:
                    await back(client, again).receive()
                    await stands_still(process)
                    last: dict[str, object] = {}
                    while last.get("metadata") != {"n": 539}:
                        last = (await again.receive())["content"]
                        most = max(most, process.memory_info().rss - before)
                        if len(again.seen) < 250:
                            await asyncio.sleep(0.001)
                    assert shown(again) == list(range(540))
                    assert most < 24 * MIB, "the journal is read as the client reads"
                    assert text_of(await again.execute("print('live')")) == "live\n"
                    replies = [m for m in again.seen if m["parent_header"].get("msg_id") == CELL["msg_id"]]
                    assert [m["channel"] for m in replies].count("shell") == 1
        finally:
            await hub.stop()
            await agent.close()


async def stands_still(process: psutil.Process) -> None:
    """Return when the proxy has nothing more to do."""
    last = -1.0
    while (now := sum(process.cpu_times()[:2])) != last:
        last = now
        await asyncio.sleep(0.15)


# ---- forged journals


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(bridge, "PAUSES", (0.0, 0.01))
    async with run_rig(keeps_journals=True, state_dir=tmp_path) as rig:
        yield rig


def of_another(folder: Path, at: Path) -> None:
    """A link to a journal of another user's kernel."""
    other = Journal(str(folder), "0f8b0f0e-0000-4000-8000-000000000009", 64 << 20)
    other.add_message(published("stream", name="stdout", text="secret"))
    other.flush()
    at.symlink_to(next(folder.glob("journal-0f8b0f0e-0000-4000-8000-000000000009-*")))


def fifo(folder: Path, at: Path) -> None:
    os.mkfifo(at)


def endless(folder: Path, at: Path) -> None:
    at.symlink_to("/dev/zero")


def wrong_lengths(folder: Path, at: Path) -> None:
    at.write_bytes(MAGIC + HEAD.pack(2**32 - 1, 3, 1, 1.0) + b"x" * 1000)


def sparse(folder: Path, at: Path) -> None:
    at.write_bytes(MAGIC)
    os.truncate(at, 2**40)


def far_ahead(folder: Path, at: Path) -> None:
    at.write_bytes(MAGIC + record(2**63, published("stream", name="stdout", text="forged")))


def record(seq: int, parts: list[bytes]) -> bytes:
    payload = len(parts).to_bytes(2, "big") + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return HEAD.pack(17 + len(payload), 1, seq, 1.0) + payload


FORGERIES: list[Callable[[Path, Path], None]] = [of_another, fifo, endless, wrong_lengths, sparse, far_ahead]


async def test_a_journal_that_the_container_put_there_keeps_nobody_from_going_on(rig: Rig) -> None:
    kernel = await rig.agent.start_kernel()
    for forge in FORGERIES:
        async with rig.connect(kernel, session=forge.__name__) as client:
            await client.execute("1")
            await asyncio.sleep(0.05)
        for path in rig.folder.glob(f"journal-{kernel.kernel_id}-*"):
            path.unlink()
        forge(rig.folder, rig.folder / segment_name(kernel.kernel_id, 1))
        async with rig.connect(kernel, session=forge.__name__) as again:
            assert text_of(await again.execute("print('goes on')")) == "goes on\n", forge.__name__
            assert "secret" not in json.dumps(again.seen)


async def test_a_journal_that_grows_without_end_is_its_own_pages_harm(rig: Rig) -> None:
    kernel, neighbour = await rig.agent.start_kernel(), await rig.agent.start_kernel()
    async with rig.connect(kernel, session="s") as client:
        await client.execute("1")
        await asyncio.sleep(0.1)
    journal = rig.agent.journals[kernel.kernel_id]
    rig.agent.write_journal(kernel.kernel_id)
    (path,) = rig.folder.glob(f"journal-{kernel.kernel_id}-*")
    stop, before = threading.Event(), psutil.Process().memory_info().rss
    writer = threading.Thread(target=write_until, args=(path, journal.last, stop))
    writer.start()
    try:
        async with rig.connect(kernel, session="s") as again, rig.connect(neighbour, session="t") as other:
            reading = asyncio.create_task(again.execute("print('in the end')"))
            for _ in range(5):
                began = time.monotonic()
                assert text_of(await other.execute("print(1)")) == "1\n"
                assert time.monotonic() - began < 5.0
            assert not reading.done() or text_of(reading.result()) == "in the end\n"
            assert psutil.Process().memory_info().rss - before < 300 * MIB
            stop.set()
            assert text_of(await reading) == "in the end\n"
    finally:
        stop.set()
        writer.join()


def write_until(path: Path, last: int, stop: threading.Event) -> None:
    """Write one well-formed record after the other, with pauses that leave this process its other work."""
    with path.open("ab") as file:
        while not stop.is_set() and file.tell() < 60 * MIB:
            lines = []
            for _ in range(10):
                last += 1
                lines.append(record(last, published("stream", name="stdout", text="forged\n")))
            file.write(b"".join(lines))
            file.flush()
            time.sleep(0.002)
