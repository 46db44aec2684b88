"""``kernelhub attach``: consoles and other ZeroMQ clients of somebody's machine on kernels of a hub."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.accounts import Account, add_account
from tests.harness.client import HubClient, KernelConnection, text_of
from tests.harness.outside import ATTACH, CONSOLE, SECONDS, Laptop
from tests.harness.running import RunningHub, eventually, running_hub


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture
def laptop(hub: RunningHub, ada: Account, data_dir: Path) -> Laptop:
    return Laptop(data_dir, hub, ada)


@pytest.fixture
async def browser(hub: RunningHub, ada: Account) -> AsyncIterator[HubClient]:
    """Ada's notebook, as far as the hub sees it; no kernel but those that the test starts."""
    async with HubClient(hub.address, ada.name, ada.token) as client:
        await shut_all(client)
        yield client
        await shut_all(client)


async def shut_all(client: HubClient) -> None:
    """Shut what a test has left, again and again: it may have killed the proxy."""
    async with asyncio.timeout(SECONDS):
        while left := await kernels(client):
            for kernel_id in left:
                await client.request("DELETE", f"api/kernels/{kernel_id}")


async def kernels(browser: HubClient) -> list[str]:
    status, found = await browser.request("GET", "api/kernels")
    assert status == 200, found
    return [kernel["id"] for kernel in found]


async def threaded(work: Any, *arguments: Any) -> Any:
    """Do what blocks while connections of this test are served."""
    return await asyncio.to_thread(work, *arguments)


def answer(client: Any, code: str, **options: Any) -> str:
    """What a ZeroMQ client's cell prints and returns."""
    seen: list[str] = []

    def show(message: Any) -> None:
        content = message["content"]
        seen.append(content.get("text") or content.get("data", {}).get("text/plain") or content.get("ename", ""))

    client.execute_interactive(code, timeout=SECONDS, output_hook=show, **options)
    return "".join(seen)


async def test_a_console_and_a_notebook_drive_one_kernel(laptop: Laptop, browser: HubClient) -> None:
    session = await browser.start_session("shared.ipynb")
    async with browser.kernel(session["kernel"]["id"]) as notebook:
        await notebook.execute("x = 41")

        def use_console() -> None:
            with (
                laptop.attached("--kernel", "shared.ipynb") as attached,
                laptop.terminal(*CONSOLE, "--existing", attached.file.name) as console,
            ):
                console.wait_for_prompt()
                console.run("x + 1", "42")
                console.run("y = 'from the ' + 'console'; y", "from the console")
                console.press_ctrl_d()
                console.see("really want to exit")  # what is typed before may be thrown away with the prompt
                console.type("y")
                console.see("keeping kernel alive")
                assert console.wait_for_end() == 0

        await threaded(use_console)
        assert text_of(await notebook.execute("print(y)")) == "from the console\n"
    assert await kernels(browser) == [session["kernel"]["id"]]


async def test_what_one_client_runs_is_seen_by_all(laptop: Laptop, browser: HubClient) -> None:
    kernel_id = (await browser.start_session())["kernel"]["id"]
    async with browser.kernel(kernel_id) as notebook, browser.kernel(kernel_id) as editor:
        with laptop.attached() as attached, attached.client() as console:
            await notebook.execute("seen = []")
            assert await threaded(answer, console, "seen.append('console'); print(seen)") == "['console']\n"
            assert text_of([await output_of(c) for c in (notebook, editor)]) == "['console']\n" * 2

            await editor.execute("seen.append('editor'); print(seen)")
            heard = await threaded(wait_for, console, "stream")
            assert heard["content"]["text"] == "['console', 'editor']\n"


def wait_for(client: Any, kind: str) -> Any:
    """The next message of this type that a ZeroMQ client hears on iopub."""
    while True:
        message = client.get_iopub_msg(timeout=SECONDS)
        if message["header"]["msg_type"] == kind:
            return message


def reply_to(client: Any, message_id: str) -> Any:
    """The content of the reply to a ZeroMQ client's request."""
    while True:
        reply = client.get_shell_msg(timeout=SECONDS)
        if reply["parent_header"]["msg_id"] == message_id:
            return reply["content"]


