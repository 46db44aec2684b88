"""R5: the hub is started while the container engine is down. Nothing is forgotten, and nothing is left over."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness.crowd import printed, start_kernel
from tests.faults.harness.fault_proxy import FaultProxy
from tests.faults.harness.front_end import FrontEnd
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import is_full, sized
from tests.harness.accounts import add_account
from tests.harness.containers import containers
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, eventually, running_hub
from tests.integration.images import minimal_image, require_engine
from tests.integration.test_hub_engine import engine_socket, profiles

AWAY_SECONDS = sized(0.5, 60.0)
BACK_SECONDS = 30.0
SETTLED_SECONDS = 30.0

pytestmark = pytest.mark.docker


@pytest.fixture
def way() -> Iterator[FaultProxy]:
    """The way to the engine, which can be cut."""
    require_engine()
    with (
        tempfile.TemporaryDirectory(prefix="kh-", dir="/tmp") as folder,
        FaultProxy(Path(engine_socket()), Path(folder) / "docker.sock") as way,
    ):
        yield way


async def test_r5_a_hub_that_starts_without_its_engine_finds_everything_when_that_is_back(way: FaultProxy) -> None:
    environment = {**profiles(minimal_image()), "KERNELHUB_DOCKER_URL": f"unix://{way.address}"}
    with Case("R5") as case, running_hub("docker", environment) as hub:
        ada, bob = add_account(hub, "ada"), add_account(hub, "bob")
        kernel_id = await start_kernel(hub, ada, "a.ipynb")
        front_end = await FrontEnd(hub.address, "ada", ada.token, kernel_id).open()
        await front_end.run("x = 41")
        before = described(hub)
        way.refuse()
        way.cut()
        hub.child("hub").kill()
        await asyncio.to_thread(eventually, lambda: _waits(hub), 30.0, "the hub says that it waits for the engine")
        text = printed(await front_end.run("x += 1; print(x)"))
        await asyncio.sleep(AWAY_SECONDS)
        way.start()
        began = time.monotonic()
        await asyncio.to_thread(eventually, hub.is_ready, 60.0, "readiness")
        case.at_most("the hub serves again, once the engine is back (N6)", time.monotonic() - began, BACK_SECONDS, "s")
        case.holds("the kernel ran on meanwhile (N2)", text == "42\n", repr(text))
        case.holds("same container, same start (N2)", described(hub) == before, f"{before} → {described(hub)}")
        kernels = [kernel["id"] for kernel in ask(hub.address, "/user/ada/api/kernels", token=ada.token).json()]
        case.holds("the kernel is known, and no other (N4)", kernels == [kernel_id], f"{len(kernels)} kernel(s)")
        again = printed(await front_end.run("print(x)"))
        case.holds("its variables are there (N2)", again == "42\n", repr(again))
        if is_full():
            started = await start_kernel(hub, bob, "b.ipynb")
            case.holds("others start containers again", bool(started), "yes")
        await front_end.close()
        case.holds("containers = workspaces that run (N4)", *in_step(hub, sized(1, 2)))


def described(hub: RunningHub) -> list[str]:
    """Each container of the hub with the moment of its start."""
    names = containers(hub.label)
    command = ["docker", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}", *names]
    return sorted(line[:12] + line[64:] for line in subprocess.check_output(command, text=True).splitlines())


def in_step(hub: RunningHub, expected: int) -> tuple[bool, str]:
    """Whether there are as many containers as expected, now or after the time for settling."""
    with contextlib.suppress(AssertionError):
        eventually(lambda: len(containers(hub.label)) == expected, SETTLED_SECONDS, "as many containers")
    found = len(containers(hub.label))
    return found == expected, f"{found} containers, {expected} workspaces"


def _waits(hub: RunningHub) -> object:
    return re.search(r"No container engine answers", hub.log())
