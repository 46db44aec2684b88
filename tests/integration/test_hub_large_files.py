"""Large files: neither an upload, a download nor an archive is held in memory, and others are answered meanwhile."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.harness.accounts import Account, add_account
from tests.harness.running import RunningHub, running_hub

MB = 1024**2
SIZE = 96 * MB
MOST_MEMORY = 32 * MB
"""A few chunks, their base64 and JSON, and what the allocator keeps; a third of what is sent."""
NOTEBOOK = 60 * MB
MOST_FOR_NOTEBOOKS = 16 * MB
LONGEST_WAIT = 3.0
"""In seconds, on a machine that tests keep busy."""


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process", {"KERNELHUB_START_WORKSPACE": "kernel"}) as hub:
        yield hub


@pytest.fixture(scope="module")
def accounts(hub: RunningHub) -> tuple[Account, Account]:
    return add_account(hub, "ada"), add_account(hub, "bob")


def client(hub: RunningHub, account: Account) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        f"{hub.address}/user/{account.name}/",
        headers={"Authorization": f"token {account.token}"},
        timeout=aiohttp.ClientTimeout(total=300),
    )


async def watch(hub: RunningHub, other: Account, work: Coroutine[Any, Any, None]) -> tuple[float, dict[str, int]]:
    """Do the work. Gives the longest wait of somebody else meanwhile, and how much each process grew."""
    processes: dict[str, psutil.Process] = {name: hub.child(name) for name in ("hub", "proxy")}
    before = {name: process.memory_info().rss for name, process in processes.items()}
    grown, longest = dict.fromkeys(processes, 0), 0.0
    task = asyncio.ensure_future(work)
    async with client(hub, other) as http:
        while not task.done():
            began = asyncio.get_running_loop().time()
            async with http.get("api/contents?content=0") as answer:
                assert answer.status == 200
            longest = max(longest, asyncio.get_running_loop().time() - began)
            for name, process in processes.items():
                grown[name] = max(grown[name], process.memory_info().rss - before[name])
            await asyncio.sleep(0.01)
    await task
    return longest, grown


async def upload(http: aiohttp.ClientSession, chunk: str) -> None:
    for number in range(1, SIZE // MB + 1):
        at = -1 if number == SIZE // MB else number
        body = {"type": "file", "format": "base64", "chunk": at, "content": chunk}
        async with http.put("api/contents/large.bin", json=body) as answer:
            assert answer.status in (200, 201), await answer.text()


async def download(http: aiohttp.ClientSession, path: str) -> None:
    size = 0
    async with http.get(path) as answer:
        assert answer.status == 200
        async for piece in answer.content.iter_chunked(MB):
            size += len(piece)
    assert size >= SIZE


async def test_nothing_large_is_held_in_memory_and_nobody_waits(
    hub: RunningHub, accounts: tuple[Account, Account]
) -> None:
    ada, bob = accounts
    chunk = base64.b64encode(os.urandom(MB)).decode()
    works: dict[str, Callable[[aiohttp.ClientSession], Coroutine[Any, Any, None]]] = {
        "upload": lambda http: upload(http, chunk),
        "download": lambda http: download(http, "files/large.bin"),
        "archive": lambda http: download(http, "directories/?archiveFormat=zip"),
    }
    async with client(hub, ada) as http:
        await upload_small(http)
        for name, work in works.items():
            longest, grown = await watch(hub, bob, work(http))
            assert longest < LONGEST_WAIT, (name, longest)
            assert max(grown.values()) < MOST_MEMORY, (name, grown)
    assert (ada.home / "large.bin").stat().st_size == SIZE


async def upload_small(http: aiohttp.ClientSession) -> None:
    """The first request of all makes the home and loads what is loaded once."""
    body = {"type": "file", "format": "text", "content": "x"}
    async with http.put("api/contents/small.txt", json=body) as answer:
        assert answer.status == 201


def notebook_body(size: int) -> bytes:
    """The request with which JupyterLab saves a notebook whose plots have about this size."""
    image = base64.b64encode(os.urandom(300_000)).decode()
    output = {"output_type": "display_data", "metadata": {}, "data": {"image/png": image}}
    cell = {"cell_type": "code", "metadata": {"trusted": True}, "execution_count": 1, "source": "", "outputs": [output]}
    cells = [{**cell, "id": f"c{number}"} for number in range(size // len(image))]
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps({"type": "notebook", "format": "json", "content": content}).encode()


async def save_notebook(http: aiohttp.ClientSession, body: bytes) -> None:
    async with http.put("api/contents/large.ipynb", data=body, headers={"Content-Type": "application/json"}) as answer:
        assert answer.status in (200, 201), await answer.text()


async def open_notebook(http: aiohttp.ClientSession, body: bytes) -> None:
    async with http.get("api/contents/large.ipynb?content=1&hash=1") as answer:
        model = json.loads(await answer.read())
    assert model["content"] == json.loads(body)["content"]


def reset_peak(process: psutil.Process) -> int:
    """Make the present memory the peak (proc(5), clear_refs); gives it in bytes."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    return peak(process)


def peak(process: psutil.Process) -> int:
    """The most memory that the process had, in bytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@pytest.mark.parametrize("work", [save_notebook, open_notebook])
async def test_a_large_notebook_is_saved_and_opened_outside_of_the_hubs_memory(
    hub: RunningHub,
    accounts: tuple[Account, Account],
    work: Callable[[aiohttp.ClientSession, bytes], Coroutine[Any, Any, None]],
) -> None:
    ada, bob = accounts
    async with client(hub, ada) as http:
        await save_notebook(http, notebook_body(6 * MB))  # loads what is loaded once
        body = notebook_body(NOTEBOOK)
        if work is open_notebook:
            await save_notebook(http, body)
        before = reset_peak(hub.child("hub"))
        longest, grown = await watch(hub, bob, work(http, body))
    assert peak(hub.child("hub")) - before < MOST_FOR_NOTEBOOKS
    assert grown["proxy"] < MOST_FOR_NOTEBOOKS
    assert longest < LONGEST_WAIT


async def test_a_client_that_reads_slowly_and_goes_away_leaves_nothing_open(
    hub: RunningHub, accounts: tuple[Account, Account]
) -> None:
    ada, _ = accounts
    process = hub.child("hub")
    home = str(ada.home)

    def open_files() -> list[str]:
        return [link for link in map(read_link, descriptors(process)) if link.startswith(home)]

    async with client(hub, ada) as http:
        answer = await http.get("directories/?archiveFormat=zip")
        await answer.content.read(MB)
        await asyncio.sleep(0.2)  # time in which an archive without a brake would have run on
        assert open_files(), "the archive waits for its reader"
        assert process.memory_info().rss < 2**30
        answer.close()
        async with asyncio.timeout(20):
            while open_files():
                await asyncio.sleep(0.05)


def descriptors(process: psutil.Process) -> list[str]:
    folder = f"/proc/{process.pid}/fd"
    return [f"{folder}/{name}" for name in os.listdir(folder)]  # noqa: PTH208 - names of what may vanish


def read_link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return ""
