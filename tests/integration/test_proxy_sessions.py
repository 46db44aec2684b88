"""One session, one connection: through one proxy or two of a machine, with what it asked and what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import websockets

from proxy.app import Proxy
from proxy.config import ProxySettings
from tests.faults.harness.fault_proxy import FaultProxy
from tests.harness.proxy_process import Port, listens, proxy_process
from tests.harness.proxy_rig import (
    TOKEN,
    FakeAgent,
    FakeHub,
    FakeKernel,
    KernelClient,
    Rig,
    eventually,
    run_rig,
    short_folder,
    text_of,
)
from tests.integration.test_proxy_replay import ASK, answer, back, halves, kinds, leave, numbers, question, start


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with run_rig(keeps_journals=True, state_dir=tmp_path) as rig:
        yield rig


@pytest.fixture
async def kernel(rig: Rig) -> FakeKernel:
    return await rig.agent.start_kernel()


@asynccontextmanager
async def second_proxy(rig: Rig, state_dir: Path) -> AsyncIterator[str]:
    """Another proxy of the machine; gives its address."""
    hub_url = f"http://127.0.0.1:{rig.hub.port}"
    other = Proxy(ProxySettings(internal_token=TOKEN, port=0, hub_url=hub_url, static_roots={}, state_dir=state_dir))
    await other.start()
    try:
        yield f"127.0.0.1:{other.port}"
    finally:
        await other.close()


async def closed(client: KernelClient) -> tuple[int | None, str | None]:
    """How the proxy closed the connection, when it has."""
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await client.receive()
    return client.socket.close_code, client.socket.close_reason


REPLACED = (1000, "replaced by a newer connection of this session")


async def test_a_session_that_signed_in_anew_takes_over_from_its_old_connection(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as old:
        await old.execute("1")
        async with rig.connect(kernel, session="s", principal="sign-in-2") as new:
            assert await closed(old) == REPLACED
            assert text_of(await new.execute("print('here')")) == "here\n"


async def test_a_session_that_comes_to_another_proxy_is_given_up_by_the_first(
    rig: Rig, kernel: FakeKernel, tmp_path: Path
) -> None:
    async with second_proxy(rig, tmp_path) as address, rig.connect(kernel, session="s") as old:
        msg_id = await start(old, halves(rig.folder / "go", 200, 0.002))
        await old.until(lambda m: text_of([m]).endswith("49\n"))
        await asyncio.sleep(0.1)  # until this is acknowledged
        async with rig.connect(kernel, session="s", address=address) as new:
            assert await closed(old) == REPLACED
            (rig.folder / "go").touch()
            await back(old, new).answers(msg_id)
            assert numbers(new) == list(range(200))
            assert kinds(new, msg_id).count("execute_reply") == 1
            async with rig.connect(kernel, session="s") as again:  # and back to the first one
                assert await closed(new) == REPLACED
                assert text_of(await again.execute("print('again')")) == "again\n"
    assert not list(tmp_path.glob("waiting-*"))


async def test_a_laptop_that_wakes_up_has_its_replay_at_once_though_its_old_connection_stands(
    rig: Rig, kernel: FakeKernel, tmp_path: Path
) -> None:
    async with second_proxy(rig, tmp_path) as address:
        with FaultProxy(("127.0.0.1", rig.proxy.port)) as faulty:
            async with rig.connect(kernel, session="s", address=faulty.address.removeprefix("http://")) as asleep:
                msg_id = await start(asleep, halves(rig.folder / "go", 100))
                await asleep.until(lambda m: text_of([m]).endswith("49\n"))
                await asyncio.sleep(0.1)
                faulty.blackhole()
                (rig.folder / "go").touch()
                await asyncio.sleep(0.3)
                began = time.monotonic()
                async with rig.connect(kernel, session="s", address=address) as awake:
                    await back(asleep, awake).answers(msg_id)
                    assert time.monotonic() - began < 5.0, "nobody waited for the old connection's silence"
                    assert numbers(awake) == list(range(100))
                    assert len(rig.proxy.connections) == 0
                faulty.cut()


async def test_an_older_request_for_a_connection_does_not_take_the_session_from_a_newer_one(
    rig: Rig, kernel: FakeKernel, tmp_path: Path
) -> None:
    """A request that hung in one proxy, of a page that has given it up and is connected through another."""
    async with second_proxy(rig, tmp_path) as address:
        order = rig.proxy.connections.next_order()
        rig.proxy.connections.next_order = lambda: order  # type: ignore[method-assign]
        async with rig.connect(kernel, session="s", address=address) as new:
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with rig.connect(kernel, session="s"):
                    pass
            assert refused.value.response.status_code == 409
            assert text_of(await new.execute("print('undisturbed')")) == "undisturbed\n"


async def test_a_proxy_that_is_stopped_keeps_nobody_from_going_on_elsewhere(tmp_path: Path) -> None:
    async with run_rig(keeps_journals=True, state_dir=tmp_path) as rig:
        kernel = await rig.agent.start_kernel()
        with proxy_process(rig.hub.port, 0, tmp_path) as (port, process):
            await eventually(lambda: listens(port))
            async with rig.connect(kernel, session="s", address=f"127.0.0.1:{port}") as old:
                msg_id = await start(old, ASK, allow_stdin=True)
                await eventually(lambda: list(tmp_path.glob("waiting-*")))
                process.suspend()
                async with rig.connect(kernel, session="s") as new:
                    await question(new)
                    await answer(new, "Ada")
                    assert text_of(await back(old, new).answers(msg_id)) == "hello Ada\n"
                    process.resume()
                    assert await closed(old) == REPLACED
                    assert text_of(await new.execute("print('still')")) == "still\n"
                    assert not list(tmp_path.glob("waiting-*")), "what it knew is not written down"


# ---- what was sent before the kernel was heard


async def hold(rig: Rig, kernel: FakeKernel, code: str) -> str:
    """Send a request that has to wait, since the kernel restarts, and break the line; its id."""
    async with rig.connect(kernel, session="s") as client:
        await client.execute("1")
        await rig.agent.tell_kernel(kernel, state="restarting")
        await asyncio.sleep(0.1)
        msg_id = await start(client, code)
        await asyncio.sleep(0.1)
        client.socket.transport.abort()
    await eventually(lambda: len(rig.proxy.connections) == 0)
    return msg_id


async def test_a_request_that_waits_for_the_kernel_runs_when_the_session_comes_back_and_once(
    rig: Rig, kernel: FakeKernel, tmp_path: Path
) -> None:
    msg_id = await hold(rig, kernel, "print('ran')")
    await rig.agent.tell_kernel(kernel, state="idle")
    async with second_proxy(rig, tmp_path) as address, rig.connect(kernel, session="s", address=address) as again:
        assert text_of(await again.answers(msg_id)) == "ran\n"
    async with rig.connect(kernel, session="s") as client:
        (reply,) = (m for m in await client.execute("2") if m["channel"] == "shell")
        assert reply["content"]["execution_count"] == 3


async def test_a_request_that_waits_outlives_the_proxy(tmp_path: Path) -> None:
    async with short_folder() as folder:
        agent, hub = FakeAgent(folder, keeps_journals=True), FakeHub()
        await hub.start()
        try:
            kernel = await agent.start_kernel()
            with proxy_process(hub.port, 0, tmp_path) as (port, process):
                rig = Rig(Port(port), hub, agent, folder)  # type: ignore[arg-type]
                await eventually(lambda: listens(port))
                async with rig.connect(kernel, session="s") as client:
                    await client.execute("1")
                    await agent.tell_kernel(kernel, state="restarting")
                    await asyncio.sleep(0.1)
                    msg_id = await start(client, "print('ran')")
                    await eventually(lambda: any(b"ran" in file.read_bytes() for file in tmp_path.glob("waiting-*")))
                    process.kill()
                    await closed(client)
            await agent.tell_kernel(kernel, state="idle")
            with proxy_process(hub.port, port, tmp_path):
                await eventually(lambda: listens(port))
                async with rig.connect(kernel, session="s") as again:
                    assert text_of(await again.answers(msg_id)) == "ran\n"
                    await eventually(lambda: not list(tmp_path.glob("waiting-*")))
        finally:
            await hub.stop()
            await agent.close()


async def test_a_request_whose_kernel_is_another_by_now_is_answered_as_not_executed(
    rig: Rig, kernel: FakeKernel
) -> None:
    msg_id = await hold(rig, kernel, "print('ran')")
    await rig.agent.tell_kernel(kernel, state="idle", generation=3)
    async with rig.connect(kernel, session="s") as again:
        messages = await again.answers(msg_id)
        assert text_of(messages) == ""
        assert [m["content"]["status"] for m in messages if m["channel"] == "shell"] == ["aborted"]
        assert text_of(await again.execute("print('goes on')")) == "goes on\n"


# ---- input()


async def test_a_page_that_takes_a_question_over_is_asked_again_after_the_proxy_was_killed(tmp_path: Path) -> None:
    async with short_folder() as folder:
        agent, hub = FakeAgent(folder, keeps_journals=True), FakeHub()
        await hub.start()
        try:
            kernel = await agent.start_kernel()
            with proxy_process(hub.port, 0, tmp_path) as (port, process):
                rig = Rig(Port(port), hub, agent, folder)  # type: ignore[arg-type]
                await eventually(lambda: listens(port))
                async with rig.connect(kernel, session="s") as first:
                    await start(first, ASK, allow_stdin=True)
                    await question(first)
                    await leave(first)
                async with rig.connect(kernel, session="t") as second:
                    await question(second)
                    process.kill()
                    await closed(second)
            with proxy_process(hub.port, port, tmp_path):
                await eventually(lambda: listens(port))
                async with rig.connect(kernel, session="v") as third:
                    await question(third)
                    await answer(third, "Ada")
                    await third.until(lambda m: text_of([m]) == "hello Ada\n")
                    await eventually(lambda: not list(tmp_path.glob("waiting-*")))
        finally:
            await hub.stop()
            await agent.close()


async def test_a_page_that_took_a_question_over_and_leaves_too_is_stood_in_for(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as first:
        twice = f"a = input('one? ')\nimport time; time.sleep(0.5)\n{ASK}"
        msg_id = await start(first, twice, allow_stdin=True)
        await question(first)
        await leave(first)
    async with rig.connect(kernel, session="t") as second:
        await question(second)
        await answer(second, "1")
        await leave(second)
    await asyncio.sleep(0.8)  # the second question is asked while both are away
    async with rig.connect(kernel, session="t") as second:
        assert (await question(second))["content"]["prompt"] == "name? "
        async with rig.connect(kernel, session="s") as again:  # whose reply goes to the other name
            await answer(second, "Ada")
            assert text_of(await back(first, again).answers(msg_id)) == "hello Ada\n"
            assert kinds(again, msg_id).count("execute_reply") == 1
