"""R1: SIGKILL of the hub while kernels are busy. Nobody who works notices."""

from __future__ import annotations

import asyncio
import time

from tests.faults.harness.crowd import begin, crowd, end, keeps_variables, verdict_of
from tests.faults.harness.front_end import FrontEnd
from tests.faults.harness.processes import kill, seconds_until_ready
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import sized
from tests.harness.running import RunningHub

KERNELS = sized(2, 20)
KILLS = sized(1, 3)
LINES = sized(100, 600)
PAUSE_SECONDS = 0.03
READY_SECONDS = 3.0


async def test_r1_a_hub_that_is_killed_disturbs_nobody_and_is_back_soon(hub: RunningHub) -> None:
    with Case("R1") as case:
        async with crowd(hub, KERNELS) as busy:
            await begin(busy, LINES, PAUSE_SECONDS)
            slowest = 0.0
            opened_meanwhile = True
            for _ in range(KILLS):
                old = hub.child("hub")
                killed_at = kill(old)
                opened_meanwhile &= await opens_now(busy[0].front_end)
                ready = await asyncio.to_thread(seconds_until_ready, hub, "hub", old.pid, killed_at)
                slowest = max(slowest, ready)
            await end(busy, 120)
            verdict = verdict_of(busy)
            lives = max(len(one.front_end.lives) for one in busy)
            case.at_most(f"the hub is ready again within {READY_SECONDS:.0f} s (N6)", slowest, READY_SECONDS, "s")
            case.holds(
                f"{KERNELS} busy kernels: every message once and in order (N3)", verdict.is_perfect, str(verdict)
            )
            case.holds("open WebSockets are undisturbed", lives == 1, f"at most {lives} connection(s) each")
            case.holds("a WebSocket opens while the hub is down", opened_meanwhile, _yes(opened_meanwhile))
            same = all(one.is_same_process() for one in busy) and await keeps_variables(busy)
            case.holds("same kernels, same variables (N2)", same, _yes(same))


async def opens_now(known: FrontEnd, seconds: float = 2.0) -> bool:
    """Whether somebody who was let in before opens another WebSocket at this moment."""
    front_end = FrontEnd(known.address, known.user, known.token, known.kernel_id)
    began = time.monotonic()
    try:
        await front_end.open(seconds)
    except AssertionError:
        return False
    finally:
        await front_end.close()
    return time.monotonic() - began < seconds and not front_end.failures


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"
