"""The agent as a real process, with real ipykernels, real terminals and a real client."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket as sockets
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

from hub.agent import bounds, install
from proxy.contract.agent import (
    KERNEL_SOCKETS,
    AgentEvent,
    Attachment,
    JobInfo,
    KernelEvent,
    KernelInfo,
    TerminalExit,
    TerminalOutput,
)
from proxy.kit.agent_client import AgentClient, AgentRefused
from proxy.kit.sockets import OpenedSocket, SocketRefused, open_socket

SECONDS = 30.0
"""How long anything may take here before it counts as failed; far longer than it does take."""


async def until(condition: Callable[[], object], what: str = "it") -> None:
    deadline = asyncio.get_running_loop().time() + SECONDS
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"{what} did not happen within {SECONDS} s")
        await asyncio.sleep(0.005)


@dataclass
class Workspace:
    """A running agent with its folders, a connected client, and every event that was pushed."""

    home: Path
    run: Path
    process: subprocess.Popen[bytes]
    client: AgentClient
    events: list[AgentEvent] = field(default_factory=list)

    def states(self, kernel_id: str) -> list[KernelInfo]:
        return [e.kernel for e in self.events if isinstance(e, KernelEvent) and e.kernel.kernel_id == kernel_id]

    async def until_state(self, kernel_id: str, state: str, generation: int = 1) -> KernelInfo:
        def reached() -> list[KernelInfo]:
            return [info for info in self.states(kernel_id) if info.state == state and info.generation >= generation]

        await until(reached, f"state {state} of generation {generation} of kernel {kernel_id}")
        return reached()[0]

    async def start(self, cwd: str = "", name: str = "python3", env: dict[str, str] | None = None) -> str:
        kernel_id = str(uuid.uuid4())
        await self.client.start_kernel(kernel_id, name, cwd, env or {})
        await self.until_state(kernel_id, "idle")
        return kernel_id

    async def info(self, kernel_id: str) -> KernelInfo:
        status = await self.client.status()
        return next(info for info in status.kernels if info.kernel_id == kernel_id)

    async def until_spare(self) -> str:
        """Wait until there is a spare that has bound its sockets; its name."""

        def found() -> list[str]:
            return [path.name[:-2] for path in self.run.glob("spare-*-4")]

        await until(found, "a spare kernel")
        return found()[0]

    def shown(self, name: str) -> str:
        return "".join(e.data for e in self.events if isinstance(e, TerminalOutput) and e.name == name)


class KernelClient:
    """A client of a kernel's sockets, opened as proxies open them."""

    def __init__(self, workspace: Workspace, attachment: Attachment) -> None:
        self.session = Session(key=attachment.key.encode())
        self.opened: list[OpenedSocket] = []
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        for channel, kind in (("shell", zmq.DEALER), ("iopub", zmq.SUB)):
            name = f"{attachment.kernel.kernel_id}-{KERNEL_SOCKETS[channel]}"
            opened = open_socket(workspace.run, name, os.getuid())
            socket = zmq.Context.instance().socket(kind)
            socket.set(zmq.LINGER, 0)
            if kind == zmq.SUB:
                socket.set(zmq.SUBSCRIBE, b"")
            socket.connect(opened.endpoint)
            self.opened.append(opened)
            self.sockets[channel] = socket

    async def receive(self, channel: str) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    frames = self.sockets[channel].recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    await asyncio.sleep(0.002)
                    continue
                return self.session.deserialize(self.session.feed_identities(frames)[1])

    def send(self, code: str) -> str:
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        message = self.session.send(
            self.sockets["shell"],
            "execute_request",
            {**content, "allow_stdin": False, "stop_on_error": True},
        )
        return str(message["header"]["msg_id"])

    async def reply(self, message_id: str) -> dict[str, Any]:
        while (message := await self.receive("shell"))["parent_header"].get("msg_id") != message_id:
            pass
        return message["content"]

    async def value(self, expression: str) -> str:
        """The value of an expression, as the kernel represents it, by way of a user expression."""
        content = {"code": "", "silent": True, "store_history": False, "user_expressions": {"v": expression}}
        message = self.session.send(self.sockets["shell"], "execute_request", content)
        reply = await self.reply(str(message["header"]["msg_id"]))
        return str(reply["user_expressions"]["v"]["data"]["text/plain"])

    def close(self) -> None:
        for socket in self.sockets.values():
            socket.close(0)
        for opened in self.opened:
            opened.close()


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kh", ignore_cleanup_errors=True) as name:
        yield Path(name)


