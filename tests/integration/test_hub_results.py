"""Outputs of cells that ran while nobody watched: they are in the notebook, on the disk, and nobody's file is touched.

A program stands for the front end: it opens, runs and goes as JupyterLab, Notebook 7 and VS Code do, with the cell's
id in the request's metadata. The same with JupyterLab itself: tests/clients/test_unwatched.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import nbformat
import pytest

from tests.harness import notebooks
from tests.harness.accounts import Account, add_account
from tests.harness.client import HubClient, KernelConnection, Message, eventually
from tests.harness.running import RunningHub, running_hub

T = TypeVar("T")
LINES = "import time\nfor i in range(10):\n    print('line', i)\n    time.sleep(0.2)"
ALL_LINES = "".join(f"line {i}\n" for i in range(10))


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
        for kernel in (await client.request("GET", "api/kernels"))[1]:
            await client.request("DELETE", f"api/kernels/{kernel['id']}")


class Notebook:
    """A notebook of Ada's with a kernel: saved as front ends save, read from the disk."""

    def __init__(self, client: HubClient, ada: Account, path: str, sources: list[str]) -> None:
        self.client, self.path, self.file = client, path, ada.home / path
        cells = (notebooks.cell(text, id=f"cell-{n}") for n, text in enumerate(sources))
        self.content: Message = notebooks.notebook(*cells)

    async def start(self) -> str:
        """Save it and start its kernel; gives the kernel's id."""
        await self.save(self.content)
        session = await self.client.start_session(self.path)
        return str(session["kernel"]["id"])

    async def save(self, content: Message) -> None:
        await notebooks.save(self.client, self.path, content)

    async def opened(self) -> Message:
        """As a front end gets it."""
        status, model = await self.client.request("GET", f"api/contents/{self.path}?content=1&hash=1")
        assert status == 200, model
        result: Message = model
        return result

    def on_disk(self) -> Message:
        result: Message = json.loads(self.file.read_text())
        nbformat.validate(result)
        return result

    def text(self, number: int = 0) -> str:
        """The streams of a cell, on the disk."""
        return text_of(self.on_disk()["cells"][number])

    async def begin(self, kernel: KernelConnection, number: int = 0) -> str:
        """Run a cell as JupyterLab does, and return when it has begun."""
        source = self.content["cells"][number]["source"]
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}}
        sent = await kernel.send("execute_request", content, metadata={"cellId": f"cell-{number}"})
        await self.hear(kernel, sent, "execute_input")
        return sent

    async def hear(self, kernel: KernelConnection, request: str, kind: str) -> Message:
        while True:
            _, message = await kernel.receive()
            if message["parent_header"].get("msg_id") == request and message["header"]["msg_type"] == kind:
                return message

    async def end(self, kernel: KernelConnection, request: str) -> None:
        while (await self.hear(kernel, request, "status"))["content"]["execution_state"] != "idle":
            pass


def text_of(cell: Message) -> str:
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


async def test_every_line_of_a_closed_tab_is_in_the_file(client: HubClient, ada: Account) -> None:
    notebook = Notebook(client, ada, "closed.ipynb", [LINES, "6 * 7"])
    kernel_id = await notebook.start()
    async with client.kernel(kernel_id) as kernel:
        await notebook.begin(kernel)
    await eventually(lambda: as_async(notebook.text() == ALL_LINES))
    cell = notebook.on_disk()["cells"][0]
    assert cell["execution_count"] == 1
    assert [output["output_type"] for output in cell["outputs"]] == ["stream"]
    assert notebook.on_disk()["cells"][1]["outputs"] == []


