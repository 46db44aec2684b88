"""Verify on a whole hub: the verdict, and that nothing else remains of it, in processes and in containers."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import notebooks
from tests.harness.accounts import Account, add_account
from tests.harness.client import HubClient, eventually
from tests.harness.notebooks import ended
from tests.harness.running import RunningHub, running_hub
from tests.integration.images import minimal_image

Json = dict[str, Any]


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def hub(request: pytest.FixtureRequest) -> Iterator[RunningHub]:
    if request.param == "docker":
        minimal_image()
    with running_hub(request.param) as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture
async def client(hub: RunningHub, ada: Account) -> AsyncIterator[HubClient]:
    async with HubClient(hub.address, ada.name, ada.token) as client:
        yield client


def cell(source: str, *outputs: Json, count: int | None = 1) -> Json:
    return notebooks.cell(source, *outputs, count=count)


def printed(text: str) -> Json:
    return {"output_type": "stream", "name": "stdout", "text": text}


async def save(client: HubClient, path: str, *cells: Json) -> None:
    await notebooks.save(client, path, notebooks.notebook(*cells))


async def verified(client: HubClient, path: str) -> Json:
    status, begun = await client.request("POST", "api/kernelhub/verify", {"path": path})
    assert status == 202, begun
    return await ended(client, begun["id"])


async def badge(client: HubClient, path: str) -> Json:
    status, answer = await client.request("GET", f"api/kernelhub/verify?path={path}")
    assert status == 200, answer
    result: Json = answer
    return result


def state_of(home: Path) -> dict[str, tuple[str, int]]:
    """All files of a home: what is in them, and when they were written."""
    return {
        str(path.relative_to(home)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def leftovers(hub: RunningHub) -> list[str]:
    """What is there of throw-away containers: folders, and containers or processes."""
    folders = [str(path) for path in hub.data_dir.glob("scratch/*")] + [
        str(p) for p in hub.data_dir.glob("run/verify-*")
    ]
    if hub.spawner == "docker":
        command = ["docker", "ps", "-aq", "--filter", f"label={hub.label}", "--filter", "name=kernelhub-verify-"]
        folders += subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return folders


async def test_a_notebook_that_gives_the_same_is_reproducible_and_the_home_stays_as_it_was(
    hub: RunningHub, client: HubClient, ada: Account
) -> None:
    assert (await client.request("PUT", "api/contents/work", {"type": "directory"}))[0] == 201
    code = (
        "import pathlib\nprint(pathlib.Path('data.txt').read_text())\n"
        "pathlib.Path('data.txt').write_text('spoilt')\npathlib.Path('../new.txt').touch()\n"
        "pathlib.Path('same.ipynb').unlink()\nprint(pathlib.Path('data.txt').read_text())"
    )
    await save(client, "work/same.ipynb", cell(code, printed("fine\nspoilt\n")), cell("object()", count=None))
    body = {"type": "file", "format": "text", "content": "fine"}
    assert (await client.request("PUT", "api/contents/work/data.txt", body))[0] == 201
    before = state_of(ada.home)
    assert (await badge(client, "work/same.ipynb"))["verdict"] is None
    over = await verified(client, "work/same.ipynb")
    assert (over["state"], over["verdict"], over["error"]) == ("succeeded", "reproducible", None), over
    assert state_of(ada.home) == before
    known = await badge(client, "work/same.ipynb")
    assert (known["verdict"], known["verified_at"], known["running"]) == ("reproducible", over["ended_at"], None)
    assert leftovers(hub) == []
    assert (await client.request("GET", "api/kernels"))[1] == []
    await save(client, "work/same.ipynb", cell(code + "\n", printed("fine\nspoilt\n")))
    assert (await badge(client, "work/same.ipynb"))["verdict"] is None


async def test_the_first_cell_that_differs_is_shown_with_the_difference(hub: RunningHub, client: HubClient) -> None:
    await save(
        client, "differs.ipynb", cell("x = 1"), cell("x = 3\nprint(x)", printed("2\n")), cell("1/0", printed("?"))
    )
    over = await verified(client, "differs.ipynb")
    assert (over["state"], over["verdict"]) == ("failed", "differs"), over
    assert (over["error"]["cell"], over["error"]["index"]) == (2, 1)
    assert over["error"]["difference"].splitlines()[-2:] == ["-2", "+3"]
    assert (await badge(client, "differs.ipynb"))["error"] == over["error"]
    assert leftovers(hub) == []


async def test_a_cell_that_needs_what_was_in_the_kernels_memory_fails(hub: RunningHub, client: HubClient) -> None:
    await save(client, "hidden.ipynb", cell("print(1)", printed("1\n")), cell("print(gone)", printed("2\n")))
    over = await verified(client, "hidden.ipynb")
    assert (over["state"], over["verdict"]) == ("failed", "fails"), over
    assert (over["error"]["cell"], over["error"]["ename"]) == (2, "NameError")
    assert leftovers(hub) == []


async def test_a_verification_that_is_stopped_has_no_verdict_and_leaves_nothing(
    hub: RunningHub, client: HubClient
) -> None:
    await save(client, "long.ipynb", cell("import time\ntime.sleep(100)"))
    _, begun = await client.request("POST", "api/kernelhub/verify", {"path": "long.ipynb"})
    assert (await client.request("POST", "api/kernelhub/verify", {"path": "long.ipynb"}))[0] == 409

    async def runs() -> bool:
        return bool((await client.request("GET", f"api/kernelhub/runs/{begun['id']}"))[1]["cell"])

    await eventually(runs)
    assert (await badge(client, "long.ipynb"))["running"]["id"] == begun["id"]
    await client.request("DELETE", f"api/kernelhub/runs/{begun['id']}")
    over = await ended(client, begun["id"])
    assert (over["state"], over["verdict"]) == ("stopped", "unknown")
    assert (await badge(client, "long.ipynb"))["verdict"] is None
    assert leftovers(hub) == []


async def test_what_is_saved_meanwhile_is_judged_if_it_is_the_same_code(hub: RunningHub, client: HubClient) -> None:
    wait = cell("import time\ntime.sleep(2)")
    for code, verdict in (("print(6)", "differs"), ("print(6 )", "unknown")):
        await save(client, "meanwhile.ipynb", wait, cell("print(6)"))
        _, begun = await client.request("POST", "api/kernelhub/verify", {"path": "meanwhile.ipynb"})

        async def runs(run_id: str = begun["id"]) -> bool:
            return bool((await client.request("GET", f"api/kernelhub/runs/{run_id}"))[1]["cell"])

        await eventually(runs)
        await save(client, "meanwhile.ipynb", wait, cell(code, printed("7\n")))
        assert (await badge(client, "meanwhile.ipynb"))["running"]["id"] == begun["id"]
        over = await ended(client, begun["id"])
        assert over["verdict"] == verdict, over
        known = (await badge(client, "meanwhile.ipynb"))["verdict"]
        assert known == (verdict if verdict == "differs" else None)


async def test_what_is_not_in_the_file_yet_is_judged_too(client: HubClient, ada: Account) -> None:
    """Its page was closed a moment ago, so that nobody may write the file; it is written after the verification."""
    await save(client, "unwritten.ipynb", cell("print(6)", count=None))
    session = await client.start_session("unwritten.ipynb")
    async with client.kernel(session["kernel"]["id"]) as kernel:
        await kernel.execute("print(6)")
    assert (await verified(client, "unwritten.ipynb"))["verdict"] == "reproducible"

    async def written() -> bool:
        return '"6\\n"' in (ada.home / "unwritten.ipynb").read_text()

    await eventually(written)
    assert (await badge(client, "unwritten.ipynb"))["verdict"] == "reproducible"
    await client.request("DELETE", f"api/sessions/{session['id']}")


async def test_a_verification_survives_a_hub_that_is_killed(hub: RunningHub, client: HubClient) -> None:
    await save(client, "slow.ipynb", cell("import time\ntime.sleep(2)\nprint('x')", printed("x\n")))
    _, begun = await client.request("POST", "api/kernelhub/verify", {"path": "slow.ipynb"})

    async def runs() -> bool:
        return bool((await client.request("GET", f"api/kernelhub/runs/{begun['id']}"))[1]["cell"])

    await eventually(runs)
    (hub.data_dir / "scratch" / "verify-0123456789abcdef").mkdir()
    await asyncio.to_thread(hub.kill, "hub")
    assert (await ended(client, begun["id"]))["verdict"] == "reproducible"
    assert leftovers(hub) == []


@pytest.mark.parametrize(
    ("path", "status"), [("nothing.ipynb", 404), ("text.txt", 400), ("../x.ipynb", 404), ("", 400)]
)
async def test_what_is_no_notebook_is_refused(client: HubClient, path: str, status: int) -> None:
    assert (await client.request("POST", "api/kernelhub/verify", {"path": path}))[0] == status