def start_process(
    base: Path, spares: int, environment: dict[str, str] | None = None, changed: dict[Path, str] | None = None
) -> subprocess.Popen[bytes]:
    """Install and start an agent in `base`; `changed` are files of its program with another content."""
    for name in ("home", "run"):
        (base / name).mkdir(0o700, exist_ok=True)
    install.install(base / "agent")
    for path, content in (changed or {}).items():
        path.write_text(content)
    return subprocess.Popen(
        install.command(sys.executable, str(base / "agent")),
        cwd=base / "home",
        env={
            **os.environ,
            "HOME": str(base / "home"),
            "SHELL": "/bin/bash",
            "KERNELHUB_RUN": str(base / "run"),
            "KERNELHUB_HOME": str(base / "home"),
            "KERNELHUB_SPARE_KERNELS": str(spares),
            **(environment or {}),
        },
        start_new_session=True,
    )


async def started(base: Path, spares: int) -> AsyncIterator[Workspace]:
    process = start_process(base, spares)
    client = AgentClient(base / "run", os.getuid())
    workspace = Workspace(base / "home", base / "run", process, client)
    client.on_event = workspace.events.append
    try:
        await client.hello(timeout=SECONDS)
        await client.watch()
        yield workspace
    finally:
        await client.close()
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture
async def workspace(base: Path) -> AsyncIterator[Workspace]:
    """An agent without spares."""
    async for running in started(base, 0):
        yield running


@pytest.fixture
async def with_spare(base: Path) -> AsyncIterator[Workspace]:
    """An agent that keeps one spare."""
    async for running in started(base, 1):
        yield running


@pytest.fixture
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Any]]:
    clients: list[KernelClient] = []

    async def open_client(workspace: Workspace, kernel_id: str) -> KernelClient:
        clients.append(KernelClient(workspace, await workspace.client.attach_kernel(kernel_id)))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()


def write_spec(workspace: Workspace, name: str, argv: list[str], **more: object) -> None:
    folder = workspace.home / ".local/share/jupyter/kernels" / name
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, "language": "x", **more}))


# ---- kernels


async def test_a_kernel_starts_runs_cells_and_is_shut_down(workspace: Workspace, connect: Any) -> None:
    (workspace.home / "sub folder").mkdir()
    kernel_id = await workspace.start("sub folder", env={"JPY_SESSION_NAME": "sub folder/a.ipynb"})
    kernel = await connect(workspace, kernel_id)
    assert (await kernel.reply(kernel.send("x = 41 + 1")))["execution_count"] == 1
    assert await kernel.value("x") == "42"
    assert await kernel.value("__import__('os').getcwd()") == repr(str(workspace.home / "sub folder"))
    assert await kernel.value("__import__('os').environ['JPY_SESSION_NAME']") == "'sub folder/a.ipynb'"
    assert await kernel.value("[n for n in __import__('os').environ if n.startswith('KERNELHUB')]") == "[]"
    info = await workspace.info(kernel_id)
    assert info.executions >= 1 and info.rss_bytes > 10 * 1024**2 and info.cpu_seconds > 0
    assert info.heartbeat_seconds is not None and info.pid is not None
    assert Path(f"/proc/{info.pid}/oom_score_adj").read_text().strip() == "1000"
    await workspace.client.shutdown_kernel(kernel_id)
    assert (await workspace.client.status()).kernels == []
    assert workspace.states(kernel_id)[-1].reason == "shut down"
    assert list(workspace.run.glob(f"{kernel_id}*")) == [] and not Path(f"/proc/{info.pid}").exists()