async def test_who_opens_it_meanwhile_sees_it_so_far_and_the_file_is_left_alone(
    client: HubClient, ada: Account
) -> None:
    notebook = Notebook(client, ada, "second.ipynb", [LINES])
    kernel_id = await notebook.start()
    async with client.kernel(kernel_id) as second:
        before = notebook.file.stat()
        async with client.kernel(kernel_id) as first:
            request = await notebook.begin(first)
            await notebook.hear(first, request, "stream")
        opened = await notebook.opened()
        assert text_of(opened["content"]["cells"][0]).startswith("line 0\n")
        await notebook.end(second, request)
        opened = await notebook.opened()
        assert text_of(opened["content"]["cells"][0]) == ALL_LINES
        after = notebook.file.stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    await eventually(lambda: as_async(notebook.text() == ALL_LINES))


async def test_it_is_there_although_the_hub_was_killed_meanwhile(
    hub: RunningHub, client: HubClient, ada: Account
) -> None:
    notebook = Notebook(client, ada, "killed.ipynb", [LINES])
    kernel_id = await notebook.start()
    async with client.kernel(kernel_id) as kernel:
        await notebook.begin(kernel)
        await asyncio.to_thread(hub.kill, "hub")
    await eventually(lambda: as_async(notebook.text() == ALL_LINES), 40)


async def test_a_cell_that_was_changed_is_left_alone_and_its_result_is_kept(client: HubClient, ada: Account) -> None:
    notebook = Notebook(client, ada, "changed.ipynb", [LINES])
    kernel_id = await notebook.start()
    async with client.kernel(kernel_id) as kernel:
        await notebook.begin(kernel)
    cells = [{**notebook.content["cells"][0], "source": "print('something else')"}]
    await notebook.save({**notebook.content, "cells": cells})
    missed = await eventually(lambda: missed_of(client, "changed.ipynb"))
    assert notebook.on_disk()["cells"][0]["outputs"] == []
    assert "changed" in missed["reason"] and missed["code"].startswith("import time")
    _, kept = await client.request("GET", f"api/kernelhub/missed/{missed['id']}")
    nbformat.validate(kept)
    assert text_of(kept["cells"][0]) == ALL_LINES
    status, _ = await client.request("DELETE", f"api/kernelhub/missed/{missed['id']}")
    assert status == 204
    assert await missed_of(client, "changed.ipynb") is None


async def test_what_was_seen_and_saved_is_never_put_back(client: HubClient, ada: Account) -> None:
    notebook = Notebook(client, ada, "cleared.ipynb", ["print('mine')", LINES])
    kernel_id = await notebook.start()
    async with client.kernel(kernel_id) as kernel:
        await notebook.end(kernel, await notebook.begin(kernel))
        await eventually(lambda: connected(client, kernel_id))
        await notebook.save(notebook.content)  # without outputs: the user has cleared them
        await notebook.begin(kernel, 1)
    await eventually(lambda: as_async(notebook.text(1) == ALL_LINES))
    assert notebook.on_disk()["cells"][0]["outputs"] == []


async def test_the_end_of_a_kernel_is_in_the_notebook(client: HubClient, ada: Account) -> None:
    dies = "import os, time\nprint('before', flush=True)\ntime.sleep(1)\nos._exit(3)"
    notebook = Notebook(client, ada, "dies.ipynb", [dies])
    kernel_id = await notebook.start()
    async with client.kernel(kernel_id) as kernel:
        await notebook.begin(kernel)
    outputs = await eventually(lambda: as_async(two(notebook.on_disk()["cells"][0]["outputs"])))
    assert "".join(outputs[0]["text"]) == "before\n"
    assert outputs[1]["ename"] == "KernelDied"


async def test_what_ran_when_the_container_was_stopped_is_in_the_notebook(
    hub: RunningHub, client: HubClient, ada: Account
) -> None:
    notebook = Notebook(
        client, ada, "stopped.ipynb", ["import time\nfor i in range(1000):\n    print(i)\n    time.sleep(0.1)"]
    )
    kernel_id = await notebook.start()
    async with client.kernel(kernel_id) as kernel:
        await notebook.hear(kernel, await notebook.begin(kernel), "stream")
    run = next((hub.data_dir / "run").glob(f"*/journal-{kernel_id}-*")).parent
    async with client.http.delete(f"{hub.address}/hub/api/users/ada/server") as answer:
        assert answer.status in (202, 204), await answer.text()
    await eventually(lambda: as_async(not run.exists()))
    await eventually(lambda: as_async(notebook.text().startswith("0\n1\n")))
    await eventually(lambda: as_async(not list((hub.data_dir / "results").glob(f"*/journals/{kernel_id}"))))


