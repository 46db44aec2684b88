"""R12: a client that stands still while its kernel prints without end. It costs little, and its neighbours nothing."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.harness.counted import announced_in, compare, counted_cell, numbers_seen, written_by
from tests.faults.harness.crowd import printed, start_kernel
from tests.faults.harness.front_end import FrontEnd
from tests.faults.harness.processes import Memory
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import sized
from tests.faults.harness.steady import Steady, steadily
from tests.harness.accounts import add_account
from tests.harness.running import RunningHub

MIB = 1024 * 1024
LINES = 1_000_000
MESSAGES = sized(6_000, 200_000)
LARGE_LINES = 50_000
PADDING = 20_000
MOST_BYTES = 64 * MIB
NEIGHBOUR_SECONDS = 0.1
"""SECURITY R12: 99 of 100 round trips of a neighbour, on an otherwise quiet machine."""


@pytest.mark.parametrize(
    ("what", "lines", "padding", "flush"),
    [
        pytest.param("messages", MESSAGES, 0, True, id="each line a message"),
        pytest.param("lines", LINES, 0, False, id="a million lines", marks=pytest.mark.full_only("it takes a while")),
        pytest.param("bytes", LARGE_LINES, PADDING, True, id="1 GB", marks=pytest.mark.full_only("1 GB is printed")),
    ],
)
async def test_r12_a_reader_that_stands_still_costs_the_proxy_a_bounded_memory(
    hub: RunningHub, what: str, lines: int, padding: int, flush: bool
) -> None:
    size = (
        f"{lines:,} {'messages' if flush else 'printed lines'}"
        if not padding
        else f"{lines * padding // 10**6} MB of output"
    )
    with Case("R12") as case:
        ada = await asyncio.to_thread(add_account, hub, f"slow-{what}")
        bob = await asyncio.to_thread(add_account, hub, f"neighbour-{what}")
        slow = await FrontEnd(hub.address, ada.name, ada.token, await start_kernel(hub, ada, "s.ipynb")).open()
        fast = await FrontEnd(hub.address, bob.name, bob.token, await start_kernel(hub, bob, "n.ipynb")).open()
        await slow.run("1")
        usual = await round_trips(fast, sized(0.5, 2.0))
        memory = Memory(hub.child("proxy"))
        slow.stop_reading()
        request = await slow.start(counted_cell(what, lines, padding=padding, flush=flush))
        async with steadily(lambda: fast.run("1", 30), 0.02) as trips:
            await until_written(ada.home, what, lines, memory, 600)
            await asyncio.sleep(1.0)
            grown = memory.look()
        slow.go_on_reading()
        await slow.finished(request, 300)
        verdict = compare(
            written_by(ada.home, what), numbers_seen(slow.about(request), what), announced_in(slow.about(request))
        )
        grown = max(grown, memory.look())
        case.at_most(f"{size}, nobody reads: the proxy grows by at most 64 MB", grown / MIB, MOST_BYTES / MIB, "MB")
        complete = verdict.doubled == verdict.disordered == verdict.invented == 0 and (
            verdict.lost == 0 or verdict.announced > 0
        )
        case.holds(f"{size}: all of it in order, or an announced gap (N3)", complete, str(verdict))
        case.at_most(
            f"{size}: a neighbour's round trip, 99 of 100",
            trips.percentile(0.99),
            max(NEIGHBOUR_SECONDS, 2 * usual.percentile(0.99)),
            f"s (usually {usual.percentile(0.99):.3f} s)",
        )
        await slow.close()
        await fast.close()


async def round_trips(front_end: FrontEnd, seconds: float) -> Steady:
    """How long a cell takes when nothing is wrong."""
    async with steadily(lambda: front_end.run("1", 30), 0.02) as trips:
        await asyncio.sleep(seconds)
    return trips


async def until_written(home, name: str, lines: int, memory: Memory, seconds: float) -> None:  # type: ignore[no-untyped-def]
    """Wait until the cell has written its last line down; watch the memory meanwhile."""
    last = f"{name}:{lines - 1}\n".encode()
    file = home / f"{name}.log"
    async with asyncio.timeout(seconds):
        while True:
            memory.look()
            if file.exists():
                with file.open("rb") as log:
                    log.seek(max(file.stat().st_size - len(last), 0))
                    if log.read() == last:
                        return
            await asyncio.sleep(0.05)


@pytest.mark.full_only("the same with less in the way")
async def test_r12_what_a_kernel_prints_to_nobody_is_not_kept_in_the_proxy(hub: RunningHub) -> None:
    """The same without any connection: the proxy has nothing to do with it."""
    with Case("R12") as case:
        ada = await asyncio.to_thread(add_account, hub, "alone")
        kernel_id = await start_kernel(hub, ada, "a.ipynb")
        tab = await FrontEnd(hub.address, ada.name, ada.token, kernel_id).open()
        await tab.run("1")
        memory = Memory(hub.child("proxy"))
        await tab.start(counted_cell("alone", sized(20_000, 200_000)))
        await asyncio.sleep(0.3)
        await tab.close()
        await until_written(ada.home, "alone", sized(20_000, 200_000), memory, 120)
        case.at_most("nobody connected: the proxy grows by at most 64 MB", memory.look() / MIB, MOST_BYTES / MIB, "MB")
        again = await FrontEnd(hub.address, ada.name, ada.token, kernel_id).open()
        said = printed(await again.run("print('here')"))
        case.holds("and the kernel answers the next client", said == "here\n", repr(said))
        await again.close()
