"""What people do with kernels in JupyterLab: menus, panels, consoles, terminals, the debugger, widgets, exports.

One story in steps, in the order of the file, with real containers. Nothing may complain in the browser's console.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.conftest import missing
from tests.harness.accounts import PASSWORD, Account, add_account
from tests.harness.browser import Person
from tests.harness.console import Watch
from tests.harness.containers import engine_answers
from tests.harness.running import RunningHub, eventually, running_hub

pytestmark = [pytest.mark.docker, pytest.mark.browser]
IPYMPL = Path(__file__).parents[2] / ".cache" / "ipympl"
"""The package as pip installs it: its front end for the hub, its Python for the kernel (tests/prepare.sh)."""
SITE_PACKAGES = ".local/lib/python{}.{}/site-packages"

NOTEBOOK = [
    ("markdown", "# Numbers\n\n## Squares"),
    ("code", "def square(number):\n    result = number * number\n    return result"),
    ("code", "square(12)"),
    ("code", "counter = globals().get('counter', 0) + 1\nprint('counter is', counter)"),
]


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    if not engine_answers():
        missing("a Docker Engine", "bash tests/prepare.sh")
    if not (IPYMPL / "share").is_dir():
        missing("the package ipympl", "bash tests/prepare.sh")
    with running_hub("docker", {"JUPYTER_PATH": str(IPYMPL / "share" / "jupyter")}) as hub:
        yield hub


@pytest.fixture(scope="module")
def account(hub: RunningHub) -> Account:
    account = add_account(hub, "ada")
    asked = Request(f"{hub.address}/user/ada/api/contents", headers={"Authorization": f"token {account.token}"})
    urlopen(asked, timeout=10).close()  # the first use makes the home
    cells = [
        {"cell_type": kind, "id": f"c{n}", "metadata": {}, "source": text} for n, (kind, text) in enumerate(NOTEBOOK)
    ]
    for cell in cells[1:]:
        cell |= {"outputs": [], "execution_count": None}
    document = {"cells": cells, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}}}
    write(account, "numbers.ipynb", json.dumps({**document, "nbformat": 4, "nbformat_minor": 5}))
    return account


@pytest.fixture(scope="module")
def ada(hub: RunningHub, account: Account, browser: Browser) -> Iterator[Person]:
    person = Person(browser, hub.address, "ada")
    person.sign_in(PASSWORD)
    yield person
    person.screenshot("lab-kernels-end")
    person.close()


@pytest.fixture(scope="module")
def watch(ada: Person) -> Watch:
    return Watch(ada.context)


def write(account: Account, path: str, text: str) -> None:
    """A file in a home, the owner's."""
    file = account.home / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    own(account)


def own(account: Account) -> None:
    owner = account.home.stat()
    for path in account.home.rglob("*"):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def dialog(ada: Person) -> Locator:
    return ada.page.locator(".jp-Dialog")


def ran(cell: Locator, count: int | None = None) -> None:
    """Wait until a cell shows the number of its execution."""
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(rf"\[{count or '[0-9]+'}\]:"), timeout=30_000)


def panel_of(ada: Person, title: str) -> Locator:
    """Show the panel of a side bar by its tab; gives the panel."""
    tab = ada.page.locator(f'.jp-SideBar .lm-TabBar-tab[title^="{title}"]')
    if "lm-mod-current" not in (tab.get_attribute("class") or ""):
        tab.click()
    return ada.page.locator(f'[id="{tab.get_attribute("data-id")}"]')


def restart(ada: Person, *entry: str) -> None:
    ada.menu(*entry)
    dialog(ada).get_by_role("button", name="Confirm Kernel Restart").click()
    expect(dialog(ada)).to_have_count(0)


def test_restart_and_run_all_runs_every_cell_on_a_fresh_kernel(ada: Person, watch: Watch) -> None:
    ada.open_notebook("numbers.ipynb")
    for _ in range(2):
        ada.menu("Run", "Run All Cells")
    expect(ada.output(ada.cells().last)).to_have_text("counter is 2")
    restart(ada, "Kernel", "Restart Kernel and Run All Cells…")
    expect(ada.output(ada.cells().last)).to_have_text("counter is 1", timeout=30_000)
    ran(ada.cells().last, 3)
    restart(ada, "Kernel", "Restart Kernel and Clear Outputs of All Cells…")
    expect(ada.output(ada.cells().last)).to_have_count(0)
    ada.wait_for_idle()
    assert watch.complaints() == []


def test_a_cell_is_interrupted_from_the_menu(ada: Person, watch: Watch) -> None:
    ada.menu("Run", "Run All Cells")
    ran(ada.cells().last, 3)
    ada.page.locator(".jp-NotebookPanel:visible .jp-CodeCell .jp-InputPrompt").last.click()
    ada.page.keyboard.press("b")
    cell = ada.run("import time\ntime.sleep(600)", wait=False)
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[*]:")
    ada.menu("Kernel", "Interrupt Kernel")
    expect(ada.output(cell)).to_contain_text("KeyboardInterrupt")
    assert watch.complaints() == []


