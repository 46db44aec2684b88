"""Idle containers are frozen under open connections, by a whole hub with a real engine: nothing is closed or lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.harness.accounts import Account, add_account, audit
from tests.harness.client import HubClient, KernelConnection, eventually, text_of
from tests.harness.running import RunningHub, running_hub
from tests.integration.images import minimal_image, require_engine

pytestmark = pytest.mark.docker

WAIT_SECONDS = 60.0
PROMPT_SECONDS = 5.0
"""A thaw takes less than 0.3 s on a machine with nothing else to do, which tests/bench measures; this one is shared."""


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    require_engine()
    profile = {"image": minimal_image(), "spare_kernels": 0, "network": "none"}
    settings = {
        "KERNELHUB_CULLING__PAUSE_AFTER": "2s",
        "KERNELHUB_CULLING__INTERVAL": "0.5s",
        "KERNELHUB_PROFILES": json.dumps({"datascience": profile}),
    }
    with running_hub("docker", settings) as running:
        yield running


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture
async def client(hub: RunningHub, ada: Account) -> AsyncIterator[HubClient]:
    async with HubClient(hub.address, ada.name, ada.token) as client:
        yield client


def is_frozen(hub: RunningHub) -> bool:
    """Whether the engine says that this hub's only container is paused."""
    command = ["docker", "ps", "-a", "--filter", f"label={hub.label}", "--format", "{{.Status}}"]
    return "(Paused)" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def until_frozen(hub: RunningHub) -> None:
    async def look() -> bool:
        return await asyncio.to_thread(is_frozen, hub)

    await eventually(look, WAIT_SECONDS)


async def ask_variable(kernel: KernelConnection) -> str:
    """What the kernel says of its variable, which it must say promptly."""
    began = time.monotonic()
    told = text_of(await kernel.execute("print(variable)"))
    assert time.monotonic() - began < PROMPT_SECONDS
    return told


async def test_an_open_notebook_is_paused_and_its_next_message_finds_all_as_it_was(
    hub: RunningHub, client: HubClient
) -> None:
    kernel_id = (await client.start_session("paused.ipynb"))["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel, client.kernel(kernel_id) as other:
        await kernel.execute("variable = 'kept'")
        await until_frozen(hub)
        assert (await client.request("GET", f"api/kernels/{kernel_id}"))[1]["execution_state"] == "idle"
        assert is_frozen(hub), "who only looks wakes nobody"
        assert await ask_variable(kernel) == "kept\n"
        assert not is_frozen(hub)
        (thawed, *_) = await audit(hub, "workspace.thawed")
        assert thawed.details["why"] in ("message", "proxy"), thawed.details
        await until_frozen(hub)
        content = {"silent": False, "store_history": True, "allow_stdin": False}
        for number in range(20):
            await other.send("execute_request", {**content, "code": f"variable += ' {number}'"})
        assert await ask_variable(other) == " ".join(["kept", *map(str, range(20))]) + "\n", "none is lost"
        assert not kernel.socket.closed and not other.socket.closed
    assert (await client.request("DELETE", f"api/kernels/{kernel_id}"))[0] == 204


async def test_a_terminal_that_is_typed_into_goes_on(hub: RunningHub, client: HubClient) -> None:
    kernel_id = (await client.start_session("terminal.ipynb"))["kernel"]["id"]  # one without kernels is not paused
    name = (await client.request("POST", "api/terminals"))[1]["name"]
    address = f"{client.base}/terminals/websocket/{name}"
    async with client.http.ws_connect(address, origin=hub.address) as socket:
        await socket.send_str(json.dumps(["stdin", "variable=kept\r"]))
        await until_frozen(hub)
        await socket.send_str(json.dumps(["stdin", 'echo "<$variable>"\r']))
        shown = ""
        while "<kept>" not in shown:
            kind, *text = json.loads(await socket.receive_str(timeout=PROMPT_SECONDS))
            shown += text[0] if kind == "stdout" else ""
    assert (await client.request("DELETE", f"api/terminals/{name}"))[0] == 204
    assert (await client.request("DELETE", f"api/kernels/{kernel_id}"))[0] == 204


async def test_a_proxy_that_is_killed_meanwhile_loses_nothing_of_what_is_paused(
    hub: RunningHub, client: HubClient
) -> None:
    kernel_id = (await client.start_session("proxy.ipynb"))["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        await kernel.execute("variable = 'kept'")
        await until_frozen(hub)
        await asyncio.to_thread(hub.kill, "proxy")

    async def attach() -> str | None:
        try:
            async with client.kernel(kernel_id) as kernel:
                return text_of(await kernel.execute("print(variable)"))
        except OSError:
            return None  # the next proxy is not up yet

    assert await eventually(attach, WAIT_SECONDS) == "kept\n"
    assert (await client.request("DELETE", f"api/kernels/{kernel_id}"))[0] == 204


async def test_a_hub_that_is_killed_meanwhile_is_not_missed_by_the_connection(
    hub: RunningHub, client: HubClient
) -> None:
    kernel_id = (await client.start_session("hub.ipynb"))["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        await kernel.execute("variable = 'kept'")
        await until_frozen(hub)
        await asyncio.to_thread(hub.kill, "hub")
        assert is_frozen(hub), "a hub that starts wakes nobody"
        assert text_of(await kernel.execute("print(variable)")) == "kept\n"
    assert (await client.request("DELETE", f"api/kernels/{kernel_id}"))[0] == 204