async def test_busy_and_idle_are_told_and_front_ends_chatter_is_not(workspace: Workspace, connect: Any) -> None:
    kernel_id = await workspace.start()
    kernel = await connect(workspace, kernel_id)
    before = await workspace.info(kernel_id)
    workspace.events.clear()
    message = kernel.session.send(kernel.sockets["shell"], "kernel_info_request", {})
    await kernel.reply(message["header"]["msg_id"])
    await kernel.reply(kernel.send("import time; time.sleep(0.05)"))
    await workspace.until_state(kernel_id, "idle")
    assert [info.state for info in workspace.states(kernel_id)] == ["busy", "idle"]
    after = await workspace.info(kernel_id)
    assert after.executions == before.executions + 1 and after.last_activity_at > before.last_activity_at


async def test_an_endless_loop_is_busy_and_never_idle_until_it_is_interrupted(
    workspace: Workspace, connect: Any
) -> None:
    kernel_id = await workspace.start()
    kernel = await connect(workspace, kernel_id)
    running = kernel.send("while True: pass")
    await workspace.until_state(kernel_id, "busy")
    assert (await workspace.info(kernel_id)).idle_seconds == 0.0
    await workspace.client.interrupt_kernel(kernel_id)
    assert (await kernel.reply(running))["ename"] == "KeyboardInterrupt"
    assert await kernel.value("1 + 1") == "2"


async def test_a_restart_keeps_the_id_and_loses_the_variables_even_during_an_endless_loop(
    workspace: Workspace, connect: Any
) -> None:
    kernel_id = await workspace.start()
    kernel = await connect(workspace, kernel_id)
    await kernel.reply(kernel.send("x = 1"))
    kernel.send("while True: pass")
    await workspace.until_state(kernel_id, "busy")
    info = await workspace.client.restart_kernel(kernel_id)
    assert info.generation == 2
    await workspace.until_state(kernel_id, "idle", generation=2)
    again = await connect(workspace, kernel_id)
    assert await again.value("'x' in globals()") == "False"
    assert (await workspace.info(kernel_id)).reason is None


async def test_a_kernel_that_dies_is_restarted_by_itself_and_the_reason_told(
    workspace: Workspace, connect: Any
) -> None:
    kernel_id = await workspace.start()
    kernel = await connect(workspace, kernel_id)
    kernel.send("import os; os._exit(7)")
    restarting = await workspace.until_state(kernel_id, "restarting")
    assert (restarting.reason, restarting.exit_status) == ("exited with status 7", 7)
    await workspace.until_state(kernel_id, "idle", generation=2)
    again = await connect(workspace, kernel_id)
    assert await again.value("2 * 3") == "6"


async def test_the_fourth_death_within_a_minute_is_the_last_and_a_restart_revives(workspace: Workspace) -> None:
    kernel_id = await workspace.start()
    for generation in range(1, 5):
        info = await workspace.until_state(kernel_id, "idle", generation)
        assert info.pid is not None
        os.kill(info.pid, signal.SIGSEGV)
    dead = await workspace.until_state(kernel_id, "dead", generation=4)
    assert dead.reason == "killed by SIGSEGV"
    with pytest.raises(AgentRefused, match="not_ready"):
        await workspace.client.interrupt_kernel(kernel_id)
    await workspace.client.restart_kernel(kernel_id)
    await workspace.until_state(kernel_id, "idle", generation=5)


async def test_a_kernel_that_cannot_start_is_dead_with_its_last_words(workspace: Workspace) -> None:
    write_spec(workspace, "broken", ["python", "-c", "raise SystemExit('no module named pandas')"])
    kernel_id = str(uuid.uuid4())
    await workspace.client.start_kernel(kernel_id, "broken", "", {})
    dead = await workspace.until_state(kernel_id, "dead")
    assert dead.generation == 3 and dead.reason is not None
    assert "exited with status 1" in dead.reason and "no module named pandas" in dead.reason


async def test_a_program_that_is_not_there_is_refused_at_once(workspace: Workspace) -> None:
    write_spec(workspace, "absent", ["/nonexistent/kernel", "{connection_file}"])
    with pytest.raises(AgentRefused, match="start_failed"):
        await workspace.client.start_kernel(str(uuid.uuid4()), "absent", "", {})
    assert (await workspace.client.status()).kernels == []


