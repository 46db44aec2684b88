"""Notebook 7: a cell runs on when its tab is closed, its browser is killed or the network is gone, and nothing is lost.

The same with JupyterLab: test_unwatched.py; with VS Code: test_unwatched_vscode.py. The browser reaches the hub through
a network that fails when a test wants it to.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.faults.harness.fault_proxy import FaultProxy
from tests.harness.accounts import PASSWORD, Account, add_account
from tests.harness.browser import Person, doomed_browser
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, eventually, running_hub

pytestmark = [pytest.mark.browser]

LINES = 16
CODE = f"import time\nfor i in range({LINES}):\n    print('line', i)\n    time.sleep(0.25)"
EMPTY = {"type": "file", "format": "text", "content": ""}
ALL_LINES = "".join(f"line {i}\n" for i in range(LINES))
WAITS = (
    "import pathlib, time\nprint('so far')\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)\nprint('the rest')"
)


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def network(hub: RunningHub) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", hub.port)) as network:
        yield network


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


@pytest.fixture(scope="module")
def person(network: FaultProxy, ada: Account, browser: Browser) -> Iterator[Person]:
    person = Person(browser, network.address, "ada")
    enter(person)
    yield person
    person.close()


def enter(person: Person) -> None:
    """Sign in, and leave JupyterLab, which is not meant here."""
    person.sign_in(PASSWORD, expect_lab=False)
    person.page.wait_for_url("**/user/ada/**", wait_until="commit")
    person.page.goto("about:blank")


@pytest.fixture
def tab(person: Person) -> Iterator[Page]:
    tab = person.context.new_page()
    yield tab
    if not tab.is_closed():
        tab.screenshot(path=f"tests/artefacts/unwatched-{tab.url.rsplit('/', 1)[-1]}.png")
    for page in person.context.pages[1:]:
        page.close()


def save(hub: RunningHub, ada: Account, name: str, code: str) -> Path:
    """A notebook of one cell, as a client saves it; gives its file."""
    cell: dict[str, Any] = {"cell_type": "code", "id": "only", "metadata": {}, "source": code, "outputs": []}
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    content = {"cells": [cell | {"execution_count": None}], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    body = {"type": "notebook", "format": "json", "content": content}
    assert ask(hub.address, f"/user/ada/api/contents/{name}", "PUT", token=ada.token, body=body).status == 201
    return ada.home / name


def text_in(file: Path) -> str:
    """What the only cell printed, as the file has it."""
    notebook = json.loads(file.read_text())
    nbformat.validate(notebook)
    return "".join("".join(output["text"]) for output in notebook["cells"][0]["outputs"])


def open_in(tab: Page, address: str, name: str) -> Locator:
    """Open a notebook in Notebook 7; gives its cell."""
    tab.goto(f"{address}/user/ada/notebooks/{name}")
    cell = tab.locator(".jp-CodeCell").first
    expect(cell.locator(".cm-content")).to_be_visible(timeout=60_000)
    return cell


def begin(tab: Page, address: str, name: str, first: str) -> Locator:
    """Open a notebook and run its cell, until it has printed `first`; gives the cell."""
    cell = open_in(tab, address, name)
    idle(tab)
    prompt = cell.locator(".jp-InputPrompt")
    while prompt.inner_text() == "[ ]:":  # for a moment after its kernel is idle, Notebook 7 does nothing when told to
        tab.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
        tab.locator(".lm-Menu-itemLabel:visible", has_text=re.compile("Do not Advance$")).click()
        with contextlib.suppress(AssertionError):
            expect(prompt).not_to_have_text("[ ]:", timeout=2000)
    expect(output(cell)).to_contain_text(first, timeout=30_000)
    return cell


def idle(tab: Page) -> None:
    expect(tab.locator('.jp-NotebookPanel-toolbar [data-status="idle"]')).to_be_visible(timeout=60_000)


def output(cell: Locator) -> Locator:
    return cell.locator(".jp-OutputArea-output").first


def shows_all(cell: Locator, text: str = ALL_LINES) -> None:
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[1]:", timeout=60_000)
    expect(output(cell)).to_have_text(text.strip(), use_inner_text=True, timeout=60_000)


def is_saved(cell: Locator, file: Path, text: str = ALL_LINES) -> None:
    """Whether a change is saved, without any question, and the outputs with it."""
    cell.locator(".cm-line").last.click()
    expect(cell.locator(".cm-focused")).to_be_visible()
    cell.page.keyboard.press("Control+End")
    cell.page.keyboard.insert_text("  # seen")
    expect(cell.locator(".cm-content")).to_contain_text("# seen")
    cell.page.get_by_role("button", name="Save and create checkpoint").click()
    eventually(lambda: "# seen" in file.read_text(), 30, "the saved change")
    assert text_in(file) == text
    expect(cell.page.locator(".jp-Dialog")).to_have_count(0)


def test_a_closed_tabs_cell_is_complete_on_the_disk_and_in_the_next_tab(
    hub: RunningHub, ada: Account, person: Person, tab: Page
) -> None:
    file = save(hub, ada, "closed.ipynb", CODE)
    begin(tab, person.address, "closed.ipynb", "line 2")
    tab.close()
    eventually(lambda: text_in(file) == ALL_LINES, 60, "all lines in the file")
    cell = open_in(person.context.new_page(), person.address, "closed.ipynb")
    shows_all(cell)
    is_saved(cell, file)


def test_a_browser_that_was_killed_finds_what_there_is_so_far_and_after_the_end_everything(
    hub: RunningHub, ada: Account, person: Person, tab: Page, browser: Browser
) -> None:
    file = save(hub, ada, "killed.ipynb", WAITS)
    with doomed_browser(browser) as (doomed, kill):
        victim = Person(doomed, person.address, "ada")
        enter(victim)
        begin(victim.page, person.address, "killed.ipynb", "so far")
        kill()
    cell = open_in(tab, person.address, "killed.ipynb")
    expect(output(cell)).to_have_text("so far", use_inner_text=True)
    assert ask(hub.address, "/user/ada/api/contents/go", "PUT", token=ada.token, body=EMPTY).status == 201
    idle(tab)
    tab.get_by_role("button", name="Save and create checkpoint").click()
    expect(tab.locator(".jp-Dialog")).to_have_count(0)
    cell = open_in(tab, person.address, "killed.ipynb")
    shows_all(cell, "so far\nthe rest\n")
    is_saved(cell, file, "so far\nthe rest\n")


def test_a_tab_whose_network_was_gone_has_everything_and_is_saved(
    hub: RunningHub, ada: Account, network: FaultProxy, person: Person, tab: Page
) -> None:
    """It asks again only after 10 to 30 seconds."""
    file = save(hub, ada, "network.ipynb", CODE)
    cell = begin(tab, person.address, "network.ipynb", "line 2")
    network.refuse()
    network.cut(reset=True)
    tab.wait_for_timeout(5000)
    network.start()
    shows_all(cell)
    is_saved(cell, file)
