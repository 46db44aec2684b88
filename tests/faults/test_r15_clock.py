"""R15: the wall clock jumps by a day, forwards and back, while people work. Nothing is culled, nobody is signed out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

from tests.faults.harness.crowd import printed
from tests.faults.harness.false_clock import FalseClock
from tests.faults.harness.front_end import FrontEnd
from tests.faults.harness.scoreboard import Case
from tests.harness.accounts import PASSWORD, add_account, audit
from tests.harness.client import HubClient
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, eventually, running_hub

DAY = 86_400
WATCHED_SECONDS = 20.0
LIMITS = {
    "KERNELHUB_CULLING__KERNEL_IDLE": "3600",
    "KERNELHUB_CULLING__WORKSPACE_EMPTY": "3600",
    "KERNELHUB_CULLING__MAX_AGE": "43200",
    "KERNELHUB_CULLING__INTERVAL": "0.3",
}


@pytest.fixture(scope="module")
def clock() -> Iterator[FalseClock]:
    clock = FalseClock()
    yield clock
    clock.remove()


@pytest.fixture(scope="module")
def hub(clock: FalseClock) -> Iterator[RunningHub]:
    with running_hub("process", {**LIMITS, **clock.settings}) as hub:
        yield hub


pytestmark = pytest.mark.full_only(
    "beneath libfaketime a hub takes ten times as long to start; tests/unit/auth/test_idle_clock.py and "
    "tests/unit/cull/test_culling_loop.py let the clock jump"
)


@pytest.mark.parametrize(
    "jump",
    [
        pytest.param(DAY, id="a day forwards"),
        pytest.param(
            -DAY,
            id="a day back",
        ),
        pytest.param(3600, id="an hour forwards"),
    ],
)
async def test_r15_a_clock_that_jumps_culls_nobody_and_signs_nobody_out(
    hub: RunningHub, clock: FalseClock, jump: int, request: pytest.FixtureRequest
) -> None:
    name = f"user{abs(jump)}{'back' if jump < 0 else 'on'}"
    what = request.node.callspec.id
    with Case("R15") as case:
        clock.be_wrong_by(0)
        account = await asyncio.to_thread(add_account, hub, name)
        async with HubClient(hub.address, name) as browser:
            assert await browser.sign_in(PASSWORD) == 200
            kernel_id = (await browser.start_session("a.ipynb"))["kernel"]["id"]
            tab = await FrontEnd(hub.address, name, account.token, kernel_id).open()
            await tab.run("x = 7")
            date = told(hub)
            clock.be_wrong_by(jump)
            await asyncio.to_thread(eventually, lambda: abs(told(hub) - date) >= abs(jump) / 2, 10.0, "the false clock")
            await asyncio.sleep(WATCHED_SECONDS)
            culled = [event for event in await audit(hub, "kernel.culled") if event.subject == kernel_id]
            case.holds(f"{what}: no kernel is culled", not culled, f"{len(culled)} culled")
            said = printed(await tab.run("print(x)"))
            case.holds(f"{what}: the open tab works on", said == "7\n" and len(tab.lives) == 1, repr(said))
            status, kernels = await browser.request("GET", "api/kernels")
            signed_in = status == 200 and [kernel["id"] for kernel in kernels] == [kernel_id]
            case.holds(f"{what}: nobody is signed out", signed_in, f"status {status}")
            await tab.close()


def told(hub: RunningHub) -> float:
    """What time it is, as the hub says in its answers."""
    return parsedate_to_datetime(ask(hub.address, "/hub/login").headers["date"]).timestamp()
