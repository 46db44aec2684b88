"""Kernels of a whole hub: sessions, restarts, deaths, and what survives when hub and proxy do not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.harness.accounts import Account, add_account, audit
from tests.harness.client import HubClient, KernelConnection, Message, eventually, text_of
from tests.harness.running import RunningHub, running_hub


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture
async def client(hub: RunningHub, ada: Account) -> AsyncIterator[HubClient]:
    """Ada with her token; her kernels end with the test."""
    async with HubClient(hub.address, ada.name, ada.token) as client:
        yield client
        for kernel in (await client.request("GET", "api/kernels"))[1]:
            await client.request("DELETE", f"api/kernels/{kernel['id']}")


async def kernel_of(client: HubClient, kernel_id: str) -> Message:
    status, kernel = await client.request("GET", f"api/kernels/{kernel_id}")
    assert status == 200, kernel
    result: Message = kernel
    return result


def results(messages: list[Message]) -> list[str]:
    return [m["content"]["data"]["text/plain"] for m in messages if m["header"]["msg_type"] == "execute_result"]


async def start_cell(kernel: KernelConnection, code: str) -> str:
    """Send a cell and return when it runs."""
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    message_id = await kernel.send("execute_request", content)
    async with asyncio.timeout(30):
        while True:
            _, message = await kernel.receive()
            if message["header"]["msg_type"] == "execute_input" and message["parent_header"]["msg_id"] == message_id:
                return message_id


async def answer_to(kernel: KernelConnection, message_id: str) -> Message:
    """The reply to a request that was sent before."""
    async with asyncio.timeout(30):
        while True:
            channel, message = await kernel.receive()
            if channel == "shell" and message["parent_header"].get("msg_id") == message_id:
                return message


async def test_a_session_is_created_found_by_its_path_renamed_and_deleted(client: HubClient) -> None:
    session = await client.start_session("a.ipynb")
    assert session["kernel"]["name"] == "python3" and session["path"] == "a.ipynb"
    body = {"path": "a.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}}
    _, again = await client.request("POST", "api/sessions", body)
    assert (again["id"], again["kernel"]["id"]) == (session["id"], session["kernel"]["id"])
    status, renamed = await client.request("PATCH", f"api/sessions/{session['id']}", {"path": "folder/b.ipynb"})
    assert (status, renamed["path"]) == (200, "folder/b.ipynb")
    status, listed = await client.request("GET", "api/sessions")
    assert [s["path"] for s in listed] == ["folder/b.ipynb"]
    assert (await client.request("DELETE", f"api/sessions/{session['id']}"))[0] == 204
    assert (await client.request("GET", f"api/sessions/{session['id']}"))[0] == 404
    assert (await client.request("GET", f"api/kernels/{session['kernel']['id']}"))[0] == 404
    assert (await client.request("GET", "api/sessions"))[1] == []


async def test_another_kernel_in_a_session_ends_the_one_there_was(client: HubClient) -> None:
    session = await client.start_session("change.ipynb")
    status, changed = await client.request(
        "PATCH", f"api/sessions/{session['id']}", {"kernel": {"id": None, "name": "python3"}}
    )
    assert status == 200 and changed["kernel"]["id"] != session["kernel"]["id"]
    _, kernels = await client.request("GET", "api/kernels")
    assert [kernel["id"] for kernel in kernels] == [changed["kernel"]["id"]]


async def test_two_tabs_that_open_one_notebook_at_once_share_one_session(client: HubClient) -> None:
    body = {"path": "shared.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}}
    answers = await asyncio.gather(*(client.request("POST", "api/sessions", body) for _ in range(3)))
    assert {status for status, _ in answers} <= {200, 201}
    assert len({session["id"] for _, session in answers}) == 1

    async def one_kernel() -> bool:
        _, kernels = await client.request("GET", "api/kernels")
        return [kernel["id"] for kernel in kernels] == [answers[0][1]["kernel"]["id"]]

    await eventually(one_kernel)


async def test_a_kernel_starts_in_its_notebooks_folder(client: HubClient, ada: Account) -> None:
    status, _ = await client.request("PUT", "api/contents/deep", {"type": "directory"})
    assert status in (200, 201)
    session = await client.start_session("deep/here.ipynb")
    async with client.kernel(session["kernel"]["id"]) as kernel:
        messages = await kernel.execute("import os; print(os.getcwd())")
    assert Path(text_of(messages).strip()) == ada.home / "deep"


async def test_a_restart_keeps_the_id_and_forgets_the_variables(client: HubClient) -> None:
    kernel_id = (await client.start_session("restart.ipynb"))["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        await kernel.execute("x = 1")
        status, restarted = await client.request("POST", f"api/kernels/{kernel_id}/restart")
        assert (status, restarted["id"]) == (200, kernel_id)
        assert results(await kernel.execute("'x' in globals()")) == ["False"]


async def test_a_cell_is_interrupted(client: HubClient) -> None:
    kernel_id = (await client.start_session("interrupt.ipynb"))["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        cell = await start_cell(kernel, "while True: pass")
        assert (await client.request("POST", f"api/kernels/{kernel_id}/interrupt"))[0] == 204
        reply = await answer_to(kernel, cell)
        assert reply["content"]["ename"] == "KeyboardInterrupt"


async def test_a_kernel_that_dies_is_restarted_and_its_death_recorded_with_the_reason(
    hub: RunningHub, client: HubClient
) -> None:
    kernel_id = (await client.start_session("crash.ipynb"))["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        await kernel.execute("x = 1")
        content = {"code": "import os; os._exit(3)", "silent": False, "store_history": True, "allow_stdin": False}
        await kernel.send("execute_request", content)
        told: list[str] = []
        async with asyncio.timeout(20):
            while not {"restarting", "autorestarting"} & set(told):
                _, message = await kernel.receive()
                told.append(str(message["content"].get("execution_state")))

        async def is_back() -> bool:
            return (await kernel_of(client, kernel_id))["execution_state"] == "idle"

        await eventually(is_back)
        assert results(await kernel.execute("'x' in globals()")) == ["False"]

    async def recorded() -> list[Any]:
        return await audit(hub, "kernel.died", kernel_id)

    death = (await eventually(recorded))[0]
    assert "3" in str(death.details["reason"]), death


async def test_what_a_kernel_was_shut_for_is_in_the_audit_log(hub: RunningHub, client: HubClient) -> None:
    kernel_id = (await client.start_session("shut.ipynb"))["kernel"]["id"]
    assert (await client.request("DELETE", f"api/kernels/{kernel_id}"))[0] == 204
    (event,) = await audit(hub, "kernel.ended", kernel_id)
    assert event.details["reason"] == "shut down by its user"


@pytest.mark.parametrize("victim", ["hub", "proxy"])
async def test_a_running_cell_survives_the_violent_death_of(hub: RunningHub, client: HubClient, victim: str) -> None:
    kernel_id = (await client.start_session(f"{victim}.ipynb"))["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        await kernel.execute("x = 41; import os, pathlib, time")
        pid = results(await kernel.execute("os.getpid()"))
        code = "while not pathlib.Path('go').exists(): time.sleep(0.02)\nx += 1"
        cell = await start_cell(kernel, code)
        await asyncio.to_thread(hub.kill, victim)
        assert (await kernel_of(client, kernel_id))["execution_state"] == "busy"
        body = {"type": "file", "format": "text", "content": ""}
        assert (await client.request("PUT", "api/contents/go", body))[0] == 201
        if victim == "hub":  # whose end the proxy's connections do not even notice
            assert (await answer_to(kernel, cell))["content"]["status"] == "ok"
    async with client.kernel(kernel_id) as kernel:
        assert results(await kernel.execute("x")) == ["42"]
        assert results(await kernel.execute("os.getpid()")) == pid
    assert (await client.request("DELETE", "api/contents/go"))[0] == 204


async def test_a_proxy_that_ends_tells_its_clients_to_come_back(hub: RunningHub, client: HubClient) -> None:
    kernel_id = (await client.start_session("come-back.ipynb"))["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        await kernel.execute("1")
        hub.child("proxy").terminate()
        while (message := await kernel.socket.receive(timeout=5)).type is aiohttp.WSMsgType.BINARY:
            pass
        assert message.type is aiohttp.WSMsgType.CLOSE and message.data == 1012

    async def is_ready() -> bool:
        return await asyncio.to_thread(hub.is_ready)

    await eventually(is_ready)


async def test_ctrl_c_ends_all_but_the_users_kernels_within_five_seconds_and_the_next_start_finds_them(
    hub: RunningHub, client: HubClient
) -> None:
    session = await client.start_session("ctrl-c.ipynb")
    kernel_id = session["kernel"]["id"]
    async with client.kernel(kernel_id) as kernel:
        await kernel.execute("y = 'still here'")
        agents = agents_of(hub)
        assert agents
        children = [hub.child("hub"), hub.child("proxy")]
        assert await asyncio.to_thread(hub.stop) < 5.0
    assert not [child for child in children if child.is_running()]
    assert agents_of(hub) == agents
    await asyncio.to_thread(hub.start)
    assert agents_of(hub) == agents
    _, sessions = await client.request("GET", "api/sessions")
    assert [(s["id"], s["kernel"]["id"]) for s in sessions] == [(session["id"], kernel_id)]
    async with client.kernel(kernel_id) as kernel:
        assert results(await kernel.execute("y")) == ["'still here'"]


async def test_serve_stop_workspaces_stops_the_users_kernels_too(hub: RunningHub, client: HubClient) -> None:
    session = await client.start_session("stopped.ipynb")
    await asyncio.to_thread(hub.stop)
    await asyncio.to_thread(hub.start, "--stop-workspaces")
    assert (await kernel_of(client, session["kernel"]["id"]))["id"] == session["kernel"]["id"]
    assert await asyncio.to_thread(hub.stop) < 20.0
    assert not agents_of(hub)
    await asyncio.to_thread(hub.start)
    assert await client.request("GET", "api/kernels") == (200, [])
    reasons = [event.details["reason"] for event in await audit(hub, "workspace.stop")]
    assert "the hub was stopped" in reasons


def agents_of(hub: RunningHub) -> set[int]:
    """The pids of the hub's agents and of everything that they started."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("KERNELHUB_RUN", "").startswith(str(hub.data_dir)):
                found.add(process.pid)
    return found
