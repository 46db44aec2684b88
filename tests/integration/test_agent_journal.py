"""The journal and the signs of life of real kernels, kept by a real agent."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from hub.agent import install
from proxy.contract.agent import KernelInfo
from proxy.kit.agent_client import AgentClient, AgentRefused
from proxy.kit.journal import Journal, Kind, Record, identity_of
from tests.integration.test_agent import (
    SECONDS,
    KernelClient,
    Workspace,
    base,
    connect,
    start_process,
    with_spare,
    workspace,
    write_spec,
)

__all__ = ["base", "connect", "with_spare", "workspace"]


@asynccontextmanager
async def agent(base: Path, environment: dict[str, str], *, beat_seconds: float = 5.0) -> AsyncIterator[Workspace]:
    """An agent without spares, told more by its environment; it asks kernels for signs of life every `beat_seconds`."""
    install.install(base / "agent")
    bounds = base / "agent/hub/agent/bounds.py"
    quicker = bounds.read_text().replace("HEARTBEAT_SECONDS = 5.0", f"HEARTBEAT_SECONDS = {beat_seconds}")
    process = start_process(base, 0, environment, changed={bounds: quicker})
    client = AgentClient(base / "run", os.getuid())
    running = Workspace(base / "home", base / "run", process, client)
    client.on_event = running.events.append
    try:
        await client.hello(timeout=SECONDS)
        await client.watch()
        yield running
    finally:
        await client.close()
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 10)


async def records(workspace: Workspace, kernel_id: str) -> list[Record]:
    """All that is in a kernel's journal, after it was brought up to date."""
    extent = await workspace.client.sync_journal(kernel_id, timeout=SECONDS)
    found = everything(workspace, kernel_id)
    assert found[-1].seq >= extent.last and [r.seq for r in found] == list(range(extent.first, found[-1].seq + 1))
    return found


def everything(workspace: Workspace, kernel_id: str) -> list[Record]:
    journal, found = Journal(workspace.run, kernel_id, os.getuid()), list[Record]()
    while not (page := journal.read(found[-1].seq if found else 0)).complete:
        found += page.records
    assert not page.broken
    return found + page.records


def brief(found: list[Record]) -> list[Any]:
    """The records in short: a message's type with its state, text or name; other kinds."""
    return [
        (json.loads(r.parts[0])["msg_type"], said(json.loads(r.parts[3]))) if r.kind == Kind.MESSAGE else r.kind
        for r in found
    ]


def said(content: dict[str, Any]) -> Any:
    known = ("execution_state", "text", "ename", "code")
    return next((content[name] for name in known if name in content), None)


def of_request(found: list[Record], message_id: str) -> list[Record]:
    return [r for r in found if r.kind == Kind.MESSAGE and json.loads(r.parts[1]).get("msg_id") == message_id]


async def idle(workspace: Workspace, kernel_id: str) -> None:
    async with asyncio.timeout(SECONDS):
        while (await workspace.info(kernel_id)).state != "idle":
            await asyncio.sleep(0.01)


async def run(workspace: Workspace, kernel_id: str, kernel: KernelClient, code: str) -> str:
    message_id = kernel.send(code)
    await kernel.reply(message_id)
    await idle(workspace, kernel_id)
    return message_id


# ---- what is in it


