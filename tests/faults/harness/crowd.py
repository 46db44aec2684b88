"""Users with kernels that are busy: what a fault hits."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil

from tests.faults.harness.counted import NOTHING, Verdict, announced_in, compare, counted_cell, numbers_seen, written_by
from tests.faults.harness.front_end import FrontEnd, Message
from tests.faults.harness.processes import identity
from tests.harness.accounts import Account, add_account
from tests.harness.client import HubClient
from tests.harness.running import RunningHub

AT_ONCE = 4
"""So many kernels of a crowd start at a time."""


@dataclass
class Busy:
    """One kernel with its front end and the counted cell that runs in it."""

    account: Account
    name: str
    kernel_id: str
    front_end: FrontEnd
    process: tuple[int, float]
    request: str = ""

    def verdict(self) -> Verdict:
        """What the front end saw against what the cell wrote down."""
        seen = numbers_seen(self.front_end.about(self.request), self.name)
        return compare(written_by(self.account.home, self.name), seen, announced_in(self.front_end.seen))

    def is_same_process(self) -> bool:
        """Whether the kernel's process is still the one that was started."""
        process = psutil.Process(self.process[0])
        return identity(process) == self.process


async def start_kernel(hub: RunningHub, account: Account, path: str, address: str | None = None) -> str:
    """A session with a new kernel; gives the kernel's id."""
    async with HubClient(address or hub.address, account.name, account.token) as client:
        session = await client.start_session(path)
    kernel_id: str = session["kernel"]["id"]
    return kernel_id


@asynccontextmanager
async def crowd(
    hub: RunningHub, kernels: int, users: int = 4, address: str | None = None, prefix: str = "busy"
) -> AsyncIterator[list[Busy]]:
    """`kernels` kernels of several users, each with a variable and a front end at `address` (without: the hub's)."""
    names = [f"{prefix}{number}-{secrets.token_hex(3)}" for number in range(min(users, kernels))]
    accounts = await asyncio.gather(*(asyncio.to_thread(add_account, hub, name) for name in names))
    turns = asyncio.Semaphore(AT_ONCE)
    made: list[Busy] = []

    async def make(number: int) -> Busy:
        async with turns:
            account, name = accounts[number % len(accounts)], f"{prefix}-{number}"
            kernel_id = await start_kernel(hub, account, f"{name}.ipynb")
            front_end = FrontEnd(address or hub.address, account.name, account.token, kernel_id)
            busy = Busy(account, name, kernel_id, await front_end.open(), (0, 0.0))
            made.append(busy)
            said = await front_end.run(f"import os; x = {number} * 1000; print(os.getpid())")
            busy.process = identity(psutil.Process(int(printed(said))))
            return busy

    try:
        yield await asyncio.gather(*map(make, range(kernels)))
    finally:
        await asyncio.gather(*(busy.front_end.close() for busy in made), return_exceptions=True)


async def begin(busy: list[Busy], count: int, pause_seconds: float) -> None:
    """Start a counted cell in every kernel, and wait until each has printed."""
    for one in busy:
        one.request = await one.front_end.start(counted_cell(one.name, count, pause_seconds))
    for one in busy:
        await one.front_end.until(_has_begun(one), 60, f"the first line of {one.name}")


def _has_begun(one: Busy) -> Callable[[], object]:
    return lambda: numbers_seen(one.front_end.about(one.request), one.name)


async def end(busy: list[Busy], seconds: float) -> None:
    """Wait until every counted cell has ended, as its front end sees it."""
    await asyncio.gather(*(one.front_end.finished(one.request, seconds) for one in busy))


def verdict_of(busy: list[Busy]) -> Verdict:
    """All verdicts together."""
    return sum((one.verdict() for one in busy), NOTHING)


async def keeps_variables(busy: list[Busy]) -> bool:
    """Whether every kernel still has its variable."""
    values = await asyncio.gather(*(one.front_end.run("print(x)") for one in busy))
    return [printed(value) for value in values] == [f"{number * 1000}\n" for number in range(len(busy))]


def printed(messages: list[Message]) -> str:
    """What went to the streams."""
    return "".join(m["content"]["text"] for m in messages if m["header"]["msg_type"] == "stream")
