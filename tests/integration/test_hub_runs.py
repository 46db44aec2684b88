"""Notebooks run without a browser on a whole hub: the API, the command line, and what survives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.harness import notebooks
from tests.harness.accounts import Account, add_account
from tests.harness.client import HubClient, eventually
from tests.harness.notebooks import ended, notebook
from tests.harness.running import RunningHub, running_hub

Json = dict[str, Any]


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture
async def client(hub: RunningHub, ada: Account) -> AsyncIterator[HubClient]:
    async with HubClient(hub.address, ada.name, ada.token) as client:
        yield client


def cell(source: str, *tags: str) -> Json:
    return notebooks.cell(source, tags=tags)


async def save(client: HubClient, path: str, *cells: Json, kernel: str = "python3") -> None:
    await notebooks.save(client, path, notebook(*cells, kernel=kernel))


async def run(client: HubClient, **body: Any) -> Json:
    status, begun = await client.request("POST", "api/kernelhub/runs", body)
    assert status == 202, begun
    return await ended(client, begun["id"])


def texts(ada: Account, path: str) -> list[list[str]]:
    """The outputs in a file, cell by cell."""
    book = nbformat.read(file_of(ada, path), 4)
    nbformat.validate(book)
    return [[o.get("text") or o.get("ename") or o["data"]["text/plain"] for o in c["outputs"]] for c in book["cells"]]


def file_of(ada: Account, path: str) -> Path:
    return ada.home / path


def command(hub: RunningHub, ada: Account, *arguments: str) -> subprocess.Popen[str]:
    """``kernelhub run``, started on somebody's laptop."""
    environment = {**os.environ, "KERNELHUB_URL": f"{hub.address}/user/ada/", "KERNELHUB_TOKEN": ada.token}
    return subprocess.Popen(
        [sys.executable, "-m", "hub.cli", "run", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore Ctrl-C
    )  # fmt: skip


async def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, complaints = await asyncio.to_thread(process.communicate, timeout=60)
    return process.returncode, output, complaints


async def test_a_run_puts_its_outputs_into_the_notebook_which_is_trusted_and_its_kernel_goes(
    ada: Account, client: HubClient
) -> None:
    html = "from IPython.display import HTML\nHTML('<b>x</b>')"
    await save(client, "whole.ipynb", cell("x = 20"), cell("print('hello')\nx + 1"), cell(html))
    begun = (await client.request("POST", "api/kernelhub/runs", {"path": "whole.ipynb"}))[1]
    assert (begun["state"], begun["ended_at"], begun["output"]) == ("starting", None, "whole.ipynb")
    over = await ended(client, begun["id"])
    assert (over["state"], over["cell"], over["total"], over["error"]) == ("succeeded", 3, 3, None)
    assert texts(ada, "whole.ipynb")[:2] == [[], ["hello\n", "21"]]
    _, model = await client.request("GET", "api/contents/whole.ipynb")
    assert all(c["metadata"]["trusted"] for c in model["content"]["cells"])
    assert (await client.request("GET", "api/kernels"))[1] == []
    assert (await client.request("GET", "api/kernelhub/runs"))[1][0]["id"] == begun["id"]


async def test_parameters_go_into_another_file_as_papermill_puts_them(ada: Account, client: HubClient) -> None:
    await save(client, "report.ipynb", cell("rate, name = 1, 'a'", "parameters"), cell("print(rate, name)"))
    before = file_of(ada, "report.ipynb").read_bytes()
    over = await run(client, path="report.ipynb", output="out.ipynb", parameters={"rate": 2.5, "name": "b'\"\n"})
    assert over["state"] == "succeeded" and file_of(ada, "report.ipynb").read_bytes() == before
    assert texts(ada, "out.ipynb") == [[], [], ["2.5 b'\"\n\n"]]
    book = nbformat.read(file_of(ada, "out.ipynb"), 4)
    assert book.cells[1].metadata.tags == ["injected-parameters"]
    assert book.metadata.papermill.parameters == {"rate": 2.5, "name": "b'\"\n"}
    again = await run(client, path="out.ipynb", output="out2.ipynb", parameters={"rate": 3})
    assert again["state"] == "succeeded" and len(texts(ada, "out2.ipynb")) == 3


async def test_a_failing_cell_is_named_with_its_traceback(client: HubClient) -> None:
    await save(client, "fails.ipynb", cell("1"), cell("# the second\n1/0"), cell("2"))
    over = await run(client, path="fails.ipynb")
    error = over["error"]
    assert (over["state"], over["name"]) == ("failed", "# the second")
    assert (error["cell"], error["index"], error["execution_count"], error["ename"]) == (2, 1, 2, "ZeroDivisionError")
    assert "division by zero" in error["traceback"]


async def test_a_kernel_that_dies_ends_the_run_with_the_reason(client: HubClient) -> None:
    await save(client, "dies.ipynb", cell("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"))
    over = await run(client, path="dies.ipynb")
    assert over["state"] == "died" and "killed" in over["error"]["evalue"].lower(), over


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"path": "nothing.ipynb"}, 404, "nothing.ipynb"),
        ({"path": "text.txt"}, 400, ".ipynb"),
        ({"path": "../x.ipynb"}, 404, "x.ipynb"),
        ({"path": "good.ipynb", "parameters": {"x": 1}}, 400, "output"),
        ({"path": "good.ipynb", "output": "o.ipynb", "parameters": {"x; import os": 1}}, 400, "variable"),
        ({"path": "good.ipynb", "output": "good.ipynb/o.ipynb"}, 404, "good.ipynb"),
        ({"path": "good.ipynb", "output": "o.txt"}, 400, ".ipynb"),
        ({"path": "good.ipynb", "kernel": "cobol"}, 501, "cobol"),
        ({"path": "foreign.ipynb"}, 501, "no-such-kernel"),
        ({"path": "good.ipynb", "timeout": -1}, 400, "timeout"),
        ({"path": "good.ipynb", "colour": 1}, 400, "colour"),
        ({"path": "broken.ipynb"}, 400, "broken.ipynb"),
        ({}, 400, "path"),
    ],
)
async def test_what_cannot_be_run_is_refused_at_once(client: HubClient, body: Json, status: int, words: str) -> None:
    await save(client, "good.ipynb", cell("1"))
    await save(client, "foreign.ipynb", cell("1"), kernel="no-such-kernel")
    text = {"type": "file", "format": "text", "content": "no notebook"}
    await client.request("PUT", "api/contents/broken.ipynb", text)
    answered, said = await client.request("POST", "api/kernelhub/runs", body)
    assert answered == status and words in said["message"], (answered, said)