async def test_processes_that_a_kernel_left_behind_end_with_it(workspace: Workspace, connect: Any) -> None:
    kernel_id = await workspace.start()
    kernel = await connect(workspace, kernel_id)
    await kernel.reply(kernel.send("import subprocess; p = subprocess.Popen(['sleep', '1000'])"))
    left_behind = int(await kernel.value("p.pid"))
    await workspace.client.shutdown_kernel(kernel_id)
    await until(lambda: not is_alive(left_behind), "the end of the process left behind")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_kernelspec_may_ask_to_be_interrupted_by_message(workspace: Workspace, connect: Any) -> None:
    argv = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    write_spec(workspace, "by-message", argv, interrupt_mode="message")
    kernel_id = await workspace.start(name="by-message")
    kernel = await connect(workspace, kernel_id)
    running = kernel.send("import time; time.sleep(1000)")
    await workspace.until_state(kernel_id, "busy")
    await workspace.client.interrupt_kernel(kernel_id)
    assert (await kernel.reply(running))["ename"] == "KeyboardInterrupt"


async def test_a_kernel_that_is_no_ipykernel_is_watched_too(workspace: Workspace, connect: Any) -> None:
    """Its topics are unknown, so all of IOPub is read; and it is never a spare."""
    code = "from ipykernel.kernelapp import launch_new_instance as start; start()"
    write_spec(workspace, "other", ["python", "-c", code, "-f", "{connection_file}"])
    kernel_id = await workspace.start(name="other")
    kernel = await connect(workspace, kernel_id)
    await kernel.reply(kernel.send("1"))
    await workspace.until_state(kernel_id, "busy")


# ---- spares


async def test_a_spare_is_adopted_with_folder_and_environment_and_nothing_else_changed(
    with_spare: Workspace, connect: Any
) -> None:
    spare = await with_spare.until_spare()
    (with_spare.home / "näher").mkdir()
    kernel_id = await with_spare.start("näher", env={"JPY_SESSION_NAME": "näher/a.ipynb", "OWN": "it's"})
    assert not (with_spare.run / f"{spare}-1").exists()
    kernel = await connect(with_spare, kernel_id)
    first = await kernel.reply(kernel.send("names = sorted(n for n in globals() if not n.startswith('_'))"))
    assert first["execution_count"] == 1
    assert await kernel.value("names") == "['In', 'Out', 'exit', 'get_ipython', 'open', 'quit']"
    folder = str(with_spare.home / "näher")
    assert await kernel.value("__import__('os').getcwd(), _dh") == repr((folder, [folder]))
    assert await kernel.value("__import__('os').environ['OWN']") == '"it\'s"'
    assert (await with_spare.info(kernel_id)).executions == 1


async def test_a_spare_that_still_starts_is_adopted_instead_of_starting_another(
    with_spare: Workspace, connect: Any
) -> None:
    kernel_id = str(uuid.uuid4())
    await with_spare.client.start_kernel(kernel_id, "python3", "", {})
    assert len(list(with_spare.run.glob("spare-*.json"))) == 1 and not list(with_spare.run.glob(f"{kernel_id}*"))
    await with_spare.until_state(kernel_id, "idle")
    kernel = await connect(with_spare, kernel_id)
    assert await kernel.value("1 + 2") == "3"


async def test_another_spare_follows_an_adoption(with_spare: Workspace) -> None:
    first = await with_spare.until_spare()
    await with_spare.start()
    await until(lambda: any(first not in path.name for path in with_spare.run.glob("spare-*-4")), "another spare")


async def test_an_adopted_kernel_restarts_like_any_other(with_spare: Workspace, connect: Any) -> None:
    await with_spare.until_spare()
    (with_spare.home / "a").mkdir()
    kernel_id = await with_spare.start("a", env={"OWN": "1"})
    await with_spare.client.restart_kernel(kernel_id)
    await with_spare.until_state(kernel_id, "idle", generation=2)
    kernel = await connect(with_spare, kernel_id)
    value = await kernel.value("__import__('os').getcwd(), __import__('os').environ['OWN']")
    assert value == repr((str(with_spare.home / "a"), "1"))