async def test_all_that_a_kernel_publishes_is_in_its_journal_and_nothing_that_the_agent_asked(
    workspace: Workspace, connect: Any
) -> None:
    kernel_id = await workspace.start()
    kernel = await connect(workspace, kernel_id)
    workspace.client.note_request(
        kernel_id, msg_id="m", session=kernel.session.session, msg_type="execute_request", cell_id="c1"
    )
    message_id = await run(workspace, kernel_id, kernel, "print('a')\n1 + 1")
    found = await records(workspace, kernel_id)
    assert found[0].kind == Kind.PROCESS and found[0].note == {"generation": 1}
    [note] = [r for r in found if r.kind == Kind.NOTE]
    assert note.note == {
        "msg_id": "m",
        "session": kernel.session.session,
        "msg_type": "execute_request",
        "cell_id": "c1",
    }
    cell = of_request(found, message_id)
    assert brief(cell) == [
        ("status", "busy"),
        ("execute_input", "print('a')\n1 + 1"),
        ("stream", "a\n"),
        ("execute_result", None),
        ("status", "idle"),
    ]
    attachment = await workspace.client.attach_kernel(kernel_id)
    assert len(attachment.session) == 32
    assert not any(attachment.session.encode() in r.parts[1] for r in found if r.kind == Kind.MESSAGE)
    info = await workspace.info(kernel_id)
    assert info.journal_last == found[-1].seq > 0
    assert info.hands_over
    live = [kernel.sockets["iopub"].recv_multipart(zmq.NOBLOCK) for _ in range(3)]
    journal = Journal(workspace.run, kernel_id, os.getuid())
    for frames in live:
        header = frames[frames.index(b"<IDS|MSG>") + 2]
        if attachment.session.encode() not in frames[frames.index(b"<IDS|MSG>") + 3]:
            assert journal.find(identity_of(header)) is not None, "a live message is found by its identity"


async def test_ten_thousand_messages_are_all_there_in_order(workspace: Workspace, connect: Any) -> None:
    kernel_id = await workspace.start()
    kernel = await connect(workspace, kernel_id)
    kernel.sockets["iopub"].close(0)
    many = "from IPython.display import display\nfor n in range(10_000): display({'text/plain': f'n{n}'}, raw=True)"
    message_id = await run(workspace, kernel_id, kernel, many)
    cell = of_request(await records(workspace, kernel_id), message_id)
    shown = [json.loads(r.parts[3])["data"]["text/plain"] for r in cell if b"display_data" in r.parts[0]]
    assert shown == [f"n{n}" for n in range(10_000)]
    assert brief(cell)[-1] == ("status", "idle")


async def test_the_journal_of_a_spare_begins_when_it_is_adopted(with_spare: Workspace, connect: Any) -> None:
    await with_spare.until_spare()
    assert not list(with_spare.run.glob("journal-*"))
    kernel_id = await with_spare.start()
    kernel = await connect(with_spare, kernel_id)
    await run(with_spare, kernel_id, kernel, "1")
    found = brief(await records(with_spare, kernel_id))
    assert found[0] == Kind.PROCESS and ("status", "starting") not in found
    assert not any("chdir" in str(each) for each in found)
    assert found[-4:-2] == [("status", "busy"), ("execute_input", "1")]


async def test_a_journal_is_bounded_and_outlives_its_kernel(base: Path) -> None:
    async with agent(base, {"KERNELHUB_JOURNAL_BYTES": "100000"}) as workspace:
        kernel_id = await workspace.start()
        kernel = KernelClient(workspace, await workspace.client.attach_kernel(kernel_id))
        code = "from IPython.display import display\nfor n in range(500): display('x' * 1000)"
        await run(workspace, kernel_id, kernel, code)
        extent = await workspace.client.sync_journal(kernel_id)
        assert extent.bytes <= 100_000 and extent.lost_messages > 300 and extent.first > 300
        assert sum(path.stat().st_size for path in workspace.run.glob("journal-*")) == extent.bytes
        kernel.close()
        await workspace.client.shutdown_kernel(kernel_id)
        found = everything(workspace, kernel_id)
        assert found[-1].kind == Kind.DEATH and found[-1].note is not None
        assert (found[-1].note["asked"], found[-1].note["reason"]) == (True, "shut down")
        with pytest.raises(AgentRefused, match="not_found"):
            await workspace.client.sync_journal(kernel_id)


async def test_without_a_bound_there_are_no_journals(base: Path) -> None:
    async with agent(base, {"KERNELHUB_JOURNAL_BYTES": "0"}) as workspace:
        kernel_id = await workspace.start()
        assert (await workspace.client.sync_journal(kernel_id)).last == 0
        assert not list(workspace.run.glob("journal-*"))


