"""Choices about notebook files on a whole hub, over HTTP: stripped, paired, compared, exported; pages and JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness.accounts import PASSWORD, Account, add_account
from tests.harness.client import HubClient
from tests.harness.plain_http import Answer, ask
from tests.harness.running import RunningHub, running_hub

ATTACK = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    account = add_account(hub, "ada")
    assert ask(hub.address, "/user/ada/api/contents", token=account.token).status == 200  # which makes the home
    return account


@pytest.fixture
async def browser(hub: RunningHub, ada: Account) -> AsyncIterator[HubClient]:
    async with HubClient(hub.address, ada.name) as client:
        await client.sign_in(PASSWORD)
        yield client


def notebook(*sources: str, output: str = "1\n", **metadata: Any) -> dict[str, Any]:
    shown = {"output_type": "stream", "name": "stdout", "text": output}
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "execution_count": 1, "outputs": [shown], "source": source}
        for n, source in enumerate(sources)
    ]
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": python, **metadata}, "nbformat": 4, "nbformat_minor": 5}


def save(hub: RunningHub, ada: Account, path: str, content: dict[str, Any]) -> Answer:
    body = {"type": "notebook", "format": "json", "content": content}
    return ask(hub.address, f"/user/ada/api/contents/{quote(path)}", "PUT", token=ada.token, body=body)


def get(hub: RunningHub, ada: Account, target: str) -> Answer:
    return ask(hub.address, f"/user/ada/{target}", token=ada.token)


def test_a_download_leaves_out_outputs_when_it_is_asked_to(hub: RunningHub, ada: Account) -> None:
    assert save(hub, ada, "a.ipynb", notebook("x")).status == 201
    whole = get(hub, ada, "files/a.ipynb?download=1")
    stripped = get(hub, ada, "files/a.ipynb?download=1&strip=1")
    assert whole.json()["cells"][0]["outputs"] != []
    assert stripped.json()["cells"][0]["outputs"] == []
    assert stripped.headers["content-disposition"] == whole.headers["content-disposition"]
    assert get(hub, ada, "files/a.ipynb?strip=2").status == 400


async def test_the_page_chooses_for_all_and_for_a_folder(hub: RunningHub, ada: Account, browser: HubClient) -> None:
    (ada.home / "course").mkdir()
    await post(browser, "all", {"strip": "download", "pair": ""})
    assert save(hub, ada, "b.ipynb", notebook("x")).status == 201
    assert get(hub, ada, "files/b.ipynb").json()["cells"][0]["outputs"] != []
    assert get(hub, ada, "files/b.ipynb?download=1").json()["cells"][0]["outputs"] == []
    assert get(hub, ada, "files/b.ipynb?download=1&strip=0").json()["cells"][0]["outputs"] != []

    shown = await post(browser, "folder", {"folder": "course", "strip": "save", "pair": "ipynb,py:percent"})
    assert "Chosen for this folder." in shown
    assert save(hub, ada, "course/c.ipynb", notebook("x = 1")).status == 201
    assert json.loads((ada.home / "course/c.ipynb").read_text())["cells"][0]["outputs"] == []
    assert "# %%\nx = 1\n" in (ada.home / "course/c.py").read_text()
    await post(browser, "all", {"strip": "never", "pair": ""})


async def test_the_page_refuses_what_it_does_not_offer(browser: HubClient) -> None:
    assert "not a path beneath" in await post(browser, "folder", {"folder": "../x", "strip": "save", "pair": ""}, 404)
    assert "No such directory" in await post(browser, "folder", {"folder": "none", "strip": "", "pair": "inherit"}, 404)
    assert "does not keep" in await post(browser, "all", {"strip": "", "pair": 'ipynb,"\n/../py'}, 400)
    assert "when outputs are left out" in await post(browser, "all", {"strip": "perhaps", "pair": ""}, 400)


async def post(browser: HubClient, which: str, fields: dict[str, str], status: int = 200) -> str:
    """Send one of the page's forms; gives the page that follows."""
    page = f"{browser.address}/hub/home/notebooks"
    async with browser.http.get(page) as answer:
        text = await answer.text()
        assert answer.status == 200
    token = text.split('name="_xsrf" value="')[1].split('"')[0]
    async with browser.http.post(f"{page}/{which}", data={"_xsrf": token, **fields}) as answer:
        text = await answer.text()
        assert answer.status == status, text
        return text


