"""A person pairs a notebook in JupyterLab, edits the text elsewhere, opens a script as a notebook, reads changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import missing
from tests.harness.accounts import PASSWORD, Account, add_account
from tests.harness.browser import CHROMIUM, Person, chromium
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, eventually, running_hub

ATTACK = "<img src=x onerror=alert(1)>"
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "id": "m", "metadata": {}, "source": "# Course"},
        {"cell_type": "code", "id": "c", "metadata": {}, "execution_count": None, "outputs": [], "source": "x = 1"},
        {
            "cell_type": "code",
            "id": "d",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": "print(6 * 7)",
        },
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    account = add_account(hub, "ada")
    assert ask(hub.address, "/user/ada/api/contents", token=account.token).status == 200  # which makes the home
    return account


@pytest.fixture(scope="module")
def person(hub: RunningHub, ada: Account) -> Iterator[Person]:
    if not CHROMIUM.exists():
        missing("Chromium", "bash tests/prepare.sh")
    browser: Browser
    with chromium() as browser:
        person = Person(browser, hub.address, ada.name)
        person.sign_in(PASSWORD)
        yield person
        person.close()


def put(hub: RunningHub, ada: Account, path: str, content: dict[str, object]) -> None:
    body = {"type": "notebook", "format": "json", "content": content}
    answer = ask(hub.address, f"/user/ada/api/contents/{quote(path)}", "PUT", token=ada.token, body=body)
    assert answer.status in (200, 201), answer.text


def test_a_notebook_is_paired_in_the_menu_and_kept_in_step(hub: RunningHub, ada: Account, person: Person) -> None:
    put(hub, ada, "a.ipynb", NOTEBOOK)
    person.open_notebook("a.ipynb")
    person.menu("File", "Jupytext", "Pair Notebook with Percent Format")
    person.menu("File", "Save Notebook")
    text = ada.home / "a.py"
    eventually(text.exists, what="the text beside the notebook")
    assert "# %%\nx = 1\n" in text.read_text()
    expect(person.tab("a.ipynb")).to_be_visible()

    text.write_text(text.read_text().replace("x = 1", "x = 'from the text'"))
    person.menu("File", "Reload Notebook from Disk")
    expect(person.cells().first).to_contain_text("x = 'from the text'")
    person.screenshot("jupytext-pair")


def test_a_save_over_somebody_elses_change_is_not_silent(hub: RunningHub, ada: Account, person: Person) -> None:
    text = ada.home / "a.py"
    text.write_text(text.read_text().replace("from the text", "a colleague's"))
    person.type_in_last_cell("print('mine')")
    person.page.keyboard.press("Control+S")
    dialog = person.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("has changed on disk")
    person.screenshot("jupytext-changed")
    dialog.locator("button", has_text="Revert").click()
    expect(person.cells().first).to_contain_text("a colleague's")


def test_a_script_opens_as_a_notebook_and_is_saved_as_a_script(hub: RunningHub, ada: Account, person: Person) -> None:
    script = ada.home / "t.py"
    script.write_text("# %% [markdown]\n# # Text\n\n# %%\ny = 41 + 1\n")
    person.page.goto(f"{hub.address}/user/ada/lab?reset")
    person.wait_for_lab()
    item = person.page.locator(".jp-DirListing-item", has_text=re.compile(r"^t\.py"))
    item.click(button="right")
    person.page.locator(".lm-Menu:visible .lm-Menu-itemLabel", has_text=re.compile("^Open With$")).hover()
    person.page.locator(".lm-Menu:visible .lm-Menu-itemLabel", has_text="Jupytext Notebook").last.click()
    person.page.locator(".jp-NotebookPanel:visible").wait_for()
    expect(person.page.locator(".jp-NotebookPanel:visible h1")).to_contain_text("Text")
    person.wait_for_idle()
    person.type_in_last_cell("y = 43")
    person.page.keyboard.press("Control+S")
    eventually(lambda: "y = 43" in script.read_text(), what="the saved script")
    assert script.read_text() == "# %% [markdown]\n# # Text\n\n# %%\ny = 43\n"
    person.screenshot("jupytext-script")


def test_outputs_stay_in_the_tab_and_out_of_the_file(hub: RunningHub, ada: Account, person: Person) -> None:
    (ada.home / "s").mkdir()
    (ada.home / "s" / ".kernelhub.toml").write_text('[notebooks]\nstrip = "save"\n')
    put(hub, ada, "s/b.ipynb", NOTEBOOK)
    person.page.goto(f"{hub.address}/user/ada/lab?reset")
    person.wait_for_lab()
    person.open_notebook("s/b.ipynb")
    for number in (1, 2):
        person.menu("Run", "Run All Cells")
        expect(person.output(person.cells().last)).to_have_text("42")
        expect(person.cells().last.locator(".jp-InputPrompt")).to_have_text(f"[{2 * number}]:")
        person.menu("File", "Save Notebook")
        expect(person.page.locator("#jp-main-dock-panel .jp-mod-dirty", has_text="b.ipynb")).to_have_count(0)
        expect(person.page.locator(".jp-Dialog")).to_have_count(0)
    saved = json.loads((ada.home / "s" / "b.ipynb").read_text())
    assert [cell.get("outputs") for cell in saved["cells"]] == [None, [], []]
    expect(person.output(person.cells().last)).to_have_text("42")


def test_the_changes_since_the_checkpoint_are_a_page(hub: RunningHub, ada: Account, person: Person) -> None:
    put(hub, ada, "d.ipynb", NOTEBOOK)
    changed = json.loads(json.dumps(NOTEBOOK))
    changed["cells"][1]["source"] = f"x = 2\n# {ATTACK}"
    changed["cells"].pop(0)
    changed["cells"].append({"cell_type": "markdown", "id": "n", "metadata": {}, "source": "## New"})
    put(hub, ada, "d.ipynb", changed)
    person.page.goto(f"{hub.address}/hub/home/notebooks")
    expect(person.page.get_by_role("link", name="Changes in s/b.ipynb")).to_be_visible()
    person.screenshot("notebook-choices")
    person.page.goto(f"{hub.address}/user/ada/diff?path=d.ipynb")
    expect(person.page.locator("section.cell.changed .line.removed")).to_have_text("−x = 1")
    expect(person.page.locator("section.cell.changed .line.added")).to_have_count(2)
    expect(person.page.locator("section.cell.changed")).to_contain_text(ATTACK)
    expect(person.page.locator("section.cell.added")).to_contain_text("## New")
    expect(person.page.locator("section.cell.removed")).to_contain_text("# Course")
    person.screenshot("notebook-diff")