def test_tab_completes_and_the_inspector_and_shift_tab_explain(ada: Person, watch: Watch) -> None:
    ada.type_in_last_cell("squ")
    # JupyterLab waits one second for the kernel, and the first completion loads jedi: people press Tab again.
    eventually(lambda: completed(ada), 30.0, "the completion")
    ada.page.keyboard.press("Shift+Tab")
    expect(ada.page.locator(".jp-Tooltip")).to_contain_text("square(number)")
    ada.page.keyboard.press("Escape")
    ada.menu("Help", "Show Contextual Help")
    ada.tab("numbers.ipynb").click()
    ada.type_in_last_cell("sorted")
    expect(ada.page.locator(".jp-Inspector")).to_contain_text("Return a new list", timeout=15_000)
    ada.page.locator(".lm-TabBar-tab", has_text="Contextual Help").locator(".lm-TabBar-tabCloseIcon").click()
    assert watch.complaints() == []


def completed(ada: Person) -> bool:
    editor, offered = ada.cells().last.locator(".cm-content"), ada.page.locator(".jp-Completer-item:visible")
    ada.page.keyboard.press("Tab")
    with contextlib.suppress(PlaywrightTimeout):
        offered.or_(editor.get_by_text("square", exact=True)).first.wait_for(timeout=2_000)
    if offered.count():
        offered.filter(has_text="square").first.click()
    return editor.inner_text() == "square"


def test_magics_run(ada: Person, watch: Watch) -> None:
    expect(ada.output(ada.run("%timeit -n1 -r1 pass"))).to_contain_text("per loop")
    expect(ada.output(ada.run("%%bash\necho from-bash $((6*7))"))).to_have_text("from-bash 42")
    expect(ada.output(ada.run("!pwd"))).to_have_text("/home/jovyan")
    assert watch.complaints() == []


def test_a_breakpoint_is_hit_and_its_variables_are_shown(ada: Person, watch: Watch) -> None:
    page = ada.page
    page.locator(".jp-NotebookPanel:visible .jp-DebuggerBugButton").click()
    sidebar = panel_of(ada, "Debugger")
    expect(sidebar).to_be_visible()
    cell = ada.cells().first
    cell.locator(".cm-content").click()
    cell.locator(".cm-breakpoint-gutter .cm-gutterElement:visible").nth(1).click()
    expect(sidebar.locator(".jp-DebuggerBreakpoint")).to_have_count(1)
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    ran(cell)
    caller = ada.cells().nth(1)
    caller.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    expect(sidebar.locator(".jp-DebuggerCallstackFrame").first).to_contain_text("square", timeout=30_000)
    expect(sidebar.locator(".jp-DebuggerVariables")).to_contain_text("number")
    expect(sidebar.locator(".jp-DebuggerVariables")).to_contain_text("12")
    ada.screenshot("lab-debugger")
    sidebar.locator('[data-command="debugger:next"]').click()
    expect(sidebar.locator(".jp-DebuggerVariables")).to_contain_text("144")
    sidebar.locator('[data-command="debugger:continue"]').click()
    expect(ada.output(caller)).to_contain_text("144", timeout=30_000)
    ran(caller)
    page.locator(".jp-NotebookPanel:visible .jp-DebuggerBugButton").click()
    ada.wait_for_idle()
    assert watch.complaints() == []


def test_moving_a_slider_calls_python(ada: Person, watch: Watch) -> None:
    cell = ada.run(
        "import ipywidgets as widgets\n"
        "slider, label = widgets.IntSlider(value=3), widgets.Label('nothing yet')\n"
        "slider.observe(lambda change: setattr(label, 'value', f'squared: {change.new ** 2}'), names='value')\n"
        "widgets.VBox([slider, label])"
    )
    handle = cell.locator(".noUi-handle")
    handle.focus()
    for _ in range(4):
        ada.page.keyboard.press("ArrowRight")
    expect(cell.locator(".widget-label", has_text="squared")).to_have_text("squared: 49", timeout=15_000)
    expect(ada.output(ada.run("print(slider.value)"))).to_have_text("7")
    assert watch.complaints() == []


def test_a_figure_of_ipympl_is_drawn_and_moved(ada: Person, account: Account, watch: Watch) -> None:
    version = ada.run("import sys; print(*sys.version_info[:2])")
    numbers = ada.output(version).inner_text().split()
    # As `%pip install ipympl` leaves it, without asking an index.
    for folder in IPYMPL.glob("ipympl*"):
        shutil.copytree(folder, account.home / SITE_PACKAGES.format(*numbers) / folder.name)
    own(account)
    restart(ada, "Kernel", "Restart Kernel…")
    ada.wait_for_idle()
    cell = ada.run(
        "%matplotlib widget\nimport matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\naxes.plot([1, 4, 9]);"
    )
    canvas = cell.locator(".jupyter-matplotlib-canvas-div canvas").first
    expect(canvas).to_be_visible(timeout=30_000)
    canvas.scroll_into_view_if_needed()
    before = ada.output(ada.run("print(axes.get_xlim())")).inner_text()
    cell.scroll_into_view_if_needed()
    cell.locator(".jupyter-matplotlib-toolbar button[title*='pan' i]").first.click(force=True)
    box = canvas.bounding_box()
    assert box is not None
    ada.page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    ada.page.mouse.down()
    ada.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6, steps=5)
    ada.page.mouse.up()
    ada.screenshot("lab-ipympl")
    after = eventually(lambda: changed(ada, before), what="the moved axes")
    assert after != before
    assert watch.complaints() == []


