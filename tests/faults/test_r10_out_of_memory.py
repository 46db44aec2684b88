"""R10 and R11: a kernel takes more memory than it may, or holds the interpreter. It is told why, and work goes on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.harness.crowd import printed
from tests.faults.harness.front_end import FrontEnd
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import sized
from tests.faults.test_r13_closed_tab import open_notebook, shown
from tests.harness.accounts import Account, add_account, audit
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, eventually, running_hub
from tests.integration.images import minimal_image, require_engine

LIMIT = 256 * 1024**2
TOLD_SECONDS = 3.0
HELD_SECONDS = sized(14, 300)
EAT = (
    "import time\nopen('eaten.log', 'w').write('begun')\nprint('begun', flush=True)\nheld = []\n"
    "while True:\n    held.append(bytearray(b'x' * 8 * 1024**2))\n    open('eaten.log', 'a').write('x')\n"
)
HOLD = f"import ctypes\nprint('holding', flush=True)\nctypes.PyDLL(None).sleep({HELD_SECONDS + 60})"

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    require_engine()
    profile = {"image": minimal_image(), "memory_bytes": LIMIT, "network": "none", "spare_kernels": 0}
    culling = {"KERNELHUB_CULLING__KERNEL_IDLE": "5", "KERNELHUB_CULLING__INTERVAL": "0.5"}
    with running_hub("docker", {"KERNELHUB_PROFILES": json.dumps({"datascience": profile}), **culling}) as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


def errors_in(tab: FrontEnd, request: str) -> list[dict[str, Any]]:
    return [m["content"] for m in tab.about(request) if m["header"]["msg_type"] == "error"]


async def test_r10_a_kernel_that_runs_out_of_memory_is_told_why_in_its_notebook(hub: RunningHub, ada: Account) -> None:
    with Case("R10") as case:
        tab = await open_notebook(hub, ada, "eat.ipynb", EAT)
        await tab.run("1")
        request = await tab.start(EAT, "cell-one")
        await tab.until(lambda: errors_in(tab, request), 60, "the reason in the notebook")
        told = time.time() - (ada.home / "eaten.log").stat().st_mtime  # its last write was right before its death
        said = str(errors_in(tab, request)[0]["evalue"])
        case.at_most("out of memory: told in the notebook within 3 s (N7)", told, TOLD_SECONDS, "s")
        case.holds("out of memory: with the true reason and the limit", "memory" in said and "256" in said, said)
        await tab.finished(request, 20)
        case.holds("out of memory: the cell is not left at [*]", True, "its reply came")
        content = await asyncio.to_thread(shown, hub, ada, "eat.ipynb")
        case.holds(
            "out of memory: the notebook is intact (N1)", content["cells"][0]["source"] == EAT, "its source is there"
        )
        back = printed(await tab.run("print('again')", 30))
        case.holds("out of memory: the kernel is there again", back == "again\n", repr(back))
        await tab.close()


@pytest.mark.full_only("the interpreter is held for minutes; tests/integration/test_kernel_health.py has a short one")
async def test_r11_a_kernel_that_holds_the_interpreter_is_shown_so_and_not_culled(
    hub: RunningHub, ada: Account
) -> None:
    with Case("R11") as case:
        tab = await open_notebook(hub, ada, "hold.ipynb", HOLD)
        kernel_id = tab.kernel_id
        request = await tab.start(HOLD, "cell-one")
        await tab.until(lambda: tab.about(request), 30, "the begin")
        began = time.monotonic()
        await tab.close()  # nobody is connected: the culler has no other reason to let it live

        def state() -> str:
            answer = ask(hub.address, f"/user/ada/api/kernels/{kernel_id}", token=ada.token)
            return (
                str((answer.json().get("kernelhub") or {}).get("state")) if answer.status == 200 else str(answer.status)
            )

        shown_as = await asyncio.to_thread(
            eventually, lambda: (s := state()) in ("stuck", "busy_not_responding") and s, 40.0, "the state"
        )
        case.holds("held interpreter: shown as not responding", True, str(shown_as))
        await asyncio.sleep(max(HELD_SECONDS - (time.monotonic() - began), 0))
        culled = [event for event in await audit(hub, "kernel.culled") if event.subject == kernel_id]
        alive = state() not in ("404", "gone")
        case.holds(f"held interpreter: not culled within {HELD_SECONDS} s (limit 5 s)", not culled and alive, state())
        path = f"/user/ada/api/kernels/{kernel_id}"
        interrupted = ask(hub.address, f"{path}/interrupt", "POST", token=ada.token, body={}).status
        restarted = ask(hub.address, f"{path}/restart", "POST", token=ada.token, body={}, seconds=60).status
        fine = interrupted in (204, 503) and restarted == 200
        case.holds("held interpreter: interrupt, then a restart helps", fine, f"{interrupted}, {restarted}")
        again = await FrontEnd(hub.address, "ada", ada.token, kernel_id).open()
        said = printed(await again.run("print('free')"))
        case.holds("held interpreter: it runs cells again", said == "free\n", repr(said))
        await again.close()
