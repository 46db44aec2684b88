"""R4: SIGKILL of the container engine, with live-restore and without. Kernels go on, or their end is told truly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.faults.harness.counted import counted_cell
from tests.faults.harness.crowd import Busy, printed, start_kernel
from tests.faults.harness.front_end import FrontEnd
from tests.faults.harness.private_engine import PrivateEngine, private_engine
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import sized
from tests.harness.accounts import add_account
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, eventually, running_hub
from tests.integration.images import minimal_image, require_engine
from tests.integration.test_hub_engine import profiles

AWAY_SECONDS = sized(3.0, 40.0)
LINES = sized(150, 1500)

pytestmark = [
    pytest.mark.docker,
    pytest.mark.full_only("an engine of its own has to be made, and an image copied into it"),
]


@pytest.fixture(params=[True, False], ids=["live-restore", "without live-restore"])
def engine(request: pytest.FixtureRequest) -> Iterator[PrivateEngine]:
    require_engine()
    image = minimal_image()
    with private_engine(live_restore=request.param) as engine:
        engine.load(image)
        yield engine


def started(engine: PrivateEngine) -> list[str]:
    """Each running container with the moment of its start."""
    names = engine.run("ps", "-q").split()
    return (
        sorted(engine.run("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", *names).splitlines()) if names else []
    )


def state_of(hub: RunningHub, token: str, kernel_id: str) -> str:
    """What the API says of the kernel."""
    answer = ask(hub.address, f"/user/ada/api/kernels/{kernel_id}", token=token)
    return str(answer.json().get("execution_state")) if answer.status == 200 else str(answer.status)


async def test_r4_an_engine_that_is_killed_changes_nothing_for_those_who_work(
    engine: PrivateEngine, request: pytest.FixtureRequest
) -> None:
    live_restore = "without" not in request.node.callspec.id
    environment = {**profiles(minimal_image()), "KERNELHUB_DOCKER_URL": engine.url}
    with Case("R4") as case, running_hub("docker", environment) as hub:
        ada = await asyncio.to_thread(add_account, hub, "ada")
        kernel_id = await start_kernel(hub, ada, "a.ipynb")
        tab = await FrontEnd(hub.address, "ada", ada.token, kernel_id).open()
        await tab.run("x = 5")
        before = started(engine)
        busy = Busy(ada, "engine", kernel_id, tab, (0, 0.0), await tab.start(counted_cell("engine", LINES, 0.02)))
        await tab.until(lambda: busy.verdict().written > 3, 30, "some lines")
        await asyncio.to_thread(engine.kill)
        began = time.monotonic()
        states = set()
        while time.monotonic() - began < AWAY_SECONDS:
            states.add(await asyncio.to_thread(state_of, hub, ada.token, kernel_id))
            await asyncio.sleep(0.5)
        await asyncio.to_thread(engine.start)
        if not live_restore:
            await told_truly(case, hub, ada.token, kernel_id)
            await tab.vanish()
            return
        await tab.finished(busy.request, 120)
        verdict = busy.verdict()
        case.holds("live-restore: every message once and in order (N3)", verdict.is_perfect, str(verdict))
        case.holds("live-restore: the kernel is shown as before", states <= {"busy", "idle"}, str(sorted(states)))
        case.holds(
            "live-restore: same container, same start (N2)", started(engine) == before, f"{len(before)} container(s)"
        )
        said = printed(await tab.run("print(x)"))
        case.holds("live-restore: its variables are there (N2)", said == "5\n", repr(said))
        case.holds(
            "live-restore: the WebSocket was undisturbed", len(tab.lives) == 1, f"{len(tab.lives)} connection(s)"
        )
        await tab.close()


async def told_truly(case: Case, hub: RunningHub, token: str, kernel_id: str) -> None:
    """Without live-restore the engine ends its containers when it is back: that is said, and work can begin anew."""

    def ended() -> bool:
        return state_of(hub, token, kernel_id) in ("dead", "404")

    await asyncio.to_thread(eventually, ended, 60.0, "the end of the kernel")
    model = ask(hub.address, f"/user/ada/api/kernels/{kernel_id}", token=token).json()
    reason = str(model.get("reason") or model.get("message"))
    case.holds("without live-restore: the end is told with its reason (N7)", bool(reason), reason)
    body = {"path": "b.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}}
    answer = await asyncio.to_thread(
        lambda: ask(hub.address, "/user/ada/api/sessions", "POST", token=token, body=body, seconds=90)
    )
    case.holds("without live-restore: a new container starts", answer.status == 201, str(answer.status))