async def test_a_disk_that_is_full_stops_nothing_and_is_told_when_there_is_room(
    workspace: Workspace, connect: Any
) -> None:
    """A limit on the size of the agent's files stands in for the disk."""
    kernel_id = await workspace.start()
    kernel = await connect(workspace, kernel_id)
    await run(workspace, kernel_id, kernel, "print('before')")
    size = (await workspace.client.sync_journal(kernel_id)).bytes
    _, hard = resource.prlimit(workspace.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(workspace.process.pid, resource.RLIMIT_FSIZE, (size + 100, hard))
    lost = await run(workspace, kernel_id, kernel, "print('lost')")
    extent = await workspace.client.sync_journal(kernel_id)
    assert extent.lost_messages >= 4 and (await workspace.info(kernel_id)).state == "idle"
    resource.prlimit(workspace.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    after = await run(workspace, kernel_id, kernel, "print('after')")
    found = await records(workspace, kernel_id)
    [gap] = [r for r in found if r.kind == Kind.GAP]
    assert gap.note is not None and gap.note["messages"] >= 4 and of_request(found, lost) == []
    assert ("stream", "after\n") in brief(of_request(found, after))


# ---- the end of processes


async def test_a_death_leaves_the_last_words_and_closes_the_cell(workspace: Workspace, connect: Any) -> None:
    kernel_id = await workspace.start()
    kernel = await connect(workspace, kernel_id)
    code = "import os, sys, time\nprint('last words'); sys.stdout.flush(); time.sleep(0.3); os.kill(os.getpid(), 11)"
    message_id = kernel.send(code)
    info = await workspace.until_state(kernel_id, "restarting")
    assert (info.reason, info.exit_status, info.restarts) == ("killed by SIGSEGV", -11, 1)
    told = [r for r in everything(workspace, kernel_id) if r.seq <= info.journal_last]
    await workspace.until_state(kernel_id, "idle", generation=2)
    found = await records(workspace, kernel_id)
    cell = of_request(found, message_id)
    assert brief(cell) == [
        ("status", "busy"),
        ("execute_input", code),
        ("stream", "last words\n"),
        ("error", "KernelDied"),
        ("status", "idle"),
    ]
    assert json.loads(cell[-2].parts[3])["evalue"] == "killed by SIGSEGV"
    assert of_request(told, message_id) == cell, "all of it is there when the state is told"
    death = next(r for r in found if r.kind == Kind.DEATH)
    assert death.seq == cell[-1].seq + 1 and death.note is not None
    assert death.note == {"generation": 1, "reason": "killed by SIGSEGV", "exit_status": -11, "asked": False}
    assert [r.note for r in found if r.kind == Kind.PROCESS] == [{"generation": 1}, {"generation": 2}]


async def test_a_restart_that_was_asked_for_only_ends_the_cell(workspace: Workspace, connect: Any) -> None:
    kernel_id = await workspace.start()
    kernel = await connect(workspace, kernel_id)
    code = (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(1000)"
    )
    message_id = kernel.send(code)
    async with asyncio.timeout(SECONDS):
        while (await kernel.receive("iopub"))["content"].get("text") != "deaf\n":
            pass
    await workspace.client.restart_kernel(kernel_id)
    found = await records(workspace, kernel_id)
    cell = of_request(found, message_id)
    assert brief(cell) == [("status", "busy"), ("execute_input", code), ("stream", "deaf\n"), ("status", "idle")]
    death = next(r for r in found if r.kind == Kind.DEATH)
    assert death.note is not None and death.note["asked"] is True and death.note["reason"] == "restarted"
    assert (await workspace.info(kernel_id)).restarts == 0


async def test_with_no_restarts_allowed_the_first_death_is_the_last(base: Path) -> None:
    async with agent(base, {"KERNELHUB_RESTARTS": "0"}) as workspace:
        kernel_id = await workspace.start()
        os.kill((await workspace.info(kernel_id)).pid or 0, signal.SIGKILL)
        dead = await workspace.until_state(kernel_id, "dead")
        assert (dead.generation, dead.reason, dead.exit_status, dead.restarts) == (1, "killed by SIGKILL", -9, 0)


# ---- signs of life


@pytest.fixture
async def quick(base: Path) -> AsyncIterator[Workspace]:
    """An agent that asks for signs of life four times a second."""
    async with agent(base, {}, beat_seconds=0.25) as running:
        yield running


async def until_info(workspace: Workspace, kernel_id: str, holds: Callable[[KernelInfo], object]) -> KernelInfo:
    async with asyncio.timeout(SECONDS):
        while not holds(info := await workspace.info(kernel_id)):
            await asyncio.sleep(0.02)
    return info


async def test_a_busy_kernel_answers_on_control_and_uses_the_processor(quick: Workspace) -> None:
    kernel_id = await quick.start()
    kernel = KernelClient(quick, await quick.client.attach_kernel(kernel_id))
    before = await until_info(quick, kernel_id, lambda info: info.control_seconds == 0 and info.cpu_recent is not None)
    kernel.send("while True: pass")
    info = await until_info(quick, kernel_id, lambda info: info.state == "busy" and (info.cpu_recent or 0) > 0.1)
    assert info.cpu_recent is not None and info.cpu_recent < 4
    answered = await until_info(quick, kernel_id, lambda info: info.control_seconds == 0)
    assert answered.state == "busy" and before.state == "idle"
    kernel.close()


async def test_an_interpreter_that_is_stuck_answers_the_heartbeat_and_not_control(quick: Workspace) -> None:
    kernel_id = await quick.start()
    kernel = KernelClient(quick, await quick.client.attach_kernel(kernel_id))
    # What takes the interpreter at once keeps even the news that a cell has begun from leaving.
    kernel.send("import ctypes, time; time.sleep(0.5); ctypes.PyDLL(None).sleep(3)")  # holds the interpreter's lock
    info = await until_info(quick, kernel_id, lambda info: (info.control_seconds or 0) > 1.0)
    assert info.state == "busy" and info.heartbeat_seconds is not None and info.heartbeat_seconds < 1.0
    await until_info(quick, kernel_id, lambda info: info.state == "idle" and info.control_seconds == 0)
    kernel.close()


async def test_signs_of_life_are_no_activity_and_not_in_the_journal(quick: Workspace) -> None:
    kernel_id = await quick.start()
    before = await until_info(quick, kernel_id, lambda info: info.control_seconds == 0)
    last = (await quick.client.sync_journal(kernel_id)).last
    quick.events.clear()
    later = await until_info(quick, kernel_id, lambda info: info.idle_seconds > before.idle_seconds + 1.0)
    assert later.control_seconds is not None and quick.states(kernel_id) == []
    assert (await quick.client.sync_journal(kernel_id)).last == last == later.journal_last


async def test_another_kernels_silence_on_control_means_nothing(quick: Workspace) -> None:
    code = "from ipykernel.kernelapp import launch_new_instance as start; start()"
    write_spec(quick, "other", ["python", "-c", code, "-f", "{connection_file}"])
    kernel_id = await quick.start(name="other")
    first = await until_info(quick, kernel_id, lambda info: info.cpu_recent is not None)
    assert first.control_seconds is None and not first.hands_over
    kernel = KernelClient(quick, await quick.client.attach_kernel(kernel_id))
    kernel.send("import time; time.sleep(3)")
    await until_info(quick, kernel_id, lambda info: info.control_seconds == 0)
    kernel.close()


async def test_ipykernel_starts_as_ever_but_waits_for_its_subscribers(workspace: Workspace, connect: Any) -> None:
    """And nothing that lies in the folder where it starts, or in the agent's own, can stand in for a module."""
    (workspace.home / "zmq.py").write_text("raise SystemExit('the wrong one')")
    kernel_id = await workspace.start()
    kernel = await connect(workspace, kernel_id)
    assert (
        await kernel.value("get_ipython().kernel.iopub_socket.io_thread.socket.getsockopt(__import__('zmq').SNDHWM)")
        == "20000"
    )
    socket = "get_ipython().kernel.iopub_socket.io_thread.socket"
    assert await kernel.value(f"{socket}.send_multipart.__module__") == "'__main__'"
    assert (await kernel.value("__import__('sys').argv[0]")).strip("'").endswith("ipykernel_launcher.py")
    assert await kernel.value("[p for p in __import__('sys').path if 'hub/agent' in p]") == "[]"
    assert await kernel.value("__import__('sys').modules['__main__'].__name__") == "'__main__'"