async def output_of(connection: KernelConnection) -> Any:
    while True:
        channel, message = await connection.receive()
        if channel == "iopub" and message["header"]["msg_type"] == "stream":
            return message


async def test_questions_go_to_the_console_that_asked(laptop: Laptop, browser: HubClient) -> None:
    def use_consoles() -> None:
        with (
            laptop.attached("--new", "python3") as attached,
            laptop.terminal(*CONSOLE, "--existing", attached.file.name) as first,
            laptop.terminal(*CONSOLE, "--existing", attached.file.name) as second,
        ):
            first.wait_for_prompt()
            second.wait_for_prompt()
            for number, console in enumerate((first, second, first)):
                console.type(f"name = input('name {number}'[::-1])")
                console.see(f"name {number}"[::-1])
                console.type(f"person {number}")
                console.wait_for_prompt()
            second.run("name.upper()", "PERSON 2")

    await threaded(use_consoles)


async def test_ctrl_c_in_a_console_interrupts(laptop: Laptop, browser: HubClient) -> None:
    def use_console() -> None:
        with laptop.terminal(*ATTACH, "--new", "python3", "--console") as console:
            console.wait_for_prompt(1)
            console.type("import time; print('beg' + 'un'); time.sleep(600)")
            console.see("begun")
            console.press_ctrl_c()
            console.see("KeyboardInterrupt")
            console.wait_for_prompt(2)
            console.run("'goes ' + 'on'", "goes on")
            console.type("exit")
            console.see("Shutting down kernel")
            console.see("The kernel was shut down.")
            assert console.wait_for_end() == 0

    await threaded(use_console)
    assert await kernels(browser) == []


async def test_a_cell_shows_its_output_when_the_console_gave_up_asking_about_it(
    laptop: Laptop, browser: HubClient
) -> None:
    def use_console() -> None:
        with laptop.terminal(*ATTACH, "--new", "python3", "--console") as console:
            console.wait_for_prompt(1)
            console.type("import os; print('process', os.getpid(), 'of it')")
            console.child.expect(r"process (\d+) of it")
            kernel = int(console.child.match[1])
            console.wait_for_prompt(2)
            os.kill(kernel, signal.SIGSTOP)
            try:
                console.type("import time; print('beg' + 'un'); time.sleep(600)")
                console.see("did not respond to an is_complete_request")
            finally:
                os.kill(kernel, signal.SIGCONT)
            console.see("begun")
            console.press_ctrl_c()
            console.see("KeyboardInterrupt")
            console.wait_for_prompt(3)

    await threaded(use_console)


def test_the_connection_file_is_private_and_goes(laptop: Laptop) -> None:
    with laptop.attached("--new", "python3") as attached:
        file = attached.file
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.parent == laptop.folder / "runtime"
        with attached.client() as client:
            client.shutdown()
            assert client.get_control_msg(timeout=SECONDS)["content"] == {"status": "ok", "restart": False}
        assert attached.process.wait(SECONDS) == 0
        assert "The kernel was shut down." in attached.said()
        assert not file.exists()


def test_unix_sockets_serve_as_well(laptop: Laptop) -> None:
    with laptop.attached("--new", "python3", "--transport", "ipc") as attached:
        with attached.client() as client:
            assert answer(client, "6 * 7") == "42"
            answer(client, "import os; del os")
            client.shutdown()
        assert attached.process.wait(SECONDS) == 0
    assert list((laptop.folder / "runtime").iterdir()) == []


def test_messages_with_another_key_are_not_taken(laptop: Laptop) -> None:
    with laptop.attached("--new", "python3") as attached, attached.client() as client:
        stranger = attached.client()
        with pytest.raises(RuntimeError), stranger as other:
            other.session.key = b"another key"
            other.wait_for_ready(timeout=2)
        assert answer(client, "1 + 1") == "2"
        client.shutdown()