async def test_a_spare_whose_sockets_were_tampered_with_is_replaced_by_a_kernel_of_its_own(
    with_spare: Workspace,
) -> None:
    spare = await with_spare.until_spare()
    await until(lambda: (with_spare.run / f"{spare}-5").exists())
    (with_spare.run / f"{spare}-3").unlink()
    kernel_id = await with_spare.start()
    assert (await with_spare.info(kernel_id)).generation == 2


# ---- terminals


async def test_a_terminal_is_a_login_shell_in_its_folder(workspace: Workspace) -> None:
    (workspace.home / "sub").mkdir()
    terminal = await workspace.client.create_terminal("sub")
    assert terminal.name == "1"
    await workspace.client.attach_terminal("1")
    await workspace.client.resize_terminal("1", 33, 99)
    typed = "shopt -q login_shell && echo login:$TERM; pwd -P; stty size; tty\n"
    await workspace.client.terminal_input("1", typed)
    await until(lambda: "/dev/pts/" in workspace.shown("1"), workspace.shown("1"))
    shown = workspace.shown("1")
    assert "login:xterm-256color" in shown and "33 99" in shown and str(workspace.home / "sub") in shown


async def test_characters_that_are_split_between_reads_stay_whole(workspace: Workspace) -> None:
    await workspace.client.create_terminal()
    await workspace.client.attach_terminal("1")
    script = "for i in 1 2 3; do printf '\\xe2'; sleep 0.05; printf '\\x82\\xac'; done; echo done''now\n"
    await workspace.client.terminal_input("1", script)
    await until(lambda: "donenow" in workspace.shown("1"))
    assert "€€€donenow" in workspace.shown("1") and "\ufffd" not in workspace.shown("1")


async def test_the_scrollback_is_bounded_and_given_at_attachment(workspace: Workspace) -> None:
    await workspace.client.create_terminal()
    await workspace.client.attach_terminal("1")
    await workspace.client.terminal_input("1", "seq 100000; echo fin''ished\n")
    await until(lambda: "finished" in workspace.shown("1"))
    scrollback = (await workspace.client.attach_terminal("1")).scrollback
    assert "finished" in scrollback and "\n99999\r\n" in scrollback
    assert 100_000 < len(scrollback) <= 256 * 1024


async def test_several_peers_see_one_terminal(workspace: Workspace) -> None:
    other = AgentClient(workspace.run, os.getuid())
    seen: list[AgentEvent] = []
    other.on_event = seen.append
    await workspace.client.create_terminal(name="shared")
    await workspace.client.attach_terminal("shared")
    await other.attach_terminal("shared")
    await workspace.client.terminal_input("shared", "echo he''llo\n")

    def other_saw() -> bool:
        return "hello" in "".join(e.data for e in seen if isinstance(e, TerminalOutput))

    await until(lambda: other_saw() and "hello" in workspace.shown("shared"))
    await other.close()


async def test_the_end_of_a_shell_is_told_and_its_name_is_free_again(workspace: Workspace) -> None:
    await workspace.client.create_terminal()
    await workspace.client.attach_terminal("1")
    await workspace.client.terminal_input("1", "exit\n")
    await until(lambda: TerminalExit("1") in workspace.events)
    assert (await workspace.client.status()).terminals == []
    assert (await workspace.client.create_terminal()).name == "1"


async def test_a_deleted_terminal_ends_with_what_runs_in_it(workspace: Workspace) -> None:
    await workspace.client.create_terminal()
    await workspace.client.attach_terminal("1")
    await workspace.client.terminal_input("1", "sleep 1000 & echo pid:$!:; wait\n")
    await until(lambda: "pid:" in workspace.shown("1").replace("echo pid:$!", ""))
    await workspace.client.delete_terminal("1")
    await until(lambda: TerminalExit("1") in workspace.events)
    pid = int(workspace.shown("1").replace("pid:$!:", "").split("pid:")[1].split(":")[0])
    await until(lambda: not is_alive(pid), "the end of the background job")


