"""R16: a class of 300 signs in within a minute, and 40 of them start kernels. Nobody waits long, nothing fails."""

from __future__ import annotations

import asyncio
import time

import pytest

from hub.auth.passwords import HASHER
from hub.cli.offline import ACTOR
from hub.domain.users import Role
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import sized
from tests.faults.harness.steady import Steady
from tests.harness.accounts import PASSWORD, in_thread, services
from tests.harness.client import HubClient, text_of
from tests.harness.running import RunningHub, running_hub

PEOPLE = sized(20, 300)
SECONDS = sized(4.0, 60.0)
STARTS = sized(2, 40)
SIGN_IN_SECONDS = 2.0


async def add_people(hub: RunningHub) -> None:
    """People with one password, hashed once: adding them is not what is measured."""
    hashed = HASHER.hash(PASSWORD)
    async with services(hub) as made:
        for number in range(PEOPLE):
            user = await made.auth.users.add(f"person{number}", Role.USER, actor=ACTOR)
            async with made.store.unit() as unit:
                await unit.passwords.save(user.id, hashed, user.created_at)


async def arrive(hub: RunningHub, number: int, sign_ins: Steady, cells: Steady) -> None:
    """One person signs in; every so often one opens a notebook and runs a cell."""
    async with HubClient(hub.address, f"person{number}") as browser:
        form = await browser.open_form()
        began = time.monotonic()
        try:
            status = await browser.send_form(form, PASSWORD)
        except AssertionError as error:
            status = int(str(error)[:3]) if str(error)[:3].isdigit() else 0
        sign_ins.seconds.append(time.monotonic() - began)
        sign_ins.outcomes[str(status)] += 1
        if number % (PEOPLE // STARTS):
            return
        began = time.monotonic()
        session = await browser.start_session("a.ipynb")
        async with browser.kernel(session["kernel"]["id"]) as kernel:
            said = text_of(await kernel.execute("print('here')", 60))
        cells.seconds.append(time.monotonic() - began)
        cells.outcomes[said.strip()] += 1


@pytest.mark.full_only("a class arrives within a minute; on a machine that is busy with tests its times say nothing")
async def test_r16_a_class_that_arrives_at_once_is_let_in() -> None:
    # The people of the case are browsers; kernels start when a notebook is opened, as R16 has it.
    with Case("R16") as case, running_hub("process", {"KERNELHUB_START_WORKSPACE": "kernel"}) as hub:
        await asyncio.to_thread(in_thread, add_people(hub))
        sign_ins, cells = Steady(), Steady()
        began = time.monotonic()

        async def later(number: int) -> None:
            await asyncio.sleep(max(began + number * SECONDS / PEOPLE - time.monotonic(), 0))
            await arrive(hub, number, sign_ins, cells)

        results = await asyncio.gather(*(later(number) for number in range(PEOPLE)), return_exceptions=True)
        failed = [repr(result) for result in results if isinstance(result, BaseException)]
        case.at_most(
            f"{PEOPLE} sign-ins in {SECONDS:.0f} s: 99 of 100 within", sign_ins.percentile(0.99), SIGN_IN_SECONDS, "s"
        )
        case.holds("no sign-in fails", set(sign_ins.outcomes) == {"200"} and not failed, f"{sign_ins} {failed[:2]}")
        case.holds(f"{STARTS} kernels started meanwhile, each ran a cell", set(cells.outcomes) == {"here"}, str(cells))
