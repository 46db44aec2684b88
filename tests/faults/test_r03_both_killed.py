"""R3: SIGKILL of hub and proxy together, and of everything that ``kernelhub serve`` runs. Kernels and outputs stay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import psutil
import pytest

from tests.faults.harness.crowd import begin, crowd, end, keeps_variables, verdict_of
from tests.faults.harness.front_end import FrontEnd
from tests.faults.harness.processes import kill
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import sized
from tests.harness.running import RunningHub, eventually, running_hub

KERNELS = sized(2, 20)
LINES = sized(100, 700)
BACK_SECONDS = 15.0


async def test_r3_hub_and_proxy_killed_together_lose_nothing(hub: RunningHub) -> None:
    with Case("R3") as case:
        async with crowd(hub, KERNELS, prefix="both") as busy:
            await begin(busy, LINES, 0.03)
            killed_at = kill(hub.child("hub"))
            kill(hub.child("proxy"))
            back = [one.front_end.until(_is_back(one.front_end), 60, "the way back") for one in busy]
            await asyncio.gather(*back)
            taken = time.monotonic() - killed_at
            await asyncio.to_thread(eventually, hub.is_ready, 30.0, "readiness")
            ready = time.monotonic() - killed_at
            await end(busy, 60)
            verdict = verdict_of(busy)
            case.at_most("both are back, with every client (N6)", max(taken, ready), BACK_SECONDS, "s")
            case.holds(f"{KERNELS} kernels: every message once and in order (N3)", verdict.is_perfect, str(verdict))
            same = all(one.is_same_process() for one in busy) and await keeps_variables(busy)
            case.holds("same kernels, same variables (N2)", same, "yes" if same else "no")


@pytest.mark.full_only("a second hub is started and killed as a whole")
async def test_r3_a_whole_serve_that_is_killed_and_started_again_finds_everything() -> None:
    """As after a kill of the service: the supervisor, too, is gone, and somebody starts it anew."""
    with Case("R3") as case, running_hub("process") as hub:
        async with crowd(hub, sized(2, 8), prefix="all") as busy:
            await begin(busy, sized(200, 700), 0.03)
            assert hub._process is not None
            serve = psutil.Process(hub._process.pid)
            children = serve.children()
            for process in [serve, *children]:
                kill(process)
            hub._process.wait(10)
            began = time.monotonic()
            await asyncio.to_thread(hub.start)
            await asyncio.gather(*(one.front_end.until(_is_back(one.front_end), 60, "the way back") for one in busy))
            case.at_most("the service is back, with every client", time.monotonic() - began, BACK_SECONDS, "s")
            await end(busy, 60)
            verdict = verdict_of(busy)
            case.holds("the whole service killed: every message once and in order", verdict.is_perfect, str(verdict))
            same = all(one.is_same_process() for one in busy) and await keeps_variables(busy)
            case.holds("the whole service killed: same kernels, same variables (N2)", same, "yes" if same else "no")


def _is_back(front_end: FrontEnd, lives: int = 1) -> Callable[[], object]:
    """Whether it is connected for at least the next time after the fault."""
    return lambda: front_end.is_connected and len(front_end.lives) > lives