async def test_a_program_that_floods_a_terminal_does_not_hold_up_anything_else(workspace: Workspace) -> None:
    await workspace.client.create_terminal()
    deaf = zmq.Context.instance().socket(zmq.DEALER)
    deaf.set(zmq.LINGER, 0)
    deaf.set(zmq.RCVHWM, 1)
    deaf.connect(f"ipc://{workspace.run}/agent.sock")
    deaf.send(json.dumps({"id": 1, "op": "terminal.attach", "args": {"name": "1"}}).encode())
    await workspace.client.terminal_input("1", "yes 'flood of words'\n")
    before = (await workspace.client.status()).container.agent_rss_bytes
    loop = asyncio.get_running_loop()
    begun, slowest = loop.time(), 0.0
    while loop.time() - begun < 2.0:
        asked = loop.time()
        await workspace.client.ping()
        slowest = max(slowest, loop.time() - asked)
    assert slowest < 5.0
    assert (await workspace.client.status()).container.agent_rss_bytes - before < 32 * 1024**2
    deaf.close(0)


async def test_the_thirty_third_terminal_is_refused(workspace: Workspace) -> None:
    for _ in range(32):
        await workspace.client.create_terminal()
    with pytest.raises(AgentRefused, match="too_many"):
        await workspace.client.create_terminal()


# ---- hostility and errors


async def refusal(client: AgentClient, op: str, **args: object) -> str:
    with pytest.raises(AgentRefused) as caught:
        await client.request(op, dict, args)
    return caught.value.code


async def test_wrong_requests_are_refused_with_their_codes(workspace: Workspace) -> None:
    client, unknown = workspace.client, str(uuid.uuid4())
    assert await refusal(client, "nonsense") == "unknown_op"
    assert await refusal(client, "kernel.start", kernel_id="../x", name="python3", cwd="", env={}) == "bad_request"
    assert await refusal(client, "kernel.attach", kernel_id=unknown) == "not_found"
    assert await refusal(client, "terminal.attach", name="9") == "not_found"
    assert await refusal(client, "terminal.create", name="a/b") == "bad_request"
    start = {"kernel_id": unknown, "cwd": "", "env": {}}
    assert await refusal(client, "kernel.start", name="none-such", **start) == "unknown_kernelspec"
    await client.start_kernel(unknown, "python3", "", {})
    assert await refusal(client, "kernel.start", name="python3", **start) == "exists"
    assert await refusal(client, "kernel.interrupt", kernel_id=unknown) == "not_ready"
    assert await refusal(client, "kernelspec.resource", name="python3", file="../../x") == "not_found"


async def test_garbage_from_a_peer_does_no_harm(workspace: Workspace) -> None:
    rude = zmq.Context.instance().socket(zmq.DEALER)
    rude.set(zmq.LINGER, 0)
    rude.connect(f"ipc://{workspace.run}/agent.sock")
    for frames in ([b""], [b"x", b"y", b"z"], [b"[" * 100_000], [b"\xff" * 1000], [b"x" * 5 * 1024**2]):
        rude.send_multipart(frames)
    raw = sockets.socket(sockets.AF_UNIX)
    raw.connect(f"{workspace.run}/agent.sock")
    raw.send(b"GET / HTTP/1.1\r\n\r\n" * 100)
    await workspace.client.ping()
    rude.close(0)
    raw.close()
    await workspace.client.ping()


async def test_modules_in_the_home_do_not_stand_in_for_the_agents(base: Path) -> None:
    home = base / "home"
    home.mkdir(0o700)
    trap = base / "trap"
    for name in ("json", "zmq", "hub", "re", "sitecustomize", "usercustomize"):
        (home / f"{name}.py").write_text(f"open({str(trap)!r}, 'w'); raise SystemExit(9)\n")
    process = start_process(base, 0, {"PYTHONPATH": str(home)})
    client = AgentClient(base / "run", os.getuid())
    try:
        hello = await client.hello(timeout=SECONDS)
        assert hello.default_kernel == "python3" and not trap.exists()
    finally:
        await client.close()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0


async def test_a_kernels_socket_that_was_swapped_for_a_link_is_not_opened(workspace: Workspace) -> None:
    kernel_id = await workspace.start()
    shell = workspace.run / f"{kernel_id}-1"
    shell.rename(workspace.run / "moved")
    shell.symlink_to("moved")
    with pytest.raises(SocketRefused, match="not a socket"):
        open_socket(workspace.run, shell.name, os.getuid())


