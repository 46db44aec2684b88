"""A local JupyterLab whose kernels are a hub's: ``jupyter lab --gateway-url=https://hub/user/<name>``."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.sync_api import expect

from tests.conftest import missing
from tests.harness.accounts import Account, add_account
from tests.harness.browser import CHROMIUM, chromium
from tests.harness.client import HubClient, text_of
from tests.harness.outside import Laptop
from tests.harness.running import RunningHub, running_hub

TOKEN = "local"
SECONDS = 40.0


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture(scope="module")
def server(hub: RunningHub, ada: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real ``jupyter lab`` that knows the hub's address and Ada's token."""
    laptop = Laptop(tmp_path_factory.mktemp("laptop"), hub, ada)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"]
    command += [f"--gateway-url={hub.address}/user/ada", f"--GatewayClient.auth_token={ada.token}"]
    command += [f"--ServerApp.root_dir={laptop.folder}"]
    log = laptop.folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, env=laptop.environment, stdout=output, stderr=output, cwd=laptop.folder)
    try:
        asyncio.run(_until_ready(f"http://127.0.0.1:{port}", log))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


async def _until_ready(address: str, log: Path) -> None:
    async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{address}/api", headers={"Authorization": f"token {TOKEN}"}) as answer:
                    assert answer.status == 200, log.read_text()
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


class LocalServer:
    """The local server as its own JupyterLab uses it."""

    def __init__(self, http: aiohttp.ClientSession, address: str) -> None:
        self.http = http
        self.address = address

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.http.request(method, f"{self.address}/{path}", json=body) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text and "json" in answer.content_type else text

    async def start(self) -> str:
        status, kernel = await self.request("POST", "api/kernels", {"name": "python3"})
        assert status == 201, kernel
        kernel_id: str = kernel["id"]
        return kernel_id

    @asynccontextmanager
    async def channels(self, kernel_id: str) -> AsyncIterator[Channels]:
        url = f"{self.address}/api/kernels/{kernel_id}/channels?session_id={uuid.uuid4().hex}"
        async with self.http.ws_connect(url, max_msg_size=0) as connection:
            yield Channels(connection)