async def test_a_run_can_be_stopped_and_keeps_what_it_printed(ada: Account, client: HubClient) -> None:
    await save(client, "long.ipynb", cell("print('so far', flush=True)\nimport time\ntime.sleep(100)"))
    begun = (await client.request("POST", "api/kernelhub/runs", {"path": "long.ipynb"}))[1]
    address = f"api/kernelhub/runs/{begun['id']}"

    async def runs() -> bool:
        return (await client.request("GET", address))[1]["cell"] == 1

    await eventually(runs)
    status, stopped = await client.request("DELETE", address)
    assert (status, stopped["state"]) == (200, "stopped"), stopped
    assert texts(ada, "long.ipynb") == [["so far\n"]]
    assert (await client.request("DELETE", address))[1]["state"] == "stopped"
    assert (await client.request("GET", "api/kernels"))[1] == []


async def test_runs_are_their_users_own_and_bounded(hub: RunningHub, client: HubClient) -> None:
    eve = add_account(hub, "eve")
    await save(client, "mine.ipynb", cell("import time\ntime.sleep(60)"))
    begun = [await client.request("POST", "api/kernelhub/runs", {"path": "mine.ipynb"}) for _ in range(5)]
    assert [status for status, _ in begun] == [202, 202, 202, 202, 409]
    async with HubClient(hub.address, eve.name, eve.token) as other:
        for method in ("GET", "DELETE"):
            assert (await other.request(method, f"api/kernelhub/runs/{begun[0][1]['id']}"))[0] == 404
        assert (await other.request("GET", "api/kernelhub/runs"))[1] == []
    for _, each in begun[:4]:
        assert (await client.request("DELETE", f"api/kernelhub/runs/{each['id']}"))[1]["state"] == "stopped"


async def test_the_command_line_tells_how_it_went(hub: RunningHub, client: HubClient, ada: Account) -> None:
    await save(client, "cli.ipynb", cell("x = 1", "parameters"), cell("print(x)\n1/(x - 2)"))
    status, _, said = await finished(command(hub, ada, "cli.ipynb", "-o", "cli-out.ipynb", "-p", "x", "3"))
    assert status == 0 and "3 cells ran" in said, said
    assert texts(ada, "cli-out.ipynb")[2] == ["3\n", "1.0"]
    status, _, said = await finished(command(hub, ada, "cli.ipynb", "-o", "cli-out.ipynb", "-p", "x", "2"))
    assert status == 1 and "Cell 3 of 3 (In [3]) of cli.ipynb failed: ZeroDivisionError" in said, said
    assert "1/(x - 2)" in said and "\x1b" not in said
    status, _, said = await finished(command(hub, ada, "cli.ipynb", "-p", "x", "2"))
    assert status == 2 and "output file" in said
    assert (await finished(command(hub, ada)))[0] == 2
    assert (await finished(command(hub, ada, "cli.ipynb", "-o", "o.ipynb", "-y", "[1]")))[0] == 2