async def test_a_trusted_notebook_stays_trusted(client: HubClient, ada: Account) -> None:
    rich = "import time\nfrom IPython.display import HTML, display\ntime.sleep(0.5)\ndisplay(HTML('<b>rich</b>'))"
    notebook = Notebook(client, ada, "trusted.ipynb", [rich, rich])
    notebook.content["cells"][1]["outputs"] = [
        {"output_type": "display_data", "data": {"text/html": "<b>old</b>"}, "metadata": {}}
    ]
    notebook.content["cells"][1]["metadata"] = {"trusted": True}
    kernel_id = await notebook.start()
    async with client.kernel(kernel_id) as kernel:
        await notebook.begin(kernel)
    await eventually(lambda: as_async(notebook.on_disk()["cells"][0]["outputs"]))
    opened = await notebook.opened()
    assert [cell["metadata"]["trusted"] for cell in opened["content"]["cells"]] == [True, True]


async def test_a_notebook_that_was_renamed_is_found(client: HubClient, ada: Account) -> None:
    notebook = Notebook(client, ada, "before.ipynb", [LINES])
    kernel_id = await notebook.start()
    async with client.kernel(kernel_id) as kernel:
        await notebook.begin(kernel)
    status, _ = await client.request("PATCH", "api/contents/before.ipynb", {"path": "after.ipynb"})
    assert status == 200
    notebook.file = ada.home / "after.ipynb"
    await eventually(lambda: as_async(notebook.text() == ALL_LINES))


async def test_a_kernels_record_can_be_read_by_programs(client: HubClient, ada: Account) -> None:
    notebook = Notebook(client, ada, "record.ipynb", ["print('recorded')"])
    kernel_id = await notebook.start()
    async with client.kernel(kernel_id) as kernel:
        sent = await notebook.begin(kernel)
        await notebook.end(kernel, sent)
    records: list[Message] = []
    after, complete = 0, False
    while not complete:
        status, page = await client.request("GET", f"api/kernels/{kernel_id}/journal?after={after}&limit=3")
        assert status == 200 and len(page["records"]) <= 3
        records, after, complete = records + page["records"], page["last"], page["complete"]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    mine = [r["message"] for r in records if r.get("message", {}).get("parent_header", {}).get("msg_id") == sent]
    said = [message["content"]["text"] for message in mine if message["header"]["msg_type"] == "stream"]
    assert said == ["recorded\n"]
    noted = [record["note"] for record in records if record["kind"] == "note"]
    assert {"msg_id": sent, "msg_type": "execute_request", "cell_id": "cell-0"}.items() <= noted[0].items()
    assert (await client.request("GET", f"api/kernels/{kernel_id}/journal?after=x"))[0] == 400
    assert (await client.request("GET", "api/kernels/00000000-0000-4000-8000-000000000000/journal"))[0] == 404


async def missed_of(client: HubClient, path: str) -> Message | None:
    _, listed = await client.request("GET", "api/kernelhub/missed")
    return next((each for each in listed["missed"] if each["path"] == path), None)


async def connected(client: HubClient, kernel_id: str) -> bool:
    """Whether the hub knows of the connection: proxies tell every two seconds."""
    _, kernel = await client.request("GET", f"api/kernels/{kernel_id}")
    return bool(kernel["connections"])


def two(outputs: list[Any]) -> list[Any] | None:
    return outputs if len(outputs) == 2 else None


async def as_async(value: T) -> T:
    return value
