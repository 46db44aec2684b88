"""A WebSocket that comes back with its session gets what it missed: through a real proxy, of a real ipykernel."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import struct
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.app import Proxy
from proxy.config import ProxySettings
from tests.faults.harness.fault_proxy import FaultProxy
from tests.harness.proxy_rig import AGENT_SESSION, TOKEN, FakeKernel, KernelClient, Rig, eventually, run_rig, text_of

LINES = "import time\nfor i in range({n}):\n    print(i, flush=True)\n    time.sleep({pause})"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with run_rig(keeps_journals=True, report_seconds=0.2) as rig:
        yield rig


@pytest.fixture
async def kernel(rig: Rig) -> FakeKernel:
    return await rig.agent.start_kernel()


def numbers(client: KernelClient) -> list[int]:
    return [int(line) for line in text_of(client.seen).split()]


def kinds(client: KernelClient, msg_id: str) -> list[str]:
    return [m["header"]["msg_type"] for m in client.seen if m["parent_header"].get("msg_id") == msg_id]


async def start(client: KernelClient, code: str, **options: Any) -> str:
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, **options}
    return await client.send("execute_request", content)


def back(old: KernelClient, new: KernelClient) -> KernelClient:
    """The same page, on its new connection: it remembers what it has."""
    new.seen = old.seen
    return new


async def leave(client: KernelClient) -> None:
    """Leave when the proxy knows what has arrived here: of what is under way at the end nobody can know."""
    await asyncio.sleep(0.1)
    await client.leave()


def halves(flag: Path, n: int, pause: float = 0.0) -> str:
    """Code that prints 50 numbers, waits for a file, and prints the others."""
    return (
        "import os, time\nfor i in range(50): print(i, flush=True)\n"
        f"while not os.path.exists({str(flag)!r}): time.sleep(0.01)\n"
        f"for i in range(50, {n}):\n    print(i, flush=True)\n    time.sleep({pause})"
    )


async def test_a_client_that_comes_back_gets_what_it_missed_once_and_in_order(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as client:
        msg_id = await start(client, halves(rig.folder / "go", 300, 0.005))
        await client.until(lambda m: text_of([m]).endswith("49\n"))
        await leave(client)
    (rig.folder / "go").touch()
    await asyncio.sleep(0.5)
    async with rig.connect(kernel, session="s") as again:
        await back(client, again).answers(msg_id)
        assert numbers(again) == list(range(300))
        assert kinds(again, msg_id).count("execute_reply") == 1
        assert kinds(again, msg_id).count("status") == 2


async def test_a_cell_that_ended_meanwhile_has_its_outputs_and_a_reply_made_again(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as client:
        good = await start(client, "import time; print('on', flush=True); time.sleep(0.3); print('off'); 6 * 7")
        bad = await start(client, "1 / 0")
        await client.until(lambda m: text_of([m]) == "on\n")
        await leave(client)
    await asyncio.sleep(1.0)
    async with rig.connect(kernel, session="s") as again:
        back(client, again)
        messages = await again.answers(good)
        assert text_of(messages) == "on\noff\n"
        reply = next(m for m in messages if m["header"]["msg_type"] == "execute_reply")
        assert (reply["content"]["status"], reply["content"]["execution_count"]) == ("ok", 1)
        failed = next(m for m in await again.answers(bad) if m["header"]["msg_type"] == "execute_reply")
        assert (failed["content"]["status"], failed["content"]["ename"]) == ("error", "ZeroDivisionError")
        assert failed["header"]["session"] == reply["header"]["session"]
        kernels = {m["header"]["session"] for m in messages if m["header"]["msg_type"] == "status"}
        assert {reply["header"]["session"]} == kernels
        assert text_of(await again.execute("print('goes on')")) == "goes on\n"
        for msg_id in (good, bad):
            assert kinds(again, msg_id).count("execute_reply") == 1


async def test_a_client_that_missed_nothing_gets_nothing(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as client:
        await client.execute("print(1)")
        await asyncio.sleep(0.3)
    async with rig.connect(kernel, session="s") as again:
        assert text_of(await again.execute("print(2)")) == "2\n"
        about = {m["parent_header"].get("msg_id") for m in again.seen}
        assert len(about) == 1


async def test_a_new_session_gets_nothing_of_what_was_before_it(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as client:
        await client.execute("print(1)")
    async with rig.connect(kernel, session="t") as other:
        await other.execute("print(2)")
        assert text_of(other.seen) == "2\n"


async def test_what_the_agent_asks_the_kernel_is_not_told_to_clients(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as client:
        rig.agent.ask_kernel(kernel)
        await client.execute("1")
        assert AGENT_SESSION not in {m["parent_header"].get("session") for m in client.seen}


async def test_the_agent_is_told_of_execute_requests_and_their_cells(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as client:
        msg_id = await client.send("execute_request", {"code": "1", "silent": False}, metadata={"cellId": "c1"})
        await client.answers(msg_id)
        expected = {"msg_id": msg_id, "session": "s", "msg_type": "execute_request", "cell_id": "c1"}
        assert rig.agent.notes == [{"kernel_id": kernel.kernel_id, **expected}]


async def test_cuts_at_random_moments_lose_nothing_and_repeat_only_what_was_under_way(
    rig: Rig, kernel: FakeKernel
) -> None:
    """What arrived here while its acknowledgement did not arrive there comes again: no side can know better."""
    chance = random.Random(5)
    with FaultProxy(("127.0.0.1", rig.proxy.port)) as faulty:
        session, seen, msg_id = uuid.uuid4().hex, [], ""
        for cut in range(5):
            async with rig.connect(kernel, session=session, address=faulty.address.removeprefix("http://")) as client:
                client.seen = seen
                if not cut:
                    msg_id = await start(client, LINES.format(n=800, pause=0.002))
                    await client.until(lambda m: m["header"]["msg_type"] == "stream")
                try:
                    await client.answers(msg_id, timeout=chance.uniform(0.1, 0.5) if cut < 4 else 30)
                except TimeoutError:
                    faulty.blackhole()
                    await asyncio.sleep(0.1)
                    faulty.cut()
                    await client.leave()
                    faulty.heal()
        told = numbers(client)
        assert sorted(set(told)) == list(range(800))
        breaks = [(a, b) for a, b in itertools.pairwise(told) if b != a + 1]
        assert len(breaks) <= 4  # one for each cut
        assert all(b <= a for a, b in breaks)
        assert kinds(client, msg_id).count("execute_reply") == 1


async def test_a_client_that_moves_to_another_proxy_of_the_machine_goes_on_there(tmp_path: Path) -> None:
    async with run_rig(keeps_journals=True, state_dir=tmp_path) as rig:
        kernel = await rig.agent.start_kernel()
        settings = ProxySettings(
            internal_token=TOKEN,
            port=0,
            hub_url=f"http://127.0.0.1:{rig.hub.port}",
            static_roots={},
            state_dir=tmp_path,
        )
        other = Proxy(settings)
        await other.start()
        try:
            async with rig.connect(kernel, session="s") as client:
                msg_id = await start(client, halves(rig.folder / "go", 200, 0.005))
                await client.until(lambda m: text_of([m]).endswith("49\n"))
                await leave(client)
            (rig.folder / "go").touch()
            async with rig.connect(kernel, session="s", address=f"127.0.0.1:{other.port}") as again:
                await back(client, again).answers(msg_id)
                assert numbers(again) == list(range(200))
        finally:
            await other.close()


async def test_a_restart_while_nobody_looked_ends_the_cell_and_goes_on(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as client:
        msg_id = await start(client, "import time; print('on', flush=True); time.sleep(60)")
        await client.until(lambda m: text_of([m]) == "on\n")
        request = next(m["parent_header"] for m in client.seen if m["header"]["msg_type"] == "stream")
    await rig.agent.die(kernel, request, "killed by signal 9")
    await rig.agent.start_kernel(kernel)
    async with rig.connect(kernel, session="s") as again:
        messages = await back(client, again).answers(msg_id)
        reply = next(m for m in messages if m["header"]["msg_type"] == "execute_reply")
        assert (reply["content"]["status"], reply["content"]["ename"]) == ("error", "KernelDied")
        assert text_of(await again.execute("print('anew')")) == "anew\n"


async def test_a_restart_that_was_asked_for_while_the_client_was_away_ends_its_cell_without_an_error(
    rig: Rig, kernel: FakeKernel
) -> None:
    async with rig.connect(kernel, session="s") as client:
        msg_id = await start(client, "import time; print('on', flush=True); time.sleep(60)")
        await client.until(lambda m: text_of([m]) == "on\n")
        request = next(m["parent_header"] for m in client.seen if m["header"]["msg_type"] == "stream")
    await rig.agent.die(kernel, request, "restarted", asked=True)
    await rig.agent.start_kernel(kernel)
    async with rig.connect(kernel, session="s") as again:
        messages = await back(client, again).answers(msg_id)
        assert [m["content"]["status"] for m in messages if m["channel"] == "shell"] == ["aborted"]
        assert "error" not in kinds(again, msg_id)
        assert text_of(await again.execute("print('anew')")) == "anew\n"


async def test_a_death_before_the_clients_eyes_is_told_after_the_last_words(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as client:
        msg_id = await start(client, "import time; print('last words', flush=True); time.sleep(60)")
        waiting = await start(client, "'never begun'")
        await client.until(lambda m: text_of([m]) == "last words\n")
        request = next(m["parent_header"] for m in client.seen if m["header"]["msg_type"] == "stream")
        await rig.agent.die(kernel, request, "killed by signal 9")
        await rig.agent.tell_kernel(kernel, state="restarting", reason="killed by signal 9")
        messages = await client.answers(msg_id)
        assert [m["content"]["evalue"] for m in messages if m["header"]["msg_type"] == "error"] == [
            "killed by signal 9"
        ]
        never = await client.answers(waiting)
        assert next(m for m in never if m["header"]["msg_type"] == "execute_reply")["content"]["status"] == "error"
        await client.until(lambda m: m["content"].get("execution_state") == "restarting")
        await rig.agent.start_kernel(kernel)
        await rig.agent.tell_kernel(kernel, state="idle")
        assert text_of(await client.execute("print('anew')")) == "anew\n"


async def test_sessions_are_reported_and_how_they_ended(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as client:
        await client.execute("1")
        here = {"workspace_id": "w1", "kernel_id": kernel.kernel_id, "session": "s"}
        await eventually(lambda: rig.hub.reports and rig.hub.reports[-1].get("sessions") == [here])
        await asyncio.sleep(0.2)
    await eventually(lambda: any(report.get("ended") for report in rig.hub.reports))
    (ended,) = next(report["ended"] for report in rig.hub.reports if report.get("ended"))
    assert (ended["session"], ended["how"], len(ended["seen"])) == ("s", "closed", 16)
    before = len(rig.hub.reports)
    await eventually(lambda: len(rig.hub.reports) > before + 1)
    assert not rig.hub.reports[-1]["ended"]


async def test_a_connection_that_breaks_is_told_from_one_that_is_closed(rig: Rig, kernel: FakeKernel) -> None:
    """After one that broke, the page comes back: nobody may write its notebook meanwhile."""
    for way in ("reset", "eof", "goodbye"):
        async with rig.connect(kernel, session=way) as client:
            await client.execute("1")
            transport = client.socket.transport
            if way == "reset":
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            if way == "goodbye":
                transport.write(b"\x88\x80\0\0\0\0")  # what close() in a browser sends
                await asyncio.wait_for(client.socket.wait_closed(), 10)
            transport.abort()

    def ended() -> dict[str, str]:
        return {each["session"]: each["how"] for report in rig.hub.reports for each in report.get("ended", [])}

    await eventually(lambda: len(ended()) == 3)
    assert ended() == {"reset": "dropped", "eof": "dropped", "goodbye": "closed"}


ASK = "print('hello ' + input('name? '))"


async def question(client: KernelClient) -> dict[str, Any]:
    return await client.until(lambda m: m["header"]["msg_type"] == "input_request")


async def answer(client: KernelClient, value: str) -> None:
    await client.send("input_reply", {"value": value, "status": "ok"}, channel="stdin")


async def test_input_that_was_asked_for_while_the_client_was_away_is_asked_of_it_when_it_comes_back(
    rig: Rig, kernel: FakeKernel
) -> None:
    async with rig.connect(kernel, session="s") as client:
        msg_id = await start(client, f"import time; print('on', flush=True); time.sleep(0.5); {ASK}", allow_stdin=True)
        await client.until(lambda m: text_of([m]) == "on\n")
        await leave(client)
    await asyncio.sleep(1.0)
    async with rig.connect(kernel, session="s") as again:
        assert (await question(again))["content"]["prompt"] == "name? "
        await answer(back(client, again), "Ada")
        assert text_of(await again.answers(msg_id)) == "on\nhello Ada\n"


async def test_input_that_the_client_was_asked_for_is_asked_once(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as client:
        msg_id = await start(client, ASK, allow_stdin=True)
        await question(client)
        await leave(client)
    async with rig.connect(kernel, session="s") as again:
        await answer(back(client, again), "Ada")
        assert text_of(await again.answers(msg_id)) == "hello Ada\n"
        assert kinds(again, msg_id).count("input_request") == 1


async def test_another_page_of_the_user_is_asked_what_nobody_answered(rig: Rig, kernel: FakeKernel) -> None:
    async with rig.connect(kernel, session="s") as client:
        await start(client, ASK, allow_stdin=True)
        await question(client)
        await leave(client)
    async with rig.connect(kernel, session="t") as other:
        assert (await question(other))["parent_header"]["session"] == "s"
        await answer(other, "Ada")
        await other.until(lambda m: text_of([m]) == "hello Ada\n")
        assert text_of(await other.execute("print('free')")) == "free\n"


async def test_output_into_a_line_that_is_dead_comes_after_it_is_cut(rig: Rig, kernel: FakeKernel) -> None:
    """A laptop that sleeps: its proxy writes on, into a connection that carries nothing any more."""
    flag = rig.folder / "go"
    with FaultProxy(("127.0.0.1", rig.proxy.port)) as faulty:
        address = faulty.address.removeprefix("http://")
        async with rig.connect(kernel, session="s", address=address) as client:
            msg_id = await start(client, halves(flag, 400))
            await client.until(lambda m: text_of([m]).endswith("49\n"))
            await asyncio.sleep(0.2)
            faulty.blackhole()
            flag.touch()
            await asyncio.sleep(0.5)
            faulty.cut()
            await client.leave()
        faulty.heal()
        async with rig.connect(kernel, session="s", address=address) as again:
            await back(client, again).answers(msg_id)
            assert numbers(again) == list(range(400))
            assert kinds(again, msg_id).count("execute_reply") == 1