# ---- the agent itself


async def test_an_agent_without_work_stays_small(workspace: Workspace) -> None:
    container = (await workspace.client.status()).container
    assert container.agent_rss_bytes < 24 * 1024**2


async def test_sigterm_ends_everything_in_order_and_leaves_nothing(base: Path) -> None:
    async for workspace in started(base, 1):
        kernel_id = await workspace.start()
        await workspace.client.create_terminal()
        kernel_pid = (await workspace.info(kernel_id)).pid
        assert kernel_pid is not None
        workspace.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(workspace.process.wait, 10) == 0
        assert not is_alive(kernel_pid)
        assert [path.name for path in workspace.run.iterdir()] == [f"journal-{kernel_id}-00000001"]


async def test_an_agent_that_was_killed_is_followed_by_one_that_cleans_up(base: Path) -> None:
    async for workspace in started(base, 0):
        kernel_id = await workspace.start()
        pid = (await workspace.info(kernel_id)).pid
        workspace.process.kill()
        await asyncio.to_thread(workspace.process.wait, 10)
        assert pid is not None
        os.killpg(pid, signal.SIGKILL)
    async for workspace in started(base, 0):
        names = sorted(path.name for path in workspace.run.iterdir())
        assert names == ["agent.sock", f"journal-{kernel_id}-00000001"], "the journal is the hub's to remove"
        assert (await workspace.client.status()).kernels == []


async def test_no_descriptor_stays_behind_after_many_kernels_and_terminals(workspace: Workspace) -> None:
    def descriptors() -> int:
        return len(list(Path(f"/proc/{workspace.process.pid}/fd").iterdir()))

    async def once() -> None:
        kernel_id = await workspace.start()
        await workspace.client.shutdown_kernel(kernel_id)
        terminal = await workspace.client.create_terminal()
        await workspace.client.attach_terminal(terminal.name)
        workspace.events.clear()
        await workspace.client.delete_terminal(terminal.name)
        await until(lambda: TerminalExit(terminal.name) in workspace.events)

    await once()
    before = descriptors()
    for _ in range(3):
        await once()
    await until(lambda: descriptors() <= before, "the closing of descriptors")


# ---- jobs