def changed(ada: Person, before: str) -> str | None:
    after = ada.output(ada.run("print(axes.get_xlim())")).inner_text()
    return after if after != before else None


def test_a_console_shares_the_notebooks_kernel(ada: Person, watch: Watch) -> None:
    ada.run("shared = 'one kernel'")
    ada.menu("File", "New Console for Notebook")
    console = ada.page.locator(".jp-CodeConsole:visible")
    console.locator(".jp-CodeConsole-input .cm-content").click()
    ada.page.keyboard.insert_text("shared.upper()")
    ada.page.keyboard.press("Shift+Enter")
    expect(console.locator(".jp-OutputArea-output").last).to_contain_text("ONE KERNEL")
    assert watch.complaints() == []


def test_a_terminal_is_opened_from_the_menu(ada: Person, account: Account, watch: Watch) -> None:
    ada.menu("File", "New", "Terminal")
    terminal = ada.page.locator(".jp-Terminal:visible")
    terminal.locator(".xterm-screen").click()
    expect(terminal.locator(".xterm-rows, canvas").first).to_be_visible()
    eventually(lambda: typed(ada, account), what="the command's file")
    assert watch.complaints() == []


def typed(ada: Person, account: Account) -> bool:
    ada.page.keyboard.type("echo $((6*7)) > answer.txt\n")
    answer = account.home / "answer.txt"
    return answer.exists() and answer.read_text().strip() == "42"


def test_the_sessions_panel_lists_and_shuts_down(ada: Person, watch: Watch) -> None:
    panel = panel_of(ada, "Running Terminals and Kernels")
    expect(panel).to_contain_text("numbers.ipynb")
    expect(panel).to_contain_text("terminals/1")
    ada.screenshot("lab-sessions")
    terminal = panel.locator(".jp-RunningSessions-item", has_text="terminals/1")
    terminal.hover()
    terminal.locator(".jp-RunningSessions-itemShutdown").click()
    expect(panel.locator(".jp-RunningSessions-item", has_text="terminals/1")).to_have_count(0, timeout=15_000)
    panel_of(ada, "File Browser")
    assert watch.complaints() == []


def test_the_kernel_is_shut_down_changed_and_reconnected(ada: Person, watch: Watch) -> None:
    notebook = ada.page.locator(".jp-NotebookPanel:visible")
    ada.tab("numbers.ipynb").first.click()
    ada.menu("Kernel", "Reconnect to Kernel")
    ada.wait_for_idle()
    expect(ada.output(ada.run("print(shared)"))).to_have_text("one kernel")
    ada.menu("Kernel", "Shut Down Kernel")
    expect(notebook.locator(".jp-KernelName")).to_have_text("No Kernel")
    ada.menu("Kernel", "Change Kernel…")
    dialog(ada).locator("select").select_option(label="Python 3 (ipykernel)")
    dialog(ada).get_by_role("button", name="Select").click()
    ada.wait_for_idle()
    expect(ada.output(ada.run("print('shared' in globals())"))).to_have_text("False")
    assert watch.complaints() == []


@pytest.mark.parametrize(
    ("entry", "name", "within"),
    [
        ("HTML", "numbers.html", '<h2 id="Squares">'),
        ("Markdown", "numbers.md", "# Numbers"),
        ("Executable Script", "numbers.py", "def square(number):"),
        ("Reveal.js Slides", "numbers.slides.html", "reveal"),
    ],
)
def test_the_notebook_is_exported(ada: Person, watch: Watch, entry: str, name: str, within: str) -> None:
    with ada.context.expect_event("download", timeout=60_000) as download:
        ada.menu("File", "Save and Export Notebook As", entry)
        if entry == "HTML":
            dialog(ada).get_by_role("button", name="Ok").click()
    assert download.value.suggested_filename == name
    assert within in download.value.path().read_text()
    assert watch.complaints() == []


def test_the_pages_in_the_open_in_menu_show_the_same_notebook(ada: Person) -> None:
    for entry, there in (("Notebook", "notebooks"), ("NbClassic", "nbclassic/notebooks")):
        with ada.context.expect_page() as opened:
            ada.menu("Open in\\.\\.\\.", entry)
        page: Page = opened.value
        page.wait_for_url(f"{ada.address}/user/ada/{there}/numbers.ipynb")
        expect(page.locator("body")).to_contain_text("square", timeout=30_000)
        page.close()
