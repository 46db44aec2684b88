"""Kernel WebSockets through a real proxy to a real ipykernel."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import websockets

from tests.harness.proxy_rig import FakeKernel, Rig, eventually, run_rig, text_of


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with run_rig(report_seconds=0.2) as rig:
        yield rig


@pytest.fixture
async def kernel(rig: Rig) -> FakeKernel:
    return await rig.agent.start_kernel()


@pytest.mark.parametrize("v1", [True, False], ids=["v1", "default"])
async def test_a_cell_runs_and_its_output_comes_back(rig: Rig, kernel: FakeKernel, v1: bool) -> None:
    async with rig.connect(kernel, v1=v1) as client:
        assert client.socket.subprotocol == ("v1.kernel.websocket.jupyter.org" if v1 else None)
        messages = await client.execute("print('héllo'); 6 * 7")
        assert text_of(messages) == "héllo\n"
        results = [m for m in messages if m["header"]["msg_type"] == "execute_result"]
        assert results[0]["content"]["data"]["text/plain"] == "42"


async def test_no_output_of_the_first_request_is_missed(rig: Rig, kernel: FakeKernel) -> None:
    for _ in range(10):
        async with rig.connect(kernel) as client:
            kinds = [m["header"]["msg_type"] for m in await client.execute("print(1)")]
            assert sorted(kinds) == sorted(["status", "execute_input", "stream", "execute_reply", "status"])


@pytest.mark.parametrize("v1", [True, False], ids=["v1", "default"])
async def test_binary_buffers_pass_both_ways_unchanged(rig: Rig, kernel: FakeKernel, v1: bool) -> None:
    code = """
def target(comm, message):
    @comm.on_msg
    def answer(message):
        comm.send({"n": len(message["buffers"])}, buffers=[bytes(b)[::-1] for b in message["buffers"]])