class Channels:
    """The local server's WebSocket in the default framing: JSON text."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self.connection = connection

    async def send(self, channel: str, kind: str, content: Any, parent: Any = None) -> str:
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": "lab", "username": "", "version": "5.3"}
        message = {"channel": channel, "header": header, "parent_header": parent or {}, "metadata": {}}
        await self.connection.send_json({**message, "content": content, "buffers": []})
        return header["msg_id"]

    async def run(self, code: str, answer: str = "") -> dict[str, list[Any]]:
        """Run a cell, answering its question; gives the contents of what comes, by type."""
        return await self.outcome(await self.begin(code), answer)

    async def begin(self, code: str) -> str:
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
        return await self.send("shell", "execute_request", content)

    async def outcome(self, cell: str, answer: str = "") -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        async with asyncio.timeout(SECONDS):
            while "execute_reply" not in found or not _is_idle(found):
                message = await self.connection.receive_json()
                if message["parent_header"].get("msg_id") != cell:
                    continue
                found.setdefault(message["msg_type"], []).append(message["content"])
                if message["msg_type"] == "input_request":
                    await self.send("stdin", "input_reply", {"value": answer}, message["header"])
        return found


def _is_idle(found: dict[str, list[Any]]) -> bool:
    return any(content["execution_state"] == "idle" for content in found.get("status", []))


@pytest.fixture
async def local(server: str) -> AsyncIterator[LocalServer]:
    async with aiohttp.ClientSession(headers={"Authorization": f"token {TOKEN}"}) as http:
        yield LocalServer(http, server)


@pytest.fixture
async def browser(hub: RunningHub, ada: Account) -> AsyncIterator[HubClient]:
    """Ada at the hub itself; her kernels end with the test."""
    async with HubClient(hub.address, ada.name, ada.token) as client:
        yield client
        for kernel in (await client.request("GET", "api/kernels"))[1]:
            await client.request("DELETE", f"api/kernels/{kernel['id']}")


async def test_the_hubs_kernelspecs_and_their_logos_are_offered(local: LocalServer) -> None:
    status, specs = await local.request("GET", "api/kernelspecs")
    assert (status, specs["default"]) == (200, "python3")
    assert (await local.request("GET", "api/kernelspecs/python3"))[0] == 200
    resources = specs["kernelspecs"]["python3"]["resources"]
    assert "logo-64x64" in resources
    for path in resources.values():
        async with local.http.get(f"{local.address}{path}") as answer:
            assert answer.status == 200
            assert answer.content_type.startswith("image/")
            assert len(await answer.read()) > 100


async def test_a_session_runs_interrupts_restarts_and_ends(local: LocalServer, browser: HubClient) -> None:
    body = {"path": "a.ipynb", "name": "a", "type": "notebook", "kernel": {"name": "python3"}}
    status, session = await local.request("POST", "api/sessions", body)
    assert status == 201
    kernel_id = session["kernel"]["id"]
    assert [kernel["id"] for kernel in (await browser.request("GET", "api/kernels"))[1]] == [kernel_id]
    async with local.channels(kernel_id) as channels:
        assert (await channels.run("print(6 * 7)"))["stream"][0]["text"] == "42\n"
        asked = await channels.run("print('I am', input('name? '))", answer="Ada")
        assert asked["input_request"][0]["prompt"] == "name? "
        assert asked["stream"][0]["text"] == "I am Ada\n"
        cell = await channels.begin("print('begun', flush=True)\nimport time; time.sleep(600)")
        await _until_begun(channels, cell)
        assert (await local.request("POST", f"api/kernels/{kernel_id}/interrupt"))[0] == 204
        assert (await channels.outcome(cell))["error"][0]["ename"] == "KeyboardInterrupt"
    assert (await local.request("POST", f"api/kernels/{kernel_id}/restart"))[0] == 200
    async with local.channels(kernel_id) as channels:
        assert (await channels.run("'time' in dir()"))["execute_result"][0]["data"]["text/plain"] == "False"
    assert (await local.request("DELETE", f"api/sessions/{session['id']}"))[0] == 204
    assert (await browser.request("GET", "api/kernels"))[1] == []


async def _until_begun(channels: Channels, cell: str) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            message = await channels.connection.receive_json()
            if message["msg_type"] == "stream" and message["parent_header"]["msg_id"] == cell:
                return


async def test_the_local_server_and_a_browser_share_a_kernel(local: LocalServer, browser: HubClient) -> None:
    kernel_id = await local.start()
    async with local.channels(kernel_id) as channels, browser.kernel(kernel_id) as notebook:
        await channels.run("x = 'from the local server'")
        assert text_of(await notebook.execute("print(x)")) == "from the local server\n"


async def test_it_connects_again_when_the_hubs_proxy_was_restarted(
    hub: RunningHub, local: LocalServer, browser: HubClient
) -> None:
    kernel_id = await local.start()
    async with local.channels(kernel_id) as channels:
        await channels.run("kept = 'kept'")
        await asyncio.to_thread(hub.kill, "proxy")
    async with local.channels(kernel_id) as channels:
        assert (await channels.run("kept"))["execute_result"][0]["data"]["text/plain"] == "'kept'"


async def test_an_unknown_kernelspec_is_refused(local: LocalServer, browser: HubClient) -> None:
    status, _ = await local.request("POST", "api/kernels", {"name": "cobol"})
    assert status >= 400
    assert (await browser.request("GET", "api/kernels"))[1] == []


@pytest.mark.browser
def test_jupyterlab_of_the_local_server_runs_cells_on_the_hub(server: str, ada: Account) -> None:
    if not CHROMIUM.exists():
        missing("Chromium", "bash tests/prepare.sh")
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.goto(f"{server}/lab?reset&token={TOKEN}")
        page.locator(".jp-LauncherCard[data-category='Notebook']").first.click()
        # The indicator beside the notebook says idle before there is a kernel, and what is run then is never sent.
        expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=SECONDS * 1000)
        page.locator(".jp-Notebook .cm-content").first.click()
        page.keyboard.insert_text("import os; print(os.getcwd())")
        page.keyboard.press("Shift+Enter")
        expect(page.locator(".jp-OutputArea-output", has_text=str(ada.home))).to_have_count(1, timeout=SECONDS * 1000)
