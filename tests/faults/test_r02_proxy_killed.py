"""R2: SIGKILL of the proxy while kernels are busy, and the storm of front ends that come back at once."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.harness.crowd import begin, crowd, end, keeps_variables, start_kernel, verdict_of
from tests.faults.harness.front_end import FrontEnd
from tests.faults.harness.processes import kill, seconds_until_ready
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import sized
from tests.harness.accounts import add_account
from tests.harness.running import RunningHub

KERNELS = sized(2, 20)
KILLS = sized(1, 3)
LINES = sized(100, 600)
PAUSE_SECONDS = 0.03
BACK_SECONDS = 5.0
SOCKETS = sized(30, 300)
STORM_SECONDS = 15.0


async def test_r2_a_proxy_that_is_killed_loses_no_message_and_doubles_none(hub: RunningHub) -> None:
    with Case("R2") as case:
        async with crowd(hub, KERNELS) as busy:
            await begin(busy, LINES, PAUSE_SECONDS)
            slowest = 0.0
            for _ in range(KILLS):
                slowest = max(slowest, await kill_proxy(hub, [one.front_end for one in busy]))
                await asyncio.sleep(0.5)  # some lines come in between
            await end(busy, 120)
            verdict = verdict_of(busy)
            case.at_most(
                f"all clients are served again within {BACK_SECONDS:.0f} s of the restart (N6)",
                slowest,
                BACK_SECONDS,
                "s",
            )
            case.holds(
                f"{KERNELS} busy kernels: every message once and in order (N3)", verdict.is_perfect, str(verdict)
            )
            same = all(one.is_same_process() for one in busy) and await keeps_variables(busy)
            case.holds("same kernels, same variables (N2)", same, "yes" if same else "no")


async def test_r2_a_reply_that_was_due_while_the_proxy_was_dead_comes_nevertheless(hub: RunningHub) -> None:
    """The cell ends between the kill and the reconnection: it must not stay at ``[*]``."""
    with Case("R2") as case:
        async with crowd(hub, 1, prefix="due") as (one,):
            front_end = one.front_end
            request = await front_end.start("import time\nprint('begun', flush=True)\ntime.sleep(0.4)\nprint('done')")
            await front_end.until(lambda: "begun" in text_of(front_end, request), 30, "the first line")
            old = hub.child("proxy")
            killed_at = kill(old)
            await asyncio.to_thread(seconds_until_ready, hub, "proxy", old.pid, killed_at)
            try:
                await front_end.finished(request, 15)
            except AssertionError as error:
                case.holds("a cell that ended meanwhile is not left at [*]", False, str(error)[:200])
            else:
                case.holds("a cell that ended meanwhile is not left at [*]", True, "its reply came")
            text = text_of(front_end, request)
            case.holds("its output is there once", text == "begun\ndone\n", repr(text))


@pytest.mark.parametrize("sockets", [SOCKETS])
async def test_r2_all_front_ends_that_come_back_at_once_are_served(hub: RunningHub, sockets: int) -> None:
    with Case("R2") as case:
        accounts = [await asyncio.to_thread(add_account, hub, f"storm{number}") for number in range(3)]
        kernels = [await start_kernel(hub, account, "storm.ipynb") for account in accounts]
        front_ends = [
            FrontEnd(hub.address, accounts[number % 3].name, accounts[number % 3].token, kernels[number % 3])
            for number in range(sockets)
        ]
        for begin_at in range(0, sockets, 30):
            await asyncio.gather(*(front_end.open() for front_end in front_ends[begin_at : begin_at + 30]))
        back = await kill_proxy(hub, front_ends, longest=60)
        began = time.monotonic()
        await asyncio.gather(*(front_end.run("1", 60) for front_end in front_ends[:9]))
        case.at_most(f"{sockets} sockets are back within {STORM_SECONDS:.0f} s", back, STORM_SECONDS, "s")
        case.at_most("and run cells at once", time.monotonic() - began, STORM_SECONDS, "s")
        await asyncio.gather(*(front_end.close() for front_end in front_ends))


async def kill_proxy(hub: RunningHub, front_ends: list[FrontEnd], longest: float = 30.0) -> float:
    """Kill the proxy; gives the seconds from the moment that another one listens until all are connected again."""
    lives = [len(front_end.lives) for front_end in front_ends]
    old = hub.child("proxy")
    killed_at = kill(old)
    restarted = asyncio.create_task(asyncio.to_thread(seconds_until_ready, hub, "proxy", old.pid, killed_at))
    await asyncio.gather(
        *(
            front_end.until(lambda f=front_end, n=before: f.is_connected and len(f.lives) > n, longest, "the way back")  # type: ignore[misc]
            for front_end, before in zip(front_ends, lives, strict=True)
        )
    )
    all_back = time.monotonic() - killed_at
    await restarted
    return all_back  # counted from the kill: stricter than from the restart


def text_of(front_end: FrontEnd, request: str) -> str:
    """What a request printed."""
    return "".join(m["content"]["text"] for m in front_end.about(request) if m["header"]["msg_type"] == "stream")
