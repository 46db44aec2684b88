"""What a new user must be able to do, from the first link to signing out, in a real browser.

One story in steps: each test goes on where the one before it ended, in the order of the file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.harness.browser import ARTEFACTS, Person
from tests.harness.containers import containers
from tests.harness.running import RunningHub, eventually

pytestmark = [pytest.mark.docker, pytest.mark.browser]
BACKEND = """
import zipfile

def build_wheel(folder, *_):
    name = "greeting-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("greeting.py", "WORD = 'hello'")
        wheel.writestr("greeting-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: greeting\\nVersion: 1\\n")
        wheel.writestr("greeting-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n")
        wheel.writestr("greeting-1.dist-info/RECORD", "")
    return name
"""
"""A package that pip can build without asking any index."""
PASSWORD = "seven otters juggle lanterns"


@pytest.fixture(scope="module")
def ada(hub: RunningHub, browser: Browser) -> Iterator[Person]:
    """An ordinary user, added by command, at a browser that stays open for the whole story."""
    hub.cli("user", "add", "ada", "--password-stdin", input=PASSWORD)
    person = Person(browser, hub.address, "ada")
    yield person
    person.screenshot("story-end")
    person.close()


def test_the_link_makes_the_first_administrator_who_lands_in_jupyterlab(
    hub: RunningHub, person: Callable[[str], Person]
) -> None:
    assert hub.setup_link is not None
    root = person("root1")
    root.page.goto(hub.setup_link)
    root.screenshot("setup")
    root.page.get_by_label("User name").fill("root1")
    root.page.get_by_label(re.compile("^Password")).first.fill(PASSWORD)
    root.page.get_by_label(re.compile("again", re.I)).fill(PASSWORD)
    root.page.get_by_role("button", name=re.compile("administrator", re.I)).click()
    root.wait_for_lab()
    root.prove_presence(PASSWORD, "/hub/admin/people")
    expect(root.page.get_by_text("root1").first).to_be_visible()
    root.screenshot("admin")


def test_the_link_works_once(hub: RunningHub, person: Callable[[str], Person]) -> None:
    assert hub.setup_link is not None
    other = person("other")
    answer = other.page.goto(hub.setup_link)
    assert answer is not None and answer.status in (403, 404, 410)


def test_an_administrator_invites_a_user_who_sets_a_password_and_has_jupyterlab(
    hub: RunningHub, person: Callable[[str], Person]
) -> None:
    root = person("root1")
    root.sign_in(PASSWORD)
    root.prove_presence(PASSWORD, "/hub/admin/people")
    root.page.get_by_label("User name").fill("bob")
    root.page.get_by_role("button", name=re.compile("add", re.I)).click()
    link = re.search(r"http\S+/hub/invitation/[A-Za-z0-9_-]+", root.page.content())
    assert link is not None
    bob = person("bob")
    bob.page.goto(link[0])
    bob.page.get_by_label(re.compile("^Password")).first.fill(PASSWORD)
    bob.page.get_by_label(re.compile("again", re.I)).fill(PASSWORD)
    bob.page.get_by_role("button").first.click()
    bob.wait_for_lab()


def test_signing_in_opens_jupyterlab_without_waiting_for_a_container(ada: Person) -> None:
    ada.sign_in(PASSWORD)
    assert re.search(r"/user/ada/lab", ada.page.url)
    expect(ada.page.locator('.jp-LauncherCard[data-category="Notebook"]').first).to_be_visible()
    ada.screenshot("launcher")


def test_cells_show_text_an_error_a_plot_and_a_progress_bar(ada: Person) -> None:
    ada.new_notebook()
    cell = ada.run("print('hello, ada'); x = 42")
    expect(ada.output(cell)).to_contain_text("hello, ada")
    cell = ada.run("1/0")
    expect(ada.output(cell)).to_contain_text("ZeroDivisionError: division by zero")
    expect(ada.output(cell)).to_contain_text("Traceback")
    cell = ada.run("import matplotlib.pyplot as plt\nplt.plot([1, 4, 9]);")
    image = cell.locator(".jp-OutputArea-output img")
    expect(image).to_be_visible(timeout=30_000)
    assert image.evaluate("image => image.naturalWidth") > 100
    cell = ada.run("from tqdm.auto import tqdm\nfor _ in tqdm(range(30)): pass")
    expect(ada.output(cell).first).to_contain_text("30/30", timeout=15_000)
    ada.screenshot("cells")


def test_input_asks_and_gets_its_answer(ada: Person) -> None:
    cell = ada.run("name = input('Who? '); print('it is', name)", wait=False)
    box = cell.locator(".jp-Stdin-input")
    box.fill("lovelace")
    box.press("Enter")
    expect(ada.output(cell).last).to_contain_text("it is lovelace")


def test_an_endless_loop_is_interrupted(ada: Person) -> None:
    cell = ada.run("while True: pass", wait=False)
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[*]:")
    ada.menu("Kernel", "Interrupt Kernel")
    expect(ada.output(cell)).to_contain_text("KeyboardInterrupt")


def test_a_restart_forgets_variables_and_keeps_the_notebook(ada: Person) -> None:
    cell = ada.run("print(x)")
    expect(ada.output(cell)).to_contain_text("42")
    ada.menu("Kernel", "Restart Kernel…")
    ada.page.get_by_role("button", name="Confirm Kernel Restart").click()
    expect(ada.page.get_by_role("dialog")).to_have_count(0)
    ada.wait_for_idle()
    cell = ada.run("print(x)")
    expect(ada.output(cell)).to_contain_text("NameError")


def test_saving_and_reloading_brings_everything_back(ada: Person) -> None:
    ada.page.keyboard.press("Escape")
    ada.menu("File", "Save Notebook")
    dialog = ada.page.get_by_role("dialog")
    if dialog.is_visible():
        dialog.get_by_role("button", name="Rename").click()
    expect(ada.page.locator(".jp-mod-dirty")).to_have_count(0)
    ada.open_notebook("Untitled.ipynb")
    expect(ada.page.locator(".jp-NotebookPanel:visible")).to_contain_text("hello, ada")
    expect(ada.page.locator(".jp-NotebookPanel:visible")).to_contain_text("ZeroDivisionError")
    ada.screenshot("reloaded")


def test_an_uploaded_file_is_read_in_the_notebook_and_its_result_downloaded(ada: Person, tmp_path: Path) -> None:
    source = tmp_path / "numbers.csv"
    source.write_text("n\n" + "\n".join(map(str, range(1000))) + "\n")
    with ada.page.expect_file_chooser() as chooser:
        ada.page.locator('[data-command="filebrowser:upload"], [title^="Upload Files"]').first.click()
    chooser.value.set_files(str(source))
    expect(ada.page.locator(".jp-DirListing-item", has_text="numbers.csv")).to_be_visible()
    expect(ada.tab("numbers.csv")).to_be_visible()  # JupyterLab opens what was uploaded
    ada.tab("Untitled.ipynb").click()
    cell = ada.run(
        "import csv\ntotal = sum(int(row['n']) for row in csv.DictReader(open('numbers.csv')))\n"
        "open('total.txt', 'w').write(str(total))\nprint(total)"
    )
    expect(ada.output(cell)).to_contain_text("499500")
    item = ada.page.locator(".jp-DirListing-item", has_text="total.txt")
    expect(item).to_be_visible(timeout=20_000)
    item.click(button="right")
    with ada.page.expect_download() as download:
        ada.page.locator(".lm-Menu:visible .lm-Menu-itemLabel", has_text=re.compile("^Download$")).click()
    assert Path(download.value.path()).read_text() == "499500"


def test_a_terminal_is_a_shell_in_the_users_container(ada: Person) -> None:
    ada.menu("File", "New", "Terminal")
    terminal = ada.page.locator(".jp-Terminal:visible")
    terminal.wait_for()
    terminal.click()
    ada.page.keyboard.insert_text("echo $((6*7))-$(id -u) > from-terminal.txt\n")
    ada.page.keyboard.press("Enter")
    expect(ada.page.locator(".jp-DirListing-item", has_text="from-terminal.txt")).to_be_visible(timeout=20_000)
    ada.screenshot("terminal")
    answer = ada.context.request.get(f"{ada.address}/user/ada/api/contents/from-terminal.txt")
    number, uid = answer.json()["content"].strip().split("-")
    assert number == "42" and int(uid) >= 1000


def test_files_are_renamed_and_deleted(ada: Person) -> None:
    item = ada.page.locator(".jp-DirListing-item", has_text="total.txt")
    item.click()
    ada.page.keyboard.press("F2")
    editor = ada.page.locator(".jp-DirListing-editor")
    editor.fill("sum.txt")
    editor.press("Enter")
    renamed = ada.page.locator(".jp-DirListing-item", has_text="sum.txt")
    expect(renamed).to_be_visible()
    renamed.click()
    ada.page.keyboard.press("Delete")
    ada.page.get_by_role("dialog").get_by_role("button", name="Move to Trash").click()
    expect(renamed).to_have_count(0)


def test_what_pip_installs_lands_in_the_home_and_is_imported_at_once(ada: Person, hub: RunningHub) -> None:
    home = next((hub.data_dir / "homes").glob("*/numbers.csv")).parent
    package = home / "package"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[project]\nname = "greeting"\nversion = "1"\n[build-system]\nrequires = []\n'
        'build-backend = "backend"\nbackend-path = ["."]\n'
    )
    (package / "backend.py").write_text(BACKEND)
    ada.open_notebook("Untitled.ipynb")
    ada.run("%pip install --quiet --no-build-isolation --no-deps ./package")
    cell = ada.run("import greeting; print(greeting.WORD, greeting.__file__)")
    expect(ada.output(cell)).to_contain_text("hello /home/jovyan/.local/lib/python3")


def test_a_renamed_notebook_is_one_file_and_its_tab_follows(ada: Person) -> None:
    ada.menu("File", "Rename Notebook…")
    dialog = ada.page.get_by_role("dialog")
    dialog.locator("input").fill("analysis.ipynb")
    dialog.get_by_role("button", name="Rename").click()
    expect(ada.tab("analysis.ipynb")).to_be_visible()
    cell = ada.run("print('renamed')")
    expect(ada.output(cell)).to_contain_text("renamed")
    ada.menu("File", "Save Notebook")
    expect(ada.page.locator(".jp-mod-dirty")).to_have_count(0)
    expect(ada.page).to_have_url(re.compile(r"/lab/tree/analysis\.ipynb"))
    listed = ada.context.request.get(f"{ada.address}/user/ada/api/contents").json()["content"]
    assert [entry["name"] for entry in listed if entry["type"] == "notebook"] == ["analysis.ipynb"]


def test_a_killed_hub_and_a_killed_proxy_leave_the_running_cell_alone(ada: Person, hub: RunningHub) -> None:
    ada.run("y = 'still here'; import os; pid = os.getpid()")
    before = containers(hub.label)
    ada.run("import time\nfor i in range(8): time.sleep(1)\nprint('done')", wait=False)
    hub.kill("hub")
    hub.kill("proxy")
    ada.page.wait_for_timeout(500)
    ada.open_notebook("analysis.ipynb")
    cell = ada.run("print(y, os.getpid() == pid)")
    expect(ada.output(cell)).to_contain_text("still here True", timeout=30_000)
    assert containers(hub.label) == before


def test_ctrl_c_leaves_the_container_and_the_next_start_finds_its_variables(ada: Person, hub: RunningHub) -> None:
    before = containers(hub.label)
    assert hub.stop() < 5.0
    assert containers(hub.label) == before
    hub.start()
    ada.open_notebook("analysis.ipynb")
    cell = ada.run("print(y)")
    expect(ada.output(cell)).to_contain_text("still here", timeout=30_000)


def test_signing_out_kills_the_page_and_its_sockets_within_five_seconds(ada: Person) -> None:
    second = ada.context.new_page()
    second.goto(f"{ada.address}/hub/home")
    closed: list[float] = []
    ada.page.on("websocket", lambda socket: socket.on("close", lambda _: closed.append(time.monotonic())))
    ada.open_notebook("analysis.ipynb")
    expect(second.get_by_text("Started ")).to_be_visible()
    second.screenshot(path=ARTEFACTS / "home.png")
    second.get_by_role("button", name=re.compile("^Sign out$", re.I)).first.click()
    began = time.monotonic()
    eventually(lambda: (ada.page.wait_for_timeout(50), closed)[1], 6.0, "the sockets' end")
    assert closed[0] - began < 5.0
    answer = ada.context.request.get(f"{ada.address}/user/ada/api/contents")
    assert answer.status == 403


def test_log_out_in_jupyterlabs_menu_signs_out(ada: Person) -> None:
    ada.sign_in(PASSWORD)
    ada.menu("File", "Log Out")
    expect(ada.page.get_by_text("You are signed out")).to_be_visible()
    assert ada.context.request.get(f"{ada.address}/user/ada/api/contents").status == 403
