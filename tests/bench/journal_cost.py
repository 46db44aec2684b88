"""`python -m tests.bench.journal_cost`: what the journal costs the agent, and whether any message is missing in it.

A real agent and a real ipykernel, whose cell shows 100,000 small things as fast as it can; nobody else looks on.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

import psutil

from hub.agent.journal import Journal
from hub.agent.messages import DELIMITER, parts_of
from hub.agent.witness import Witness
from proxy.kit import journal as reader
from tests.integration.test_agent import KernelClient, Workspace, started

KERNEL = "0f8b0f0e-0000-4000-8000-000000000001"
MIB = 1024**2


def own_cost(messages: int) -> float:
    """Microseconds of processor that hearing and writing one message of 1 KB takes, in batches of 500."""
    header = b'{"msg_id": "%s", "msg_type": "display_data", "session": "%s"}' % (b"a" * 60, b"b" * 60)
    frames = [b"topic", DELIMITER, b"0" * 64, header, header, b"{}", b'{"data": {"text/plain": "%s"}}' % (b"x" * 500)]
    with tempfile.TemporaryDirectory() as folder:
        witness = Witness("0a" * 16, Journal(folder, KERNEL, 64 * MIB), 0.0)
        witness.begin(1)
        began = time.process_time()
        for _ in range(messages // 500):
            witness.hear([parts for _ in range(500) if (parts := parts_of(frames)) is not None], 0.0)
        return (time.process_time() - began) / messages * 1e6


async def show_many(workspace: Workspace, messages: int) -> None:
    """Run the cell, wait for its end in the journal, and say what it cost."""
    agent = psutil.Process(workspace.process.pid)
    kernel_id = await workspace.start()
    kernel = KernelClient(workspace, await workspace.client.attach_kernel(kernel_id))
    kernel.sockets["iopub"].close(0)
    idle_mb, used = agent.memory_info().rss / MIB, sum(agent.cpu_times()[:2])
    shown = "display({'text/plain': 'x' * 200}, raw=True)"
    code = f"from IPython.display import display\nfor n in range({messages}): {shown}"
    workspace.events.clear()
    began = time.perf_counter()
    kernel.send(code)
    while [info.state for info in workspace.states(kernel_id)][-2:] != ["busy", "idle"]:
        await asyncio.sleep(0.1)  # told by events: asking costs the agent more than the messages do
    seconds = time.perf_counter() - began
    extent = await workspace.client.sync_journal(kernel_id, timeout=60)
    used = sum(agent.cpu_times()[:2]) - used
    found = reader.Journal(workspace.run, kernel_id, os.getuid())
    after = kept = 0
    while True:
        page = found.read(after)
        kept += sum(b'"display_data"' in record.parts[0] for record in page.records if record.parts)
        after = page.last
        if page.complete:
            break
    kernel.close()
    missing = messages - kept - extent.lost_messages
    print(f"{messages:,} messages in {seconds:.1f} s, {messages / seconds:,.0f} a second")
    print(f"in the journal {kept:,}, given up for its bound {extent.lost_messages:,}, missing {max(0, missing)}")
    own = own_cost(messages)
    print(f"the agent's processor time {used / messages * 1e6:.0f} µs a message, of which {own:.1f} µs to keep it")
    print(f"the agent's memory {idle_mb:.1f} MB before, {agent.memory_info().rss / MIB:.1f} MB after")


async def main(messages: int) -> None:
    """Start an agent and measure."""
    with tempfile.TemporaryDirectory(prefix="kh") as folder:
        async for workspace in started(Path(folder), 0):
            await show_many(workspace, messages)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    asyncio.run(main(parser.parse_args().messages))
