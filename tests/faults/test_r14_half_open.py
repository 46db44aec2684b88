"""R14: clients that vanish without a word. They are let go in time, nothing leaks, their kernels stay."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import psutil
import pytest

from tests.faults.harness.crowd import printed, start_kernel
from tests.faults.harness.fault_proxy import FaultProxy
from tests.faults.harness.front_end import FrontEnd
from tests.faults.harness.scoreboard import Case
from tests.harness.accounts import add_account
from tests.harness.plain_http import ask
from tests.harness.proxy_rig import eventually, run_rig
from tests.harness.running import RunningHub

CLIENTS = 20
FREED_SECONDS = 60.0
SETTLED_SECONDS = 30.0


async def test_r14_a_client_that_vanishes_is_let_go_and_its_descriptors_with_it() -> None:
    """With pings of 0.2 s instead of 15 s; the full form takes the real ones."""
    with Case("R14") as case:
        async with run_rig(ping_seconds=0.2, silence_seconds=0.8) as rig:
            kernel = await rig.agent.start_kernel()
            rig.allow_kernel(kernel)
            async with rig.connect(kernel):
                pass
            await eventually(lambda: len(rig.proxy.connections) == 0)
            before = open_files()
            with FaultProxy(("127.0.0.1", rig.proxy.port)) as way:
                front_ends = [
                    await FrontEnd(way.address, "alice", "x", kernel.kernel_id).open() for _ in range(CLIENTS)
                ]
                way.blackhole()
                began = time.monotonic()
                await eventually(lambda: len(rig.proxy.connections) == 0, 20)
                freed = time.monotonic() - began
                case.at_most("pings of 0.2 s: all are let go after 0.8 s of silence", freed, 2.5, "s")
                for front_end in front_ends:
                    await front_end.vanish()
            await eventually(lambda: open_files() <= before + 2, 10)
            case.at_most(f"{CLIENTS} vanished clients: descriptors left over", max(open_files() - before, 0), 2, "")


def open_files() -> int:
    """How many descriptors this process has open; the proxy of the rig is part of it."""
    return psutil.Process().num_fds()


@pytest.mark.full_only("clients are silent for more than a minute")
async def test_r14_half_open_clients_of_a_whole_hub_are_let_go_within_a_minute(hub: RunningHub) -> None:
    with Case("R14") as case:
        ada = await asyncio.to_thread(add_account, hub, "sleepy")
        kernel_id = await start_kernel(hub, ada, "s.ipynb")
        place = urlsplit(hub.address)
        assert place.hostname and place.port
        proxy = hub.child("proxy")
        with FaultProxy((place.hostname, place.port)) as way:
            first = await FrontEnd(way.address, ada.name, ada.token, kernel_id).open()
            await first.run("x = 5")
            before = proxy.num_fds()
            others = [await FrontEnd(way.address, ada.name, ada.token, kernel_id).open() for _ in range(CLIENTS)]
            way.blackhole()
            began = time.monotonic()
            async with asyncio.timeout(180):
                while proxy.num_fds() > before:
                    await asyncio.sleep(0.25)
            freed = time.monotonic() - began
            case.at_most("half-open clients are let go within a minute", freed, FREED_SECONDS, "s")
            kernels = [k["id"] for k in ask(hub.address, f"/user/{ada.name}/api/kernels", token=ada.token).json()]
            case.holds("the kernel was not culled meanwhile", kernels == [kernel_id], f"{len(kernels)} kernel(s)")
            way.heal()
            way.cut()
            # What is sent into a dead connection is lost with every front end: it has to be back first.
            await first.until(lambda: first.is_connected and len(first.lives) > 1, 30, "the way back")
            said = printed(await first.run("print(x)", 60))
            case.holds("a client that wakes up goes on where it was", said == "5\n", repr(said))
            for front_end in [first, *others]:
                await front_end.vanish()
        for _ in range(int(SETTLED_SECONDS / 0.25)):
            if proxy.num_fds() <= before:
                break
            await asyncio.sleep(0.25)
        leaked = max(proxy.num_fds() - before, 0)
        case.at_most("descriptors left over in the proxy", leaked, 2, "")