async def test_a_local_notebook_is_sent_run_and_fetched_and_leaves_nothing(
    hub: RunningHub, client: HubClient, ada: Account, tmp_path: Path
) -> None:
    (tmp_path / "here.ipynb").write_text(json.dumps(notebook(cell("print('there')"))))
    arguments = (str(tmp_path / "here.ipynb"), "--local", "-o", str(tmp_path / "result.ipynb"))
    status, _, said = await finished(command(hub, ada, *arguments))
    assert status == 0, said
    assert nbformat.read(tmp_path / "result.ipynb", 4).cells[0].outputs[0].text == "there\n"
    _, folder = await client.request("GET", "api/contents/kernelhub-run")
    assert folder["content"] == []


async def test_a_run_survives_its_caller_and_the_hub(hub: RunningHub, client: HubClient, ada: Account) -> None:
    await save(
        client, "survives.ipynb",
        cell("import pathlib, time\npathlib.Path('begun').touch()"),
        cell("while not pathlib.Path('go').exists(): time.sleep(.05)\nprint('went on')"),
        cell("print('to the end')"),
    )  # fmt: skip
    caller = command(hub, ada, "survives.ipynb")

    async def begun() -> bool:
        return file_of(ada, "begun").exists()

    await eventually(begun)
    caller.send_signal(signal.SIGINT)
    status, _, said = await finished(caller)
    assert status == 130 and "--follow" in said, said
    [run_id] = {word for word in said.split() if word.count("-") == 4}
    await asyncio.to_thread(hub.kill, "hub")
    follower = command(hub, ada, "--follow", run_id)
    file_of(ada, "go").touch()
    status, _, said = await finished(follower)
    assert status == 0 and "3 cells ran" in said, said
    assert texts(ada, "survives.ipynb") == [[], ["went on\n"], ["to the end\n"]]
    assert (await client.request("GET", "api/kernels"))[1] == []


async def test_a_run_that_ended_while_the_hub_was_away_is_found_at_its_start(
    hub: RunningHub, ada: Account, client: HubClient
) -> None:
    await save(client, "away.ipynb", cell("import pathlib\npathlib.Path('here').touch()\nimport time; time.sleep(1)"))
    begun = (await client.request("POST", "api/kernelhub/runs", {"path": "away.ipynb"}))[1]

    async def is_here() -> bool:
        return file_of(ada, "here").exists()

    await eventually(is_here)
    await asyncio.to_thread(hub.kill, "hub")
    assert (await ended(client, begun["id"]))["state"] == "succeeded"


async def test_a_run_that_is_stopped_before_it_begins_leaves_no_kernel(client: HubClient) -> None:
    await save(client, "early.ipynb", cell("1"))
    begun = (await client.request("POST", "api/kernelhub/runs", {"path": "early.ipynb"}))[1]
    status, stopped = await client.request("DELETE", f"api/kernelhub/runs/{begun['id']}")
    assert status == 200 and stopped["state"] in ("stopped", "succeeded"), stopped
    kernels = (await client.request("GET", "api/kernels"))[1]
    assert begun["kernel"]["id"] not in [kernel["id"] for kernel in kernels]


async def test_a_run_ends_with_its_container(hub: RunningHub, client: HubClient) -> None:
    await save(client, "stopped.ipynb", cell("import time\ntime.sleep(100)"))
    begun = (await client.request("POST", "api/kernelhub/runs", {"path": "stopped.ipynb"}))[1]

    async def runs() -> bool:
        return bool((await client.request("GET", f"api/kernelhub/runs/{begun['id']}"))[1]["cell"])

    await eventually(runs)
    async with client.http.delete(f"{hub.address}/hub/api/users/ada/server") as answer:
        assert answer.status in (202, 204)
    over = await ended(client, begun["id"])
    # The agent stops its jobs first; whether the hub still hears of that is a matter of milliseconds.
    if over["state"] != "stopped":
        assert over["state"] == "died" and "container ended" in over["error"]["evalue"], over
    assert (await client.request("GET", "api/kernels"))[1] == []
