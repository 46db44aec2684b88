"""Notebook 7 against a real hub: files, a notebook that runs and is saved, a terminal, a console, an editor.

One story in steps, in the order of the file. Nothing may complain in the browser's console meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import missing
from tests.harness.accounts import PASSWORD
from tests.harness.browser import Person
from tests.harness.console import Watch
from tests.harness.containers import engine_answers
from tests.harness.running import RunningHub, eventually, running_hub

pytestmark = [pytest.mark.docker, pytest.mark.browser]


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    if not engine_answers():
        missing("a Docker Engine", "bash tests/prepare.sh")
    with running_hub("docker") as hub:
        for name in ("ada", "bob"):
            hub.cli("user", "add", name, "--password-stdin", input=PASSWORD)
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub, browser: Browser) -> Iterator[Person]:
    person = Person(browser, hub.address, "ada")
    person.sign_in(PASSWORD)
    yield person
    person.screenshot("notebook7-end")
    person.close()


@pytest.fixture(scope="module")
def watch(ada: Person) -> Watch:
    return Watch(ada.context)


def base(person: Person) -> str:
    return f"{person.address}/user/{person.name}"


def contents(person: Person, path: str) -> Any:
    answer = person.context.request.get(f"{base(person)}/api/contents/{path}")
    return answer.json()["content"] if answer.status == 200 else None


def picture(page: Page, person: Person, name: str) -> None:
    page_before, person.page = person.page, page
    person.screenshot(name)
    person.page = page_before


def idle(page: Page) -> None:
    expect(page.locator('.jp-NotebookPanel-toolbar [data-status="idle"]')).to_be_visible(timeout=60_000)


def test_a_notebook_is_made_in_the_tree_runs_is_saved_and_comes_back(ada: Person, watch: Watch) -> None:
    ada.page.goto(f"{base(ada)}/tree")
    expect(ada.page.locator(".jp-DirListing")).to_be_visible()
    ada.page.get_by_text("New", exact=True).first.click()
    with ada.context.expect_page() as opened:
        ada.page.locator(".lm-Menu-itemLabel", has_text=re.compile("Python 3")).first.click()
    page = opened.value
    idle(page)
    assert page.url.startswith(f"{base(ada)}/notebooks/Untitled.ipynb")
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.insert_text("from IPython.display import Math\nprint(6 * 7); Math('x^2')")
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-OutputArea-output").first).to_contain_text("42", timeout=30_000)
    expect(page.locator("mjx-container").first).to_be_visible(timeout=30_000)
    page.keyboard.press("Control+s")
    eventually(lambda: "42" in str(contents(ada, "Untitled.ipynb")), what="the saved output")
    picture(page, ada, "notebook7-notebook")
    page.reload()
    idle(page)
    expect(page.locator(".jp-OutputArea-output").first).to_contain_text("42")
    page.close()
    ada.page.bring_to_front()
    expect(ada.page.locator(".jp-DirListing-item", has_text="Untitled.ipynb")).to_be_visible(timeout=30_000)
    picture(ada.page, ada, "notebook7-tree")
    assert watch.complaints() == []


def test_a_terminal_is_a_shell_in_the_container(ada: Person, watch: Watch) -> None:
    ada.page.get_by_text("New", exact=True).first.click()
    with ada.context.expect_page() as opened:
        ada.page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Terminal")).first.click()
    page = opened.value
    page.wait_for_url(re.compile("/terminals/"))
    page.locator(".jp-Terminal").wait_for()
    page.locator(".jp-Terminal").click()
    page.keyboard.insert_text("echo $((6*7)) > answer.txt\n")
    page.keyboard.press("Enter")
    eventually(lambda: str(contents(ada, "answer.txt")).strip() == "42", what="the command's file")
    picture(page, ada, "notebook7-terminal")
    page.close()
    assert watch.complaints() == []


def test_a_text_file_is_edited_and_saved(ada: Person, watch: Watch) -> None:
    page = ada.context.new_page()
    page.goto(f"{base(ada)}/edit/answer.txt")
    editor = page.locator(".cm-content")
    expect(editor).to_contain_text("42", timeout=30_000)
    editor.click()
    page.keyboard.press("Control+Home")
    page.keyboard.insert_text("not ")
    page.keyboard.press("Control+s")
    eventually(lambda: str(contents(ada, "answer.txt")).strip() == "not 42", what="the saved text")
    page.close()
    assert watch.complaints() == []


def test_a_console_runs_code(ada: Person, watch: Watch) -> None:
    page = ada.context.new_page()
    page.goto(f"{base(ada)}/consoles/scratch")
    page.get_by_role("dialog").get_by_role("button", name="Select").click()  # which kernel
    expect(page.locator(".jp-CodeConsole-content")).to_contain_text("IPython", timeout=60_000)
    page.locator(".jp-CodeConsole-input .cm-content").click()
    page.keyboard.insert_text("6 * 7")
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-CodeConsole-content .jp-OutputArea-output").last).to_contain_text("42", timeout=60_000)
    page.close()
    assert watch.complaints() == []


def test_the_hubs_pages_are_in_the_file_menu(ada: Person, watch: Watch) -> None:
    ada.page.locator(".lm-MenuBar-itemLabel", has_text="File").click()
    expect(ada.page.locator(".lm-Menu-itemLabel:visible", has_text="Log Out")).to_be_visible()
    with ada.context.expect_page() as opened:
        ada.page.locator(".lm-Menu-itemLabel", has_text="Hub Control Panel").click()
    opened.value.wait_for_url(f"{ada.address}/hub/home")
    for name, path in (("Notebook", "tree"), ("Classic Notebook", "nbclassic/tree")):
        link = opened.value.get_by_role("link", name=name, exact=True)
        assert link.get_attribute("href") == f"/user/ada/{path}"
    opened.value.close()
    assert watch.complaints() == []


def test_the_theme_chosen_here_is_labs_too_and_nobody_elses(ada: Person, hub: RunningHub, browser: Browser) -> None:
    ada.page.locator(".lm-MenuBar-itemLabel", has_text="Settings").click()
    ada.page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Theme$")).hover()
    ada.page.locator(".lm-Menu-itemLabel", has_text=re.compile("^JupyterLab Dark$")).click()
    expect(ada.page.locator("body")).to_have_attribute("data-jp-theme-name", "JupyterLab Dark", timeout=30_000)
    page = ada.context.new_page()
    page.goto(f"{base(ada)}/lab")
    expect(page.locator("body")).to_have_attribute("data-jp-theme-name", "JupyterLab Dark", timeout=30_000)
    page.close()
    bob = Person(browser, hub.address, "bob")
    bob.sign_in(PASSWORD)
    bob.page.goto(f"{base(bob)}/tree")
    expect(bob.page.locator("body")).to_have_attribute("data-jp-theme-name", "JupyterLab Light", timeout=30_000)
    bob.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("bob/tree", 403),
        ("bob/nbclassic/tree", 403),
        ("bob%2F..%2Fada/tree", 400),
        ("ada/tree/no-such-folder", 404),
        ("ada/notebooks/no-such.ipynb", 404),
        ("ada/notebooks/..%2F..%2Fetc%2Fpasswd", 404),
        ("ada/nbclassic/edit/no-such.txt", 404),
    ],
)
def test_what_is_not_ones_own_or_not_there_is_refused(ada: Person, path: str, status: int) -> None:
    answer = ada.context.request.get(f"{ada.address}/user/{path}", headers={"Accept": "text/html"})
    assert answer.status == status, answer.text()[:300]


def test_all_files_of_the_front_end_are_at_one_address_and_kept_for_long(ada: Person) -> None:
    page = ada.context.request.get(f"{base(ada)}/tree").text()
    script = re.search(r'src="(/static/notebook/main[^"]+)"', page)
    assert script is not None
    answer = ada.context.request.get(ada.address + script[1])
    assert answer.status == 200 and "immutable" in answer.headers["cache-control"]


def test_log_out_ends_the_sign_in(ada: Person) -> None:
    ada.page.goto(f"{base(ada)}/tree")
    ada.page.locator(".lm-MenuBar-itemLabel", has_text="File").click()
    ada.page.locator(".lm-Menu-itemLabel:visible", has_text="Log Out").click()
    ada.page.wait_for_url(re.compile("/hub/login"))
    ada.page.goto(f"{base(ada)}/tree")
    ada.page.wait_for_url(re.compile(r"/hub/login\?next=/user/ada/tree"))