get_ipython().kernel.comm_manager.register_target("mirror", target)
"""
    buffers = (bytes(range(256)), b"", os.urandom(3_000_000))
    async with rig.connect(kernel, v1=v1) as client:
        await client.execute(code)
        await client.send("comm_open", {"comm_id": "c", "target_name": "mirror", "data": {}})
        await client.send("comm_msg", {"comm_id": "c", "data": {}}, buffers=buffers)
        answer = await client.until(lambda m: m["header"]["msg_type"] == "comm_msg")
        assert [bytes(b) for b in answer["buffers"]] == [b[::-1] for b in buffers]


async def test_input_is_asked_of_the_client_that_runs_the_cell_only(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel) as other, rig.connect(kernel) as client:
        content = {"code": "print(input('name? '))", "silent": False, "store_history": True, "allow_stdin": True}
        msg_id = await client.send("execute_request", content)
        asked = await client.until(lambda m: m["header"]["msg_type"] == "input_request")
        assert asked["channel"] == "stdin"
        await client.send("input_reply", {"value": "Ada", "status": "ok"}, channel="stdin")
        assert text_of(await client.answers(msg_id)) == "Ada\n"
        await other.execute("1")
        assert all(m["channel"] != "stdin" for m in other.seen)


async def test_control_answers_while_a_cell_runs(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel) as client:
        code = "import time\nprint('runs', flush=True)\ntime.sleep(30)"
        running = await client.send("execute_request", {"code": code, "silent": False})
        # An interrupt before the cell's own code runs can lose ipykernel's execute_reply.
        await client.until(lambda m: m["header"]["msg_type"] == "stream")
        await client.send("interrupt_request", {}, channel="control")
        await client.until(lambda m: m["header"]["msg_type"] == "interrupt_reply")
        assert "error" in [m["header"]["msg_type"] for m in await client.answers(running)]


async def test_a_kernel_that_dies_is_told_and_its_successor_is_reached_on_the_same_connection(
    rig: Rig, kernel: FakeKernel
) -> None:
    async with rig.connect(kernel) as client:
        await client.execute("x = 1")
        assert kernel.process is not None
        os.kill(kernel.process.pid, signal.SIGKILL)
        kernel.process.wait()
        await rig.agent.tell_kernel(kernel, state="restarting", generation=2, reason="killed")
        told = await client.until(lambda m: m["header"]["msg_type"] == "status" and not m["parent_header"])
        assert told["content"] == {"execution_state": "restarting"}
        assert told["channel"] == "iopub"
        kernel.key = "another-key"
        await rig.agent.start_kernel(kernel)
        held = asyncio.create_task(client.execute("'x' in globals()"))
        await rig.agent.tell_kernel(kernel, state="idle")
        results = [m for m in await held if m["header"]["msg_type"] == "execute_result"]
        assert results[0]["content"]["data"]["text/plain"] == "False"


async def test_a_restart_that_was_asked_for_is_not_announced_as_a_death(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel) as client:
        await client.execute("1")
        client.seen.clear()
        assert kernel.process is not None
        await rig.agent.tell_kernel(kernel, state="restarting")
        kernel.process.kill()
        kernel.process.wait()
        await rig.agent.start_kernel(kernel)
        await rig.agent.tell_kernel(kernel, state="idle", generation=2)
        await client.execute("1")
        assert not [m for m in client.seen if m["content"].get("execution_state") in ("restarting", "dead")]


async def test_a_kernel_that_stays_dead_ends_its_connections_so_that_front_ends_ask_why(
    rig: Rig, kernel: FakeKernel
) -> None:
    async with rig.connect(kernel) as client:
        await client.execute("1")
        await rig.agent.tell_kernel(kernel, state="dead", reason="out of memory")
        await asyncio.wait_for(client.socket.wait_closed(), 5)
        assert (client.socket.close_code, client.socket.close_reason) == (1012, "the kernel died: out of memory")


async def test_a_kernel_that_was_shut_down_is_told_dead(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel) as client:
        await client.execute("1")
        await rig.agent.tell_kernel(kernel, state="dead", reason="shut down")
        told = await client.until(lambda m: m["content"].get("execution_state") == "dead")
        assert told["parent_header"] == {}


async def test_a_client_of_a_kernel_that_is_still_starting_is_served_when_it_is_ready(rig: Rig) -> None:
    kernel = FakeKernel("11111111-1111-1111-1111-111111111111", key="k", state="starting")
    rig.agent.kernels[kernel.kernel_id] = kernel
    async with rig.connect(kernel) as client:
        held = asyncio.create_task(client.execute("print('ready')"))
        await rig.agent.start_kernel(kernel)
        await rig.agent.tell_kernel(kernel, state="idle")
        assert text_of(await held) == "ready\n"


async def test_a_refused_upgrade_is_a_plain_http_answer(rig: Rig, kernel: FakeKernel) -> None:
    path = rig.allow_kernel(kernel)
    del rig.hub.routes[path]
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"ws://{rig.address}{path}")
    assert refused.value.response.status_code == 403
    assert "Server" not in refused.value.response.headers


async def test_the_hub_is_asked_with_everything_its_guard_needs(rig: Rig, kernel: FakeKernel) -> None:
    headers = {"Cookie": "kernelhub=abc", "Authorization": "token t", "X-Forwarded-For": "6.6.6.6"}
    async with rig.connect(kernel, additional_headers=headers, origin="http://evil.example"):
        question = rig.hub.questions[-1]
    assert question["cookie"] == "kernelhub=abc"
    assert question["authorization"] == "token t"
    assert question["origin"] == "http://evil.example"
    assert question["address"] == "127.0.0.1"
    assert question["host"] == rig.address
    assert question["query"].startswith("session_id=")


async def test_a_kernel_that_the_agent_does_not_know_is_404(rig: Rig) -> None:
    path = rig.allow_kernel(FakeKernel("22222222-2222-2222-2222-222222222222"))
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"ws://{rig.address}{path}")
    assert refused.value.response.status_code == 404


async def test_while_the_hub_is_away_who_was_let_in_may_open_another_tab_and_others_hear_503(
    rig: Rig, kernel: FakeKernel
) -> None:
    async with rig.connect(kernel) as client:
        await client.execute("x = 5")
        await rig.hub.stop()
        async with rig.connect(kernel) as another:
            assert text_of(await another.execute("print(x)")) == "5\n"
        with pytest.raises(websockets.InvalidStatus) as refused:
            path = rig.allow_kernel(kernel)
            await websockets.connect(f"ws://{rig.address}{path}", additional_headers={"Authorization": "token other"})
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"]
        await asyncio.sleep(0.5)  # two reports fail meanwhile
        assert text_of(await client.execute("print(x)")) == "5\n"


async def test_signing_out_closes_the_connections_of_that_sign_in(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel) as client:
        await eventually(lambda: rig.hub.reports and rig.hub.reports[-1]["connections"])
        assert rig.hub.reports[-1]["connections"] == [
            {"principal": "sign-in-1", "workspace_id": "w1", "kernel_id": kernel.kernel_id, "count": 1}
        ]
        rig.hub.revoked.append("sign-in-1")
        await asyncio.wait_for(client.socket.wait_closed(), 5)
        assert client.socket.close_code == 4401


async def test_a_second_connection_of_a_session_replaces_the_first(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as first, rig.connect(kernel, session="s") as second:
        await asyncio.wait_for(first.socket.wait_closed(), 5)
        assert first.socket.close_code == 1000
        await second.execute("1")


async def test_a_proxy_that_ends_closes_with_1012_after_writing_out_what_it_has(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel) as client:
        await client.execute("1")
        closing = asyncio.create_task(rig.proxy.close())
        await asyncio.wait_for(client.socket.wait_closed(), 5)
        assert client.socket.close_code == 1012
        await closing


async def test_messages_are_counted_while_connections_are_open(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel) as client:
        await client.execute("1")
        rig.proxy.connections.count_all()
        sample = rig.proxy.metrics.registry.get_sample_value
        assert sample("kernelhub_proxy_messages_total", {"direction": "up"}) == 1
        assert sample("kernelhub_proxy_messages_total", {"direction": "down"}) == len(client.seen)
        assert sample("kernelhub_proxy_connections", {"kind": "kernel"}) == 1


async def test_nonsense_from_a_client_closes_its_connection_only(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel) as good, rig.connect(kernel) as bad:
        await bad.socket.send(b"\xff" * 40)
        await asyncio.wait_for(bad.socket.wait_closed(), 5)
        assert bad.socket.close_code == 1008
        await good.execute("1")


async def test_nothing_is_left_open_after_connections_end(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel) as client:
        await client.execute("1")
    await eventually(lambda: len(rig.proxy.connections) == 0)
    await asyncio.sleep(0.3)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(8):
        async with rig.connect(kernel) as client:
            await client.execute("1")
    await eventually(lambda: len(rig.proxy.connections) == 0)
    await eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before + 2)


async def test_a_socket_that_is_a_link_is_not_connected_to(rig: Rig, kernel: FakeKernel) -> None:
    other = FakeKernel("33333333-3333-3333-3333-333333333333", key=kernel.key)
    rig.agent.kernels[other.kernel_id] = other
    for number in range(1, 6):
        (rig.folder / f"{other.kernel_id}-{number}").symlink_to(rig.folder / f"{kernel.kernel_id}-{number}")
    async with rig.connect(other) as client:
        with pytest.raises(TimeoutError):
            await client.execute("1", timeout=1.5)
