"""The page of a notebook's state in a browser: hidden state is listed, Verify finds it out, the badge stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.conftest import missing
from tests.harness.accounts import Account, add_account, in_thread
from tests.harness.browser import CHROMIUM, Person, chromium
from tests.harness.client import HubClient
from tests.harness.running import RunningHub, running_hub

pytestmark = pytest.mark.browser
PATH = "plan <b>.ipynb"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    if not CHROMIUM.exists():
        missing("Chromium", "bash tests/prepare.sh")
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    return add_account(hub, "ada")


def cell(source: str, count: int | None) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": count}


async def work(hub: RunningHub, ada: Account) -> None:
    """What a morning leaves behind: a cell that was changed after others had used it, and one never run."""
    cells = [cell("tax = 3", 1), cell("print(rate * 2)", 2), cell("late = 1", None)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    async with HubClient(hub.address, ada.name, ada.token) as client:
        body = {"type": "notebook", "format": "json", "content": content}
        assert (await client.request("PUT", f"api/contents/{PATH}", body))[0] == 201
        session = await client.start_session(PATH)
        async with client.kernel(session["kernel"]["id"]) as kernel:
            await kernel.execute("rate = 3")
            await kernel.execute("print(rate * 2)")


def sources(ada: Account) -> list[str]:
    """The notebook's code. What its cells printed after the last save is added to the file when nobody has it open."""
    return [cell["source"] for cell in json.loads((ada.home / PATH).read_text())["cells"]]


def test_hidden_state_is_shown_and_verify_finds_it_out(hub: RunningHub, ada: Account) -> None:
    in_thread(work(hub, ada))
    before = sources(ada)
    with chromium() as browser:
        person = Person(browser, hub.address, "ada")
        person.sign_in(ada.password)
        page = person.page
        page.goto(f"{hub.address}/hub/home")
        page.get_by_role("link", name="hidden state").click()
        expect(page.get_by_role("heading", name=f"State of {PATH}")).to_be_visible()
        expect(page.get_by_text("It was not verified since it changed.")).to_be_visible()
        expect(page.get_by_text("Changed since it ran as In [1].")).to_be_visible()
        expect(page.get_by_text("Never run in this kernel.")).to_be_visible()
        expect(page.locator("li", has_text="in no cell any more")).to_contain_text("rate used by cell 2")
        person.screenshot("hidden-state")
        page.get_by_role("button", name="Verify").click()
        expect(page.locator("#badge .state")).to_have_text("fails", timeout=60_000)
        expect(page.locator("#badge")).to_contain_text("Cell 2: NameError: name 'rate' is not defined")
        person.screenshot("verify-fails")
        page.reload()
        expect(page.locator("#badge .state")).to_have_text("fails")
        assert [line for line in person.console if line.startswith("error") and "Content Security" in line] == []
        person.close()
    assert sources(ada) == before
