"""What large files and folders cost a hub: ``python -m tests.bench.files [--full]``.

One hub with one proxy. While alice lists, uploads, downloads and saves, bob asks for ``api/contents?content=0`` all
the time; printed are her times, his, and how much memory the hub and the proxy had at most beyond what they had before.
Without ``--full`` the sizes are a tenth of those that the goals name (2 GB upload, 100 MB notebook).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.harness.accounts import Account, add_account
from tests.harness.running import RunningHub

MB = 1024**2
CHUNK = MB  # JupyterLab uploads a mebibyte at a time
LISTED = 5_000


@dataclass
class Watched:
    """What was seen while something ran. Milliseconds and megabytes."""

    waits: list[float] = field(default_factory=list)
    hub_mb: float = 0.0
    proxy_mb: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        waits = sorted(self.waits) or [0.0]
        worst, median = waits[-1], statistics.median(waits)
        p99 = waits[int(len(waits) * 0.99) - 1]
        return (
            f"{self.seconds:7.2f} s   others: median {median:5.1f} ms, 99 % {p99:6.1f} ms, worst {worst:6.1f} ms   "
            f"hub +{self.hub_mb:6.1f} MB   proxy +{self.proxy_mb:6.1f} MB"
        )


class Bench:
    """A hub, two people, and a watch on both processes."""

    def __init__(self, hub: RunningHub, alice: Account, bob: Account) -> None:
        self.alice, self.bob = alice, bob
        self._address = hub.address
        self._processes = {"hub": hub.child("hub"), "proxy": hub.child("proxy")}

    def session(self, account: Account) -> aiohttp.ClientSession:
        """A client with the account's token."""
        return aiohttp.ClientSession(
            f"{self._address}/user/{account.name}/", headers={"Authorization": f"token {account.token}"}
        )

    @asynccontextmanager
    async def watched(self, name: str) -> AsyncIterator[Watched]:
        """Watch while the block runs; then print."""
        seen, stop = Watched(), asyncio.Event()
        tasks = [asyncio.create_task(self._others(seen, stop)), asyncio.create_task(self._memory(seen, stop))]
        await asyncio.sleep(0.3)
        began = time.perf_counter()
        try:
            yield seen
        finally:
            seen.seconds = time.perf_counter() - began
            stop.set()
            await asyncio.gather(*tasks)
            print(f"{name:34} {seen}", flush=True)

    async def _others(self, seen: Watched, stop: asyncio.Event) -> None:
        async with self.session(self.bob) as http:
            while not stop.is_set():
                began = time.perf_counter()
                async with http.get("api/contents?content=0") as answer:
                    await answer.read()
                seen.waits.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(0.01)

    async def _memory(self, seen: Watched, stop: asyncio.Event) -> None:
        before = {name: process.memory_info().rss for name, process in self._processes.items()}
        while not stop.is_set():
            await asyncio.sleep(0.01)
            hub, proxy = (self._processes[name].memory_info().rss - before[name] for name in ("hub", "proxy"))
            seen.hub_mb, seen.proxy_mb = max(seen.hub_mb, hub / MB), max(seen.proxy_mb, proxy / MB)


async def list_folder(bench: Bench) -> float:
    """The median of 15 listings of 5,000 files, in milliseconds."""
    times = []
    async with bench.session(bench.alice) as http, bench.watched(f"15 listings of {LISTED} files"):
        for _ in range(15):
            began = time.perf_counter()
            async with http.get("api/contents/many?content=1") as answer:
                await answer.read()
                assert answer.status == 200
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


async def upload(bench: Bench, size: int) -> None:
    """An upload in chunks, as JupyterLab does it."""
    content = base64.b64encode(os.urandom(CHUNK)).decode()
    count = size // CHUNK
    async with bench.session(bench.alice) as http, bench.watched(f"upload of {size // MB} MB in chunks"):
        for number in range(1, count + 1):
            chunk = -1 if number == count else number
            body = {"type": "file", "format": "base64", "chunk": chunk, "content": content, "name": "up.bin"}
            async with http.put("api/contents/up.bin", json=body) as answer:
                assert answer.status in (200, 201), await answer.text()


async def download(bench: Bench, path: str, name: str) -> None:
    """Read and drop."""
    async with bench.session(bench.alice) as http, bench.watched(name), http.get(path) as answer:
        assert answer.status == 200, await answer.text()
        async for _ in answer.content.iter_chunked(MB):
            pass


async def notebook(bench: Bench, size: int) -> None:
    """Open and save a notebook whose outputs have `size` bytes."""
    image = base64.b64encode(os.urandom(300_000)).decode()
    output = {"output_type": "display_data", "metadata": {}, "data": {"image/png": image}}
    cell = {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": "plot()", "outputs": [output]}
    cells = [{**cell, "id": f"c{number}"} for number in range(size // len(image))]
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    body = json.dumps({"type": "notebook", "format": "json", "content": content}).encode()
    headers = {"Content-Type": "application/json"}
    async with bench.session(bench.alice) as http:
        name = f"save of a {len(body) // MB} MB notebook"
        async with bench.watched(name), http.put("api/contents/big.ipynb", data=body, headers=headers) as answer:
            assert answer.status in (200, 201), await answer.text()
        del body
        async with bench.watched("opening it"), http.get("api/contents/big.ipynb?content=1&hash=1") as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()


async def run(hub: RunningHub, full: bool) -> None:
    """Everything, one after the other."""
    alice, bob = add_account(hub, "alice"), add_account(hub, "bob")
    factor = 1 if full else 10
    bench = Bench(hub, alice, bob)
    async with bench.session(alice) as http, http.put("api/contents/many", json={"type": "directory"}) as answer:
        assert answer.status == 201, await answer.text()
    owner = (alice.home / "many").stat()
    for number in range(LISTED):
        file = alice.home / "many" / f"measurement-{number:05}.{('csv', 'ipynb', 'txt', 'py', 'png')[number % 5]}"
        file.write_bytes(b"x" * 100)
        os.chown(file, owner.st_uid, owner.st_gid)
    async with bench.watched("nothing"):
        await asyncio.sleep(2)
    print(f"a listing of {LISTED} files: {await list_folder(bench):.0f} ms (median of 15)")
    await upload(bench, 2000 * MB // factor)
    await download(bench, "files/up.bin", "download of it")
    await download(bench, "directories/?archiveFormat=zip", "all files as a ZIP")
    await notebook(bench, 100 * MB // factor)


def main() -> None:
    """Start a hub, measure, remove it."""
    hub = RunningHub("process", {"KERNELHUB_START_WORKSPACE": "kernel", "KERNELHUB_MAX_UPLOAD_BYTES": str(256 * MB)})
    hub.start()
    try:
        asyncio.run(run(hub, "--full" in sys.argv))
    finally:
        hub.remove()
        shutil.rmtree(hub.data_dir, ignore_errors=True)


if __name__ == "__main__":
    main()
