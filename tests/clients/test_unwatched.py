"""JupyterLab: a cell runs on when its window is closed, and its outputs are there in the next one, whoever opens it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import nbformat
import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import missing
from tests.harness.accounts import PASSWORD, Account, add_account
from tests.harness.browser import Person
from tests.harness.containers import engine_answers
from tests.harness.running import RunningHub, eventually, running_hub

pytestmark = [pytest.mark.docker, pytest.mark.browser]
CODE = "import time\nfor i in range(24):\n    print('line', i)\n    time.sleep(0.25)"
ALL_LINES = "".join(f"line {i}\n" for i in range(24))


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    if not engine_answers():
        missing("a Docker Engine", "bash tests/prepare.sh")
    with running_hub("docker") as hub:
        yield hub


@pytest.fixture(scope="module")
def account(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


def save(account: Account, hub: RunningHub, path: str, code: str) -> Path:
    """A notebook of one cell, as a client saves it; gives its file."""
    cell: Any = {
        "cell_type": "code",
        "id": "only",
        "metadata": {},
        "source": code,
        "outputs": [],
        "execution_count": None,
    }
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    content = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    request = Request(
        f"{hub.address}/user/ada/api/contents/{path}",
        json.dumps({"type": "notebook", "format": "json", "content": content}).encode(),
        {"Authorization": f"token {account.token}", "Content-Type": "application/json"},
        method="PUT",
    )
    urlopen(request, timeout=20).close()
    return account.home / path


def outputs(file: Path) -> list[Any]:
    notebook = json.loads(file.read_text())
    nbformat.validate(notebook)
    result: list[Any] = notebook["cells"][0]["outputs"]
    return result


def lines(file: Path) -> str:
    return "".join("".join(output["text"]) for output in outputs(file))


def run_and_close(hub: RunningHub, browser: Browser, path: str) -> None:
    """Run the notebook's cell in JupyterLab, and close the window when the first lines are there."""
    person = Person(browser, hub.address, "ada")
    person.sign_in(PASSWORD)
    person.open_notebook(path)
    person.cells().first.locator(".cm-content").click()
    person.page.keyboard.press("Control+Enter")
    person.output(person.cells().first).get_by_text("line 2").wait_for()
    person.page.close()
    person.close()


def test_a_closed_windows_cell_is_complete_on_the_disk_and_in_the_next_window(
    hub: RunningHub, account: Account, browser: Browser
) -> None:
    file = save(account, hub, "closed.ipynb", CODE)
    run_and_close(hub, browser, "closed.ipynb")
    eventually(lambda: lines(file) == ALL_LINES, 60, "all lines in the file")
    fresh = Person(browser, hub.address, "ada")
    fresh.sign_in(PASSWORD)
    fresh.open_notebook("closed.ipynb")
    assert fresh.output(fresh.cells().first).inner_text().strip() == ALL_LINES.strip()
    expect(fresh.cells().first.locator(".jp-InputPrompt")).to_have_text("[1]:")
    fresh.page.keyboard.press("Control+s")  # no dialog says that the file changed on the disk
    expect(fresh.page.locator(".jp-mod-dirty")).to_have_count(0)
    expect(fresh.page.locator(".jp-Dialog")).to_have_count(0)
    assert lines(file) == ALL_LINES
    fresh.close()


def test_what_found_no_cell_is_on_the_page_and_can_be_downloaded(
    hub: RunningHub, account: Account, browser: Browser
) -> None:
    save(account, hub, "changed.ipynb", CODE)
    run_and_close(hub, browser, "changed.ipynb")
    save(account, hub, "changed.ipynb", "print('rewritten meanwhile')")
    person = Person(browser, hub.address, "ada")
    person.sign_in(PASSWORD)
    listed = person.page.locator("li", has_text="changed.ipynb")
    deadline = time.monotonic() + 60
    person.page.goto(f"{hub.address}/hub/home")
    person.page.get_by_role("link", name="Results you missed").click()
    while not listed.count() and time.monotonic() < deadline:
        person.page.wait_for_timeout(500)
        person.page.reload()
    expect(listed).to_contain_text("The cell's code was changed")
    person.screenshot("missed-results")
    with person.page.expect_download() as download:
        listed.get_by_role("link", name="Download").click()
    got = Path(str(download.value.path()))
    assert download.value.suggested_filename == "changed-missed.ipynb"
    assert lines(got) == ALL_LINES
    listed.get_by_role("button", name="Delete").click()
    person.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(person.page.get_by_role("status")).to_contain_text("deleted")
    expect(listed).to_have_count(0)
    person.close()
