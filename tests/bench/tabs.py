"""What an open tab of JupyterLab costs the hub: a real page load's requests, replayed for 50 users who keep their tabs.

A browser loads JupyterLab once, and what it asks of the hub is written down; each user then asks the same, from a
sign-in of their own, keeps the events WebSocket open and goes on polling as a visible tab does.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import psutil

from tests.harness.accounts import PASSWORD, add_account
from tests.harness.browser import Person, chromium
from tests.harness.client import HubClient
from tests.harness.running import RunningHub

USERS = 50
FIRST = 20
"""Users before the first measurement: caches, threads and memory pools are then as large as they get."""
POLLS = 3
"""Rounds of polling, of which a visible tab makes one every ten seconds."""
_POLLED = ("api/kernels", "api/terminals", "lab/api/workspaces", "api/sessions", "api/contents")


@dataclass(frozen=True)
class Cost:
    """MB per user, resident and not shared with another process (USS), and how many requests a load makes."""

    hub: float
    proxy: float
    requests: int


def recorded(hub: RunningHub) -> list[str]:
    """The addresses that JupyterLab asks of the hub for ``watched``, relative to the user's base, in their order."""
    add_account(hub, "watched")
    seen: list[str] = []
    with chromium() as browser:
        person = Person(browser, hub.address, "watched")
        person.page.on("request", lambda request: seen.append(request.url) if request.method == "GET" else None)
        person.sign_in(PASSWORD)
        person.page.wait_for_load_state("networkidle")
        person.close()
    base = "/user/watched/"
    paths = [f"{urlsplit(url).path}?{urlsplit(url).query}" for url in seen]
    return [path.removeprefix(base) for path in paths if path.startswith(base)]


async def open_tab(hub: RunningHub, name: str, paths: list[str], stack: AsyncExitStack) -> None:
    """Sign in, ask what a page load asks, open the events socket, and poll."""
    client = await stack.enter_async_context(HubClient(hub.address, name))
    await client.sign_in(PASSWORD)
    for path in paths:
        async with client.http.get(f"{client.base}/{path}", headers={"Accept-Encoding": "gzip"}) as answer:
            await answer.read()
            assert answer.status < 400 or answer.status == 404, (path, answer.status)
    await stack.enter_async_context(
        client.http.ws_connect(
            f"{client.base}/api/events/subscribe", origin=hub.address, timeout=aiohttp.ClientWSTimeout()
        )
    )
    for _ in range(POLLS):
        for path in _POLLED:
            async with client.http.get(f"{client.base}/{path}") as answer:
                await answer.read()


def unshared_mb(process: psutil.Process) -> float:
    """What only this process has, in MB."""
    return float(process.memory_full_info().uss) / 1024**2


async def _measure(hub: RunningHub, paths: list[str], first: list[str], names: list[str]) -> Cost:
    processes = hub.child("hub"), hub.child("proxy")
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(open_tab(hub, name, paths, stack) for name in first))
        before = [unshared_mb(process) for process in processes]
        for start in range(0, len(names), 5):
            await asyncio.gather(*(open_tab(hub, name, paths, stack) for name in names[start : start + 5]))
        after = [unshared_mb(process) for process in processes]
    each = [(late - early) / len(names) for early, late in zip(before, after, strict=True)]
    return Cost(each[0], each[1], len(paths))


def measure() -> Cost:
    """On a hub of its own, which starts no containers."""
    hub = RunningHub("process", {"KERNELHUB_START_WORKSPACE": "kernel"})
    try:
        hub.start()
        paths = recorded(hub)
        assert [path for path in paths if re.match("lab/api/settings", path)], "JupyterLab's page was not recorded"
        first = [f"first{number}" for number in range(FIRST)]
        names = [f"tab{number}" for number in range(USERS)]
        for name in (*first, *names):
            add_account(hub, name)
        return asyncio.run(_measure(hub, paths, first, names))
    finally:
        hub.remove()


def rows() -> list[tuple[str, str, str]]:
    """For the table of `make bench`."""
    cost = measure()
    return [
        (f"an open tab of JupyterLab, in the hub (of {USERS}, a user each)", f"{cost.hub:.2f} MB", "1 MB"),
        ("  the same in the proxy", f"{cost.proxy:.2f} MB", ""),
    ]


if __name__ == "__main__":
    print(f"load before the run: {os.getloadavg()[0]:.2f}")
    print(measure())
