"""JupyterLab's documents, settings and layouts against a real hub: what is kept, and what belongs to one user alone.

No kernel is needed, so there is no container. One story in steps, in the order of the file. Nothing may complain in
the browser's console meanwhile.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.harness.accounts import PASSWORD, Account, add_account
from tests.harness.browser import Person
from tests.harness.console import Watch
from tests.harness.running import RunningHub, eventually, running_hub

pytestmark = pytest.mark.browser

MARKDOWN = "# Title\n\n## First part\n\nSome *text* with $x^2$.\n\n## Second part\n\n- [ ] to do\n"
CELL = {"cell_type": "code", "id": "a", "metadata": {}, "source": "1", "outputs": [], "execution_count": None}
NOTEBOOK = {"cells": [CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
FILES = {
    "notes.md": MARKDOWN,
    "table.csv": "name;height\nada;1.7\nbob;1.8\n",
    "data.json": '{"numbers": [1, 2, 3]}',
    "plan.txt": "first version\n",
    "drawing.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
    "paper.ipynb": json.dumps(NOTEBOOK),
    "folder/inside.txt": "inside",
}
HARMLESS = [
    r"404 GET .*/plan\.txt",  # JupyterLab asks after files that were open lately, one of which got another name
    r"Cannot read properties of null \(reading 'promise'\)",  # closing restored tabs; plain JupyterLab says it too
]


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process", {"KERNELHUB_START_WORKSPACE": "kernel"}) as hub:
        add_account(hub, "bob")
        yield hub


@pytest.fixture(scope="module")
def account(hub: RunningHub) -> Account:
    account = add_account(hub, "ada")
    asked = Request(f"{hub.address}/user/ada/api/contents", headers={"Authorization": f"token {account.token}"})
    urlopen(asked, timeout=10).close()  # the first use makes the home
    for name, text in FILES.items():
        file = account.home / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    owner = account.home.stat()
    for path in account.home.rglob("*"):
        os.chown(path, owner.st_uid, owner.st_gid)
    return account


@pytest.fixture(scope="module")
def ada(hub: RunningHub, account: Account, browser: Browser) -> Iterator[Person]:
    person = Person(browser, hub.address, "ada")
    person.sign_in(PASSWORD)
    yield person
    person.screenshot("lab-end")
    person.close()


@pytest.fixture(scope="module")
def watch(ada: Person) -> Watch:
    return Watch(ada.context)


@pytest.fixture
def elsewhere(hub: RunningHub, browser: Browser) -> Iterator[Callable[[str], Person]]:
    """Somebody at another browser, where nothing is remembered."""
    people: list[Person] = []

    def make(name: str) -> Person:
        people.append(Person(browser, hub.address, name))
        people[-1].sign_in(PASSWORD)
        return people[-1]

    yield make
    for person in people:
        person.close()


def listed(ada: Person, name: str) -> Locator:
    return ada.page.locator(".jp-DirListing-item:visible", has_text=re.compile(rf"^{re.escape(name)}"))


def choose(ada: Person, at: Locator, *entries: str) -> None:
    """From the context menu."""
    at.click(button="right")
    for entry in entries:
        ada.page.locator(".lm-Menu:visible .lm-Menu-itemLabel", has_text=re.compile(rf"^{entry}$")).last.click()


def dialog(ada: Person) -> Locator:
    return ada.page.locator(".jp-Dialog")


def theme(person: Person, name: str) -> None:
    expect(person.page.locator("body")).to_have_attribute("data-jp-theme-name", name, timeout=30_000)


def settings_of(person: Person, plugin: str) -> str:
    address = f"{person.address}/user/{person.name}/lab/api/settings/{plugin}"
    return str(person.context.request.get(address).json()["raw"])


def test_the_menus_have_what_has_a_meaning_here_and_nothing_else(ada: Person, watch: Watch) -> None:
    found = []
    known = {"File": "Log Out", "View": "Table of Contents", "Settings": "Settings Editor", "Help": "Licenses"}
    for title, entry in known.items():
        ada.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{title}$")).click()
        entries = ada.page.locator(".lm-Menu:visible .lm-Menu-item:not(.lm-mod-hidden) .lm-Menu-itemLabel")
        expect(entries.filter(has_text=entry)).to_have_count(1, timeout=20_000)
        found += entries.all_inner_texts()
        ada.page.keyboard.press("Escape")
        # On a busy machine it may be closed only now, and would take the next menu along.
        expect(ada.page.locator(".lm-Menu:visible")).to_have_count(0, timeout=20_000)
    dead = re.compile("Extension Manager|^Shut Down|Restart Server|Launch Classic|Plugin", re.I)
    assert [entry for entry in found if dead.search(entry)] == []
    assert ada.page.locator('.jp-SideBar [title^="Extension Manager"]').count() == 0
    assert watch.complaints() == []


def test_references_of_the_help_menu_may_be_shown_in_a_tab(ada: Person) -> None:
    ada.page.route("https://commonmark.org/**", lambda route: route.fulfill(body="<h1>All of Markdown</h1>"))
    ada.menu("Help", "Markdown Reference")
    expect(ada.page.frame_locator("iframe:visible").get_by_role("heading")).to_have_text("All of Markdown")
    ada.menu("File", "Close All Tabs")


def test_an_uploaded_file_comes_in_chunks_and_may_replace_another(
    ada: Person, account: Account, watch: Watch, tmp_path: Path
) -> None:
    file = tmp_path / "measurements.bin"
    requests: list[str] = []
    ada.page.on("request", lambda request: requests.append(request.url) if request.method == "PUT" else None)
    for data in (os.urandom(5 * 1024**2 + 7), os.urandom(2 * 1024**2)):
        file.write_bytes(data)
        with ada.page.expect_file_chooser() as chooser:
            ada.page.locator('[data-command="filebrowser:upload"], [title^="Upload Files"]').first.click()
        chooser.value.set_files(file)
        if (account.home / file.name).exists():
            dialog(ada).get_by_role("button", name="Overwrite").click()
        eventually(lambda: (account.home / file.name).is_file(), what="the file")
        eventually(lambda sent=data: (account.home / file.name).read_bytes() == sent, what="the whole file")
    expect(listed(ada, file.name)).to_have_count(1)
    assert len([url for url in requests if file.name in url]) >= 6
    assert watch.complaints() == []


def test_a_file_is_dragged_into_a_folder(ada: Person, account: Account, watch: Watch) -> None:
    listed(ada, "data.json").drag_to(listed(ada, "folder"))
    expect(listed(ada, "data.json")).to_have_count(0)
    assert (account.home / "folder/data.json").read_text() == FILES["data.json"]
    assert watch.complaints() == []


def test_a_checkpoint_brings_the_old_text_back(ada: Person, account: Account, watch: Watch) -> None:
    listed(ada, "plan.txt").dblclick()
    editor = ada.page.locator(".jp-FileEditor:visible .cm-content")
    expect(editor).to_contain_text("first version")
    ada.page.keyboard.press("Control+s")  # makes the checkpoint
    editor.click()
    ada.page.keyboard.insert_text("second version, ")
    expect(editor).to_contain_text("second version")
    ada.menu("File", "Revert Text to Checkpoint…")
    expect(dialog(ada)).to_contain_text("The checkpoint was last updated at")
    dialog(ada).get_by_role("button", name="Revert").click()
    expect(editor).to_have_text("first version")
    assert (account.home / "plan.txt").read_text() == FILES["plan.txt"]
    assert watch.complaints() == []


def test_what_changed_on_disk_is_not_overwritten_unasked(ada: Person, account: Account, watch: Watch) -> None:
    editor = ada.page.locator(".jp-FileEditor:visible .cm-content")
    editor.click()
    ada.page.keyboard.insert_text("mine ")
    (account.home / "plan.txt").write_text("somebody else's\n")
    ada.page.keyboard.press("Control+s")
    expect(dialog(ada)).to_contain_text("has changed on disk")
    dialog(ada).get_by_role("button", name="Revert").click()
    expect(editor).to_have_text("somebody else's")
    assert watch.complaints() == []


def test_a_file_is_renamed_and_duplicated(ada: Person, account: Account, watch: Watch) -> None:
    ada.menu("File", "Rename Text…")
    box = dialog(ada).locator("input")
    box.fill("Plan äöü.txt")
    dialog(ada).get_by_role("button", name="Rename").click()
    expect(ada.tab("Plan äöü.txt")).to_have_count(1)
    ada.menu("File", "Duplicate Text")
    expect(listed(ada, "Plan äöü-Copy1.txt")).to_have_count(1)
    assert (account.home / "Plan äöü.txt").exists() and not (account.home / "plan.txt").exists()
    assert watch.complaints() == []


def test_markdown_is_shown_with_mathematics_and_its_contents(ada: Person, watch: Watch) -> None:
    choose(ada, listed(ada, "notes.md"), "Open With", "Markdown Preview")
    shown = ada.page.locator(".jp-MarkdownViewer:visible")
    expect(shown.locator("h2").first).to_contain_text("First part")
    expect(shown.locator("mjx-container").first).to_be_visible(timeout=30_000)
    ada.menu("View", "Table of Contents")
    contents = ada.page.locator(".jp-TableOfContents:visible")
    expect(contents).to_contain_text("Second part")
    ada.screenshot("lab-markdown")
    ada.page.locator('.jp-SideBar .lm-TabBar-tab[title^="File Browser"]').click()
    assert watch.complaints() == []


def test_tables_json_and_drawings_are_shown(ada: Person, watch: Watch) -> None:
    listed(ada, "table.csv").dblclick()
    expect(ada.page.locator(".jp-CSVViewer:visible .lm-DataGrid")).to_be_visible()
    ada.page.locator(".jp-CSVDelimiter:visible select").select_option(label=";")
    ada.screenshot("lab-table")
    listed(ada, "drawing.svg").dblclick()
    image = ada.page.locator(".jp-ImageViewer:visible img")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.naturalWidth") == 9
    listed(ada, "folder").dblclick()
    listed(ada, "data.json").dblclick()
    expect(ada.page.locator(".jp-RenderedJSON:visible")).to_contain_text("numbers")
    ada.page.locator(".jp-BreadCrumbs-home:visible").click()
    assert watch.complaints() == []


def test_the_theme_and_a_key_binding_are_set_in_the_settings_editor(ada: Person, watch: Watch) -> None:
    ada.menu("Settings", "Theme", "JupyterLab Dark")
    theme(ada, "JupyterLab Dark")
    ada.menu("Settings", "Settings Editor")
    ada.page.get_by_role("button", name="JSON Settings Editor").click()
    ada.page.locator(".jp-PluginList-entry:visible", has_text=re.compile("^Keyboard Shortcuts")).click()
    editor = ada.page.locator(".jp-SettingsRawEditor-user:visible .cm-content")
    editor.click()
    ada.page.keyboard.press("Control+A")
    binding = {"command": "application:toggle-left-area", "keys": ["F7"], "selector": "body"}
    ada.page.keyboard.insert_text(json.dumps({"shortcuts": [binding]}))
    ada.page.keyboard.press("Control+s")
    eventually(lambda: "F7" in settings_of(ada, "@jupyterlab/shortcuts-extension:shortcuts"), what="the binding")
    eventually(lambda: "Dark" in settings_of(ada, "@jupyterlab/apputils-extension:themes"), what="the theme")
    ada.screenshot("lab-settings")
    assert watch.complaints() == []


def test_both_are_there_after_a_reload_and_in_another_browser_and_nobody_elses(
    ada: Person, elsewhere: Callable[[str], Person], watch: Watch
) -> None:
    ada.page.reload()
    ada.wait_for_lab()
    for person in (ada, elsewhere("ada")):
        theme(person, "JupyterLab Dark")
        files = person.page.locator("#filebrowser")
        expect(files).to_be_visible()
        person.page.keyboard.press("F7")
        expect(files).to_be_hidden()
        person.page.keyboard.press("F7")
        expect(files).to_be_visible()
    bob = elsewhere("bob")
    theme(bob, "JupyterLab Light")
    bob.page.keyboard.press("F7")
    expect(bob.page.locator("#filebrowser")).to_be_visible()
    assert watch.complaints(HARMLESS) == []


def test_a_settings_file_that_is_wrong_is_refused_with_a_reason(ada: Person) -> None:
    address = f"{ada.address}/user/ada/lab/api/settings/@jupyterlab/apputils-extension:themes"
    token = next(cookie["value"] for cookie in ada.context.cookies() if cookie.get("name") == "_xsrf")
    answer = ada.context.request.put(address, data={"raw": '{"theme": 7}'}, headers={"X-XSRFToken": token})
    assert answer.status == 400 and "theme" in answer.json()["message"]


def test_the_layout_comes_back_in_another_browser(
    ada: Person, elsewhere: Callable[[str], Person], watch: Watch
) -> None:
    ada.menu("File", "Close All Tabs")
    listed(ada, "notes.md").dblclick()
    expect(ada.tab("notes.md")).to_have_count(1)
    listed(ada, "table.csv").dblclick()
    expect(ada.tab("table.csv")).to_have_count(1)
    layout = f"{ada.address}/user/ada/lab/api/workspaces/default"
    eventually(lambda: "table.csv" in ada.context.request.get(layout).text(), what="the saved layout")
    other = elsewhere("ada")
    expect(other.tab("notes.md")).to_have_count(1, timeout=30_000)
    expect(other.tab("table.csv")).to_have_count(1)
    assert watch.complaints(HARMLESS) == []


def test_layouts_are_made_opened_and_deleted(ada: Person, watch: Watch) -> None:
    layouts = f"{ada.address}/user/ada/lab/api/workspaces"
    ada.menu("File", "Workspaces", "Create New Workspace…")
    dialog(ada).locator("input").fill("week-1")
    dialog(ada).get_by_role("button", name="Create").click()
    eventually(lambda: "week-1" in ada.context.request.get(layouts).text(), what="the new layout")
    ada.menu("File", "Workspaces", "Open Workspace…")
    dialog(ada).locator("select").select_option("week-1")
    dialog(ada).get_by_role("button", name="Choose").click()
    ada.page.wait_for_url("**/lab/workspaces/week-1*")
    ada.wait_for_lab()
    expect(ada.tab("notes.md")).to_have_count(0)
    listed(ada, "drawing.svg").dblclick()
    eventually(lambda: "drawing.svg" in ada.context.request.get(f"{layouts}/week-1").text(), what="the saved layout")
    ada.page.goto(f"{ada.address}/user/ada/lab")
    ada.wait_for_lab()
    expect(ada.tab("notes.md")).to_have_count(1, timeout=30_000)
    ada.page.goto(f"{ada.address}/user/ada/lab/workspaces/week-1")
    ada.wait_for_lab()
    expect(ada.tab("drawing.svg")).to_have_count(1, timeout=30_000)
    ada.page.goto(f"{ada.address}/user/ada/lab")
    ada.wait_for_lab()
    ada.menu("File", "Workspaces", "Delete Workspace…")
    dialog(ada).locator("select").select_option("week-1")
    dialog(ada).get_by_role("button", name="Choose").click()
    dialog(ada).get_by_role("button", name="Delete").click()
    eventually(lambda: "week-1" not in ada.context.request.get(layouts).text(), what="the deleted layout")
    assert watch.complaints(HARMLESS) == []


def test_the_launcher_and_the_palette_offer_no_dead_entries(ada: Person, watch: Watch) -> None:
    ada.menu("View", "Activate Command Palette")
    palette = ada.page.locator(".lm-CommandPalette:visible")
    expect(palette).to_be_visible()
    commands = palette.locator(".lm-CommandPalette-itemLabel").all_inner_texts()
    assert [
        name for name in commands if re.search("extension manager|shut down server|plugin manager", name, re.I)
    ] == []
    ada.page.keyboard.press("Escape")
    assert watch.complaints(HARMLESS) == []
