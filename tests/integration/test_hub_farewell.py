"""A cell whose kernel or container somebody in charge ends: it shows who did it and why, and nothing of the force.

The cell is interrupted first, so that it can tidy up: the KeyboardInterrupt of that is nobody's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.harness.accounts import PASSWORD, Account, add_account
from tests.harness.client import HubClient, KernelConnection, Message, eventually
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, running_hub
from tests.integration.test_hub_results import Notebook, as_async

CELL = "import time\nprint('begun', flush=True)\ntry:\n    time.sleep(300)\nfinally:\n    print('tidied up')"
REASON = "stopped by an administrator"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture(scope="module")
def root(hub: RunningHub) -> Account:
    return add_account(hub, "root", admin=True)


async def stop_container(hub: RunningHub, root: Account) -> None:
    answer = await asyncio.to_thread(
        ask, hub.address, "/hub/api/users/ada/server", "DELETE", token=root.token, seconds=30
    )
    assert answer.status == 204


async def end_kernel(hub: RunningHub, root: Account, kernel_id: str) -> None:
    """As the button on the page Now does."""
    async with HubClient(hub.address, root.name) as person:
        assert await person.sign_in(PASSWORD) == 200
        token = await person.prove_presence(PASSWORD)
        url = f"{hub.address}/hub/admin/users/ada/kernels/{kernel_id}/stop"
        async with person.http.post(url, data={"_xsrf": token}, allow_redirects=False) as answer:
            assert answer.status in (302, 303), await answer.text()


async def told_until_the_end(connection: KernelConnection) -> list[tuple[str, Message]]:
    """All messages until the connection is closed."""
    told = []
    async with asyncio.timeout(30):
        while True:
            try:
                told.append(await connection.receive())
            except aiohttp.WSMessageTypeError:
                return told


def of(told: list[tuple[str, Message]], request: str) -> list[tuple[str, str, Any]]:
    """What a request's messages say in short."""
    return [
        (channel, message["header"]["msg_type"], brief(message["content"]))
        for channel, message in told
        if message["parent_header"].get("msg_id") == request
    ]


def brief(content: Message) -> Any:
    names = ("text", "execution_state", "evalue", "status")
    return next((content[name] for name in names if name in content), None)


@pytest.mark.parametrize("what", ["container", "kernel"])
async def test_a_cell_that_is_watched_shows_who_ended_it_once_and_no_interrupt(
    hub: RunningHub, ada: Account, root: Account, what: str
) -> None:
    reason = REASON if what == "container" else "stopped by root, who is in charge"
    async with HubClient(hub.address, ada.name, ada.token) as client:
        notebook = Notebook(client, ada, f"{what}.ipynb", [CELL, "6 * 7"])
        kernel_id = await notebook.start()
        async with client.kernel(kernel_id) as connection:
            cell = await notebook.begin(connection)
            await notebook.hear(connection, cell, "stream")
            queued = await connection.send("execute_request", {"code": "6 * 7", "silent": False})
            watching = asyncio.ensure_future(told_until_the_end(connection))
            await (stop_container(hub, root) if what == "container" else end_kernel(hub, root, kernel_id))
            told = await watching
            assert connection.socket.close_code == 1012
    assert of(told, cell) == [
        ("iopub", "stream", "tidied up\n"),
        ("iopub", "error", reason),
        ("shell", "execute_reply", reason),
        ("iopub", "status", "idle"),
    ]
    names = [message["content"]["ename"] for channel, message in told if "ename" in message["content"]]
    assert set(names) == {"KernelStopped"}
    shown = [each for each in of(told, queued) if each[2] != "busy"]  # its kernel may have had the time to refuse it
    assert [each[:2] for each in shown] == [("shell", "execute_reply"), ("iopub", "status")]
    assert shown[0][2] in (reason, "aborted") and shown[1][2] == "idle"


async def test_a_cell_that_nobody_watched_says_it_in_the_file(hub: RunningHub, ada: Account, root: Account) -> None:
    async with HubClient(hub.address, ada.name, ada.token) as client:
        notebook = Notebook(client, ada, "away.ipynb", [CELL])
        kernel_id = await notebook.start()
        async with client.kernel(kernel_id) as connection:
            await notebook.hear(connection, await notebook.begin(connection), "stream")
        await stop_container(hub, root)
        outputs = await eventually(lambda: as_async(ended(notebook.on_disk()["cells"][0]["outputs"])))
    assert ["".join(output.get("text", "")) or output["evalue"] for output in outputs] == [
        "begun\ntidied up\n",
        REASON,
    ]
    assert outputs[1]["ename"] == "KernelStopped"
    assert outputs[1]["traceback"] == [f"The kernel was ended while this cell ran: {REASON}"]


def ended(outputs: list[Any]) -> list[Any] | None:
    return outputs if outputs and outputs[-1]["output_type"] == "error" else None