def test_both_sides_of_a_pair_are_told_apart_by_hash(hub: RunningHub, ada: Account) -> None:
    content = notebook("x = 1", jupytext={"formats": "ipynb,py:percent"})
    saved = save(hub, ada, "p.ipynb", content).json()
    known = get(hub, ada, "api/contents/p.ipynb?content=0&hash=1").json()
    assert known["last_modified"] == saved["last_modified"]
    text = ada.home / "p.py"
    text.write_text(text.read_text().replace("x = 1", "x = 2"))
    assert get(hub, ada, "api/contents/p.ipynb?content=0&hash=1").json()["hash"] != known["hash"]
    refused = save(hub, ada, "p.ipynb", content)
    assert (refused.status, "was changed by somebody else" in refused.message) == (409, True)
    opened = get(hub, ada, "api/contents/p.ipynb?type=notebook&content=1&hash=1").json()
    assert opened["content"]["cells"][0]["source"] == "x = 2"
    assert opened["content"]["cells"][0]["outputs"] != []
    as_notebook = get(hub, ada, "api/contents/p.py?type=notebook&content=1").json()
    assert (as_notebook["type"], as_notebook["format"]) == ("notebook", "json")
    assert as_notebook["content"]["cells"] == opened["content"]["cells"]


def test_changes_since_the_checkpoint_as_json_and_as_a_page(hub: RunningHub, ada: Account) -> None:
    save(hub, ada, "d &.ipynb", notebook("x = 1", "same"))
    assert ask(hub.address, "/user/ada/api/contents/d%20%26.ipynb/checkpoints", "POST", token=ada.token).status == 201
    save(hub, ada, "d &.ipynb", notebook(f"x = '{ATTACK}'", "same", output=ATTACK))
    query = f"path={quote('d &.ipynb')}"
    told = get(hub, ada, f"api/kernelhub/diff?{query}").json()
    assert told["comparison"]["changed"] == 2
    assert told["comparison"]["cells"][0]["lines"][0] == {"kind": "removed", "text": "x = 1"}
    page = get(hub, ada, f"diff?{query}")
    assert page.status == 200
    assert ATTACK not in page.text and "&lt;script&gt;" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert get(hub, ada, f"api/kernelhub/diff?{query}&from=file&to=file").json()["comparison"]["is_same"]


def test_what_cannot_be_compared_is_said(hub: RunningHub, ada: Account) -> None:
    (ada.home / "n.ipynb").write_text("{}")
    assert get(hub, ada, "api/kernelhub/diff?path=n.ipynb").status == 404
    assert get(hub, ada, "api/kernelhub/diff?path=n.ipynb&from=file&to=file").status == 400
    assert get(hub, ada, "api/kernelhub/diff?path=n.ipynb&from=/etc/passwd").status == 400
    assert get(hub, ada, "api/kernelhub/diff?path=../x").status == 404
    assert get(hub, ada, "api/kernelhub/diff").status == 400
    assert ask(hub.address, "/user/ada/api/kernelhub/diff?path=n.ipynb").status == 403


def test_a_notebook_is_exported_as_databricks_source_and_comes_back(hub: RunningHub, ada: Account) -> None:
    save(hub, ada, "e.ipynb", notebook("x = 1", "%sql\nSELECT 1"))
    assert get(hub, ada, "api/nbconvert").json()["databricks"] == {"output_mimetype": "text/x-python"}
    exported = get(hub, ada, "nbconvert/databricks/e.ipynb?download=true")
    assert exported.headers["content-disposition"].endswith("e.py")
    assert exported.text == (
        "# Databricks notebook source\nx = 1\n\n# COMMAND ----------\n\n# MAGIC %sql\n# MAGIC SELECT 1\n"
    )
    (ada.home / "e.py").write_text(exported.text)
    opened = get(hub, ada, "api/contents/e.py?type=notebook").json()["content"]
    assert [cell["source"] for cell in opened["cells"]] == ["x = 1", "%sql\nSELECT 1"]
    assert save(hub, ada, "e.py", opened).status == 200
    assert (ada.home / "e.py").read_text() == exported.text
