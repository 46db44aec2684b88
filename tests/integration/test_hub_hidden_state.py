"""The hidden state of a notebook, from what a real kernel was seen to run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.harness import notebooks
from tests.harness.accounts import Account, add_account
from tests.harness.client import HubClient
from tests.harness.running import RunningHub, running_hub

Json = dict[str, Any]


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture
async def client(hub: RunningHub, ada: Account) -> AsyncIterator[HubClient]:
    async with HubClient(hub.address, ada.name, ada.token) as client:
        yield client


async def save(client: HubClient, path: str, *cells: tuple[str, int | None]) -> None:
    content = notebooks.notebook(*(notebooks.cell(source, count=count) for source, count in cells))
    await notebooks.save(client, path, content)


async def state(client: HubClient, path: str) -> Json:
    status, answer = await client.request("GET", f"api/kernelhub/state?path={path}")
    assert status == 200, answer
    result: Json = answer
    return result


async def test_cells_out_of_order_changed_deleted_and_never_run_are_listed(client: HubClient) -> None:
    await save(client, "a.ipynb", ("first = 1", 4), ("print(gone)", 2), ("y = 3", 3), ("z = 1", None))
    assert await state(client, "a.ipynb") == {"path": "a.ipynb", "kernel": None}
    session = await client.start_session("a.ipynb")
    async with client.kernel(session["kernel"]["id"]) as kernel:
        for code in ("gone = 7", "print(gone)", "y = 2", "first = 1"):
            await kernel.execute(code)
    found = await state(client, "a.ipynb")
    assert (found["kernel"], found["complete"], found["clean"]) == ({"id": session["kernel"]["id"]}, True, False)
    assert (found["out_of_order"], found["changed"], found["never_run"]) == ([2, 3], [3], [4])
    [ghost] = found["deleted"]
    assert (ghost["names"], ghost["used_by"], ghost["execution_count"]) == (["gone"], [2], 1)
    await client.request("DELETE", f"api/sessions/{session['id']}")


async def test_a_restarted_kernel_remembers_nothing_and_a_run_from_the_top_is_clean(client: HubClient) -> None:
    await save(client, "b.ipynb", ("x = 1", 1), ("x + 1", 2))
    session = await client.start_session("b.ipynb")
    kernel_id = session["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        for code in ("x = 1", "x + 1"):
            await kernel.execute(code)
    assert (await state(client, "b.ipynb"))["clean"]
    assert (await client.request("POST", f"api/kernels/{kernel_id}/restart"))[0] == 200
    assert (await state(client, "b.ipynb"))["never_run"] == [1, 2]
    await client.request("DELETE", f"api/sessions/{session['id']}")


async def test_much_code_is_remembered_within_bounds_and_the_gap_is_said(client: HubClient) -> None:
    await save(client, "c.ipynb", ("x = 1", 1))
    session = await client.start_session("c.ipynb")
    async with client.kernel(session["kernel"]["id"]) as kernel:
        await kernel.execute("x = 1")
        for number in range(80):
            await kernel.execute(f"{number}\n#" + "\u00e9" * 60_000)
    found = await state(client, "c.ipynb")
    assert not found["complete"] and found["never_run"] == [1]
    await client.request("DELETE", f"api/sessions/{session['id']}")


@pytest.mark.parametrize(("path", "status"), [("nothing.ipynb", 404), ("", 400), ("../x.ipynb", 404)])
async def test_what_is_no_notebook_is_refused(client: HubClient, path: str, status: int) -> None:
    assert (await client.request("GET", f"api/kernelhub/state?path={path}"))[0] == status