def add_program(workspace: Workspace, name: str, body: str) -> None:
    """Put a program into the agent's folder: this one belongs to the test."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    text = f"import os, signal, sys, time\nfrom hub.agent.programs.output import tell\ndef main(arguments):\n{lines}\n"
    (workspace.home.parent / "agent/hub/agent/programs" / f"{name}.py").write_text(text)


async def ended(workspace: Workspace, job_id: str) -> JobInfo:
    async with asyncio.timeout(SECONDS):
        while (output := await workspace.client.read_job(job_id)).job.exit_status is None:
            await asyncio.sleep(0.01)
    return output.job


async def test_a_job_gets_its_arguments_and_tells_how_far_it_is(workspace: Workspace) -> None:
    add_program(
        workspace,
        "git_pull",
        "tell({'given': arguments, 'cwd': os.getcwd(), 'session': os.getsid(0) == os.getpid(),\n"
        "      'own': sorted(n for n in os.environ if n.startswith('KERNELHUB_'))})\n"
        "print('a last word', file=sys.stderr)\nreturn 3",
    )
    job_id = str(uuid.uuid4())
    begun = await workspace.client.start_job(job_id, "git_pull", {"name": "Zoë", "depth": 1})
    assert (begun.program, begun.exit_status, begun.reason) == ("git_pull", None, None)
    info = await ended(workspace, job_id)
    assert (info.exit_status, info.reason) == (3, "a last word") and info.ended_at is not None
    output = await workspace.client.read_job(job_id)
    assert [json.loads(line) for line in output.text.splitlines()] == [
        {
            "given": {"name": "Zoë", "depth": 1},
            "cwd": str(workspace.home),
            "session": True,
            "own": ["KERNELHUB_RUN"],
        }
    ]
    assert (output.offset, output.next_offset) == (0, info.output_bytes)
    assert (await workspace.client.read_job(job_id, output.next_offset)).text == ""
    assert (await workspace.client.status()).jobs == [info]


async def test_the_same_id_is_the_same_job_and_a_stopped_one_takes_its_children_along(workspace: Workspace) -> None:
    add_program(
        workspace,
        "git_pull",
        "import subprocess\nchild = subprocess.Popen(['sleep', '1000'])\ntell({'child': child.pid})\ntime.sleep(1000)",
    )
    job_id = str(uuid.uuid4())
    await workspace.client.start_job(job_id, "git_pull", {})
    again = await workspace.client.start_job(job_id, "git_pull", {})
    assert [job.job_id for job in (await workspace.client.status()).jobs] == [again.job_id]
    async with asyncio.timeout(SECONDS):
        while not (text := (await workspace.client.read_job(job_id)).text):
            await asyncio.sleep(0.01)
    await workspace.client.stop_job(job_id)
    assert (await workspace.client.read_job(job_id)).job.exit_status == -signal.SIGTERM
    await until(lambda: not Path(f"/proc/{json.loads(text)['child']}").exists(), "the end of the program's child")
    await workspace.client.stop_job(job_id)


async def test_jobs_are_bounded_in_number_and_in_what_is_kept(workspace: Workspace) -> None:
    add_program(workspace, "git_pull", "time.sleep(1000)")
    running = [str(uuid.uuid4()) for _ in range(bounds.MAX_JOBS)]
    for job_id in running:
        await workspace.client.start_job(job_id, "git_pull", {})
    with pytest.raises(AgentRefused, match="too_many"):
        await workspace.client.start_job(str(uuid.uuid4()), "git_pull", {})
    await asyncio.gather(*(workspace.client.stop_job(job_id) for job_id in running))
    add_program(workspace, "git_pull", "[tell({'n': n, 'x': 'y' * 1000}) for n in range(8000)]\nreturn 0")
    loud = str(uuid.uuid4())
    await workspace.client.start_job(loud, "git_pull", {})
    info = await ended(workspace, loud)
    assert (info.exit_status, info.reason) == (0, None)
    first = await workspace.client.read_job(loud)
    assert first.offset >= info.output_bytes - bounds.MAX_JOB_OUTPUT_BYTES > 0
    numbers, at = [], 0
    while at < info.output_bytes:
        output = await workspace.client.read_job(loud, at)
        numbers += [json.loads(line)["n"] for line in output.text.splitlines()]
        at = output.next_offset
    assert numbers == list(range(numbers[0], 8000))
    add_program(workspace, "git_pull", "return 0")
    for _ in range(bounds.MAX_ENDED_JOBS + 1):
        job_id = str(uuid.uuid4())
        await workspace.client.start_job(job_id, "git_pull", {})
        await ended(workspace, job_id)
    assert len((await workspace.client.status()).jobs) == bounds.MAX_ENDED_JOBS
    with pytest.raises(AgentRefused, match="not_found"):
        await workspace.client.read_job(loud)


async def test_a_program_that_is_none_of_the_agents_is_refused(workspace: Workspace) -> None:
    for name in ("start", "nothing", "os"):
        with pytest.raises(AgentRefused, match="unknown_program"):
            await workspace.client.start_job(str(uuid.uuid4()), name, {})
    with pytest.raises(AgentRefused, match="bad_request"):
        await workspace.client.start_job(str(uuid.uuid4()), "../main", {})
    with pytest.raises(AgentRefused, match="bad_request"):
        await workspace.client.start_job(str(uuid.uuid4()), "git_pull", {"x": "y" * bounds.MAX_JOB_ARGUMENTS_BYTES})


async def test_an_agent_that_ends_takes_its_jobs_along_even_one_that_does_not_want_to(base: Path) -> None:
    async for workspace in started(base, 0):
        add_program(
            workspace,
            "git_pull",
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntell({'pid': os.getpid()})\ntime.sleep(1000)",
        )
        job_id = str(uuid.uuid4())
        await workspace.client.start_job(job_id, "git_pull", {})
        async with asyncio.timeout(SECONDS):
            while not (text := (await workspace.client.read_job(job_id)).text):
                await asyncio.sleep(0.01)
    await until(lambda: not Path(f"/proc/{json.loads(text)['pid']}").exists(), "the program's end")
