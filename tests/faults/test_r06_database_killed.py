"""R6 and R7: PostgreSQL is killed, ends all connections, freezes, or is locked. Kernels and sign-ins do not suffer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager

import aiohttp
import pytest

from tests.faults.harness.crowd import printed
from tests.faults.harness.front_end import FrontEnd
from tests.faults.harness.private_database import PrivateDatabase, private_database
from tests.faults.harness.scoreboard import Case
from tests.faults.harness.sizes import sized
from tests.faults.harness.steady import steadily
from tests.harness.accounts import PASSWORD, Account, add_account
from tests.harness.client import HubClient
from tests.harness.running import RunningHub, running_hub

AWAY_SECONDS = sized(1.0, 30.0)
STALL_SECONDS = sized(2.0, 20.0)
LAG_SECONDS = 0.25
TABLES = ("sign_ins", "workspaces", "users", "kernels")
BACK_SECONDS = 5.0

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def database() -> Iterator[PrivateDatabase]:
    with private_database() as database:
        yield database


@pytest.fixture(scope="module")
def hub(database: PrivateDatabase) -> Iterator[RunningHub]:
    with running_hub("process", database.settings) as hub:
        yield hub


@pytest.fixture(scope="module")
def account(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture
async def ada(hub: RunningHub, account: Account) -> AsyncIterator[HubClient]:
    """Somebody who is signed in."""
    async with HubClient(hub.address, "ada") as client:
        await client.sign_in(PASSWORD)
        yield client


@pytest.fixture
async def tab(hub: RunningHub, ada: HubClient, account: Account) -> AsyncIterator[FrontEnd]:
    """A tab with a kernel."""
    kernel_id = (await ada.start_session("a.ipynb"))["kernel"]["id"]
    front_end = await FrontEnd(hub.address, "ada", account.token, kernel_id).open()
    await front_end.run("x = 0")
    yield front_end
    await front_end.close()


def asking_for_a_page(client: HubClient):  # type: ignore[no-untyped-def]
    async def ask_for_it() -> int:
        headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        url = f"{client.address}/hub/home"
        async with client.http.get(url, headers=headers, allow_redirects=False) as page:
            await page.read()
            return page.status

    return ask_for_it


def asking_the_hub_itself(hub: RunningHub):  # type: ignore[no-untyped-def]
    """Whether the hub's loop turns: what it answers without a database, on its own port."""
    (port,) = {c.laddr.port for c in hub.child("hub").net_connections("inet") if c.status == "LISTEN"}

    async def ask_it() -> int:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/health/live") as answer:
            return answer.status

    return ask_it


async def test_r6_a_database_that_is_killed_signs_nobody_out_and_disturbs_no_kernel(
    hub: RunningHub, database: PrivateDatabase, ada: HubClient, tab: FrontEnd
) -> None:
    with Case("R6") as case:
        async with steadily(asking_for_a_page(ada), 0.1) as pages, steadily(lambda: running(tab), 0.1) as cells:
            await asyncio.sleep(0.3)
            database.kill()
            began = time.monotonic()
            while time.monotonic() - began < AWAY_SECONDS:
                await asyncio.sleep(0.1)
            database.start()
            back_at = time.monotonic()
            while (status := await asking_for_a_page(ada)()) != 200 and time.monotonic() - back_at < 30:
                await asyncio.sleep(0.1)
            back = time.monotonic() - back_at
            later = [await asking_for_a_page(ada)() for _ in range(10)]
        during = set(pages.outcomes) - {"200"}
        case.holds("pages say 503, and lead nobody to the sign-in page", during == {"503"}, str(pages))
        case.holds("kernels do not notice", set(cells.outcomes) == {"ok"}, str(cells))
        case.holds("no error afterwards, and the same sign-in holds", status == 200 and set(later) == {200}, str(later))
        case.at_most("pages are back, once the database is (N6)", back, BACK_SECONDS, "s")


async def test_r6_connections_that_the_database_ends_are_made_anew(
    hub: RunningHub, database: PrivateDatabase, ada: HubClient
) -> None:
    with Case("R6") as case:
        statuses = []
        for _ in range(sized(5, 20)):
            database.end_connections()
            statuses.append(await asking_for_a_page(ada)())
        allowed = set(statuses) <= {200, 503} and await asking_for_a_page(ada)() == 200
        case.holds("ended connections: no 500, no sign-out", allowed, f"{sorted(set(statuses))}")


def stall(database: PrivateDatabase, how: str) -> AbstractContextManager[None]:
    return database.frozen() if how == "frozen" else database.locked(how)


@pytest.mark.parametrize(
    "how",
    [
        "frozen",
        *(
            pytest.param(table, marks=pytest.mark.full_only("tables are locked one after the other"))
            for table in TABLES
        ),
    ],
)
async def test_r7_a_database_that_stalls_holds_up_neither_the_loop_nor_kernels(
    hub: RunningHub, database: PrivateDatabase, ada: HubClient, tab: FrontEnd, how: str
) -> None:
    what = "frozen" if how == "frozen" else f"table {how} locked"
    with Case("R7") as case:
        async with (
            steadily(asking_the_hub_itself(hub), 0.05) as lag,
            steadily(lambda: running(tab), 0.1) as cells,
            steadily(asking_for_a_page(ada), 0.3) as pages,
        ):
            with stall(database, how):
                await asyncio.sleep(STALL_SECONDS)
            began = time.monotonic()
            while await asking_for_a_page(ada)() != 200 and time.monotonic() - began < 30:
                await asyncio.sleep(0.1)
            back = time.monotonic() - began
        case.at_most(f"{what}: the hub's loop turns", lag.slowest, LAG_SECONDS, "s at the longest")
        case.holds(f"{what}: kernels do not notice", set(cells.outcomes) == {"ok"}, str(cells))
        case.holds(f"{what}: nobody is signed out", set(pages.outcomes) <= {"200", "503"}, str(pages))
        case.at_most(f"{what}: pages are back", back, BACK_SECONDS, "s")


async def running(tab: FrontEnd) -> str:
    """Run a cell; ok if it counted on."""
    said = printed(await tab.run("x += 1; print('counted', x)", 10))
    return "ok" if said.startswith("counted") else repr(said)