def test_an_interrupt_request_interrupts(laptop: Laptop) -> None:
    with laptop.attached("--new", "python3") as attached, attached.client() as client:
        cell = client.execute("print('begun', flush=True)\nimport time; time.sleep(600)")
        wait_for(client, "stream")
        client.control_channel.send(client.session.msg("interrupt_request", {}))
        assert client.get_control_msg(timeout=SECONDS)["header"]["msg_type"] == "interrupt_reply"
        assert reply_to(client, cell)["ename"] == "KeyboardInterrupt"
        client.shutdown()


async def test_a_busy_kernel_is_not_disturbed(laptop: Laptop, browser: HubClient) -> None:
    kernel_id = (await browser.start_session())["kernel"]["id"]
    async with browser.kernel(kernel_id) as notebook:
        code = "import time\nfor n in range(40):\n    print(n, flush=True)\n    time.sleep(0.05)"
        cell = asyncio.create_task(notebook.execute(code))
        await threaded(attach_and_ask, laptop)
        assert text_of(await cell) == "".join(f"{n}\n" for n in range(40))


def attach_and_ask(laptop: Laptop) -> None:
    with laptop.attached() as attached, attached.client() as client:
        assert answer(client, "n") == "39"


def test_a_broken_connection_mends_and_no_client_waits_for_ever(hub: RunningHub, laptop: Laptop) -> None:
    with laptop.attached("--new", "python3") as attached, attached.client() as client:
        answer(client, "kept = 'kept'")
        lost = client.execute("import time; time.sleep(1)")
        wait_for(client, "execute_input")
        hub.kill("proxy")
        assert reply_to(client, lost)["status"] == "ok", "the cell went on, and its reply found the way back"
        assert answer(client, "kept") == "'kept'"
        assert client.is_alive()
        assert "Connected again." in attached.said()
        client.shutdown()


async def test_a_restart_by_the_notebook_frees_the_console(laptop: Laptop, browser: HubClient) -> None:
    kernel_id = (await browser.start_session())["kernel"]["id"]
    with laptop.attached() as attached, attached.client() as client:
        lost = client.execute("import time; time.sleep(600)")
        await threaded(wait_for, client, "execute_input")
        assert (await browser.request("POST", f"api/kernels/{kernel_id}/restart"))[0] == 200
        async with browser.kernel(kernel_id) as notebook:
            await notebook.execute("fresh = True")
        assert (await threaded(reply_to, client, lost))["status"] in ("aborted", "error"), "nobody waits for ever"
        assert await threaded(answer, client, "fresh") == "True"


async def test_it_ends_when_the_kernel_is_shut_down_elsewhere(laptop: Laptop, browser: HubClient) -> None:
    kernel_id = (await browser.start_session())["kernel"]["id"]
    with laptop.attached() as attached, attached.client() as client:
        assert client.is_alive()
        assert (await browser.request("DELETE", f"api/kernels/{kernel_id}"))[0] == 204
        assert await threaded(attached.process.wait, SECONDS) == 0
        assert "The kernel is gone." in attached.said()
        await threaded(eventually, lambda: not client.is_alive())


async def test_of_several_kernels_one_is_chosen(laptop: Laptop, browser: HubClient) -> None:
    for name in ("a.ipynb", "b.ipynb"):
        session = await browser.start_session(name)
    refused = await threaded(laptop.attach)
    assert refused.returncode == 1
    assert "say which by --kernel" in refused.stderr

    def choose() -> None:
        with laptop.terminal(*ATTACH) as terminal:
            terminal.see("b.ipynb")
            terminal.see("Which one")
            terminal.type("2")
            terminal.see(f"kernel-hub-{session['kernel']['id'][:8]}")
            terminal.press_ctrl_c()
            assert terminal.wait_for_end() == 0

    await threaded(choose)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ((), "No kernel of ada runs."),
        (("--kernel", "nowhere.ipynb"), "No running kernel is 'nowhere.ipynb'."),
        (("--new", "cobol"), "There is no kernel 'cobol'"),
        (("--token", "wrong"), "does not accept the token"),
        (("http://127.0.0.1:1/",), "cannot be reached"),
        (("nonsense",), "is not an address of a hub"),
    ],
)
def test_mistakes_are_named_in_a_sentence(laptop: Laptop, flags: tuple[str, ...], sentence: str) -> None:
    done = laptop.attach(*flags)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
