"""The classic Notebook against a real hub whose pages may run no script but the hub's (`output_scripts` off).

One story in steps, in the order of the file. Nothing may complain in the browser's console meanwhile: with the
strict policy every inline script without the page's nonce would.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.conftest import missing
from tests.harness.accounts import PASSWORD
from tests.harness.browser import Person
from tests.harness.console import Watch
from tests.harness.containers import engine_answers
from tests.harness.running import RunningHub, eventually, running_hub

pytestmark = [pytest.mark.docker, pytest.mark.browser]

WIDGET = """import ipywidgets
from IPython.display import display
box = ipywidgets.IntSlider(value=3, description='n')
box.observe(lambda change: print('moved'), 'value')
display(box)"""


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    if not engine_answers():
        missing("a Docker Engine", "bash tests/prepare.sh")
    with running_hub("docker", {"KERNELHUB_OUTPUT_SCRIPTS": "false"}) as hub:
        hub.cli("user", "add", "ada", "--password-stdin", input=PASSWORD)
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub, browser: Browser) -> Iterator[Person]:
    person = Person(browser, hub.address, "ada")
    person.sign_in(PASSWORD)
    yield person
    person.screenshot("nbclassic-end")
    person.close()


@pytest.fixture(scope="module")
def watch(ada: Person) -> Watch:
    return Watch(ada.context)


@pytest.fixture(scope="module")
def notebook(ada: Person, watch: Watch) -> Page:
    """A notebook made from the tree's menu, its kernel idle."""
    ada.page.goto(f"{base(ada)}/nbclassic/tree")
    ada.page.locator("#new-dropdown-button").click()
    ada.screenshot("nbclassic-tree")
    with ada.context.expect_page() as opened:
        ada.page.locator("#new-menu a", has_text=re.compile("Python 3")).first.click()
    page = opened.value
    page.wait_for_url(re.compile(r"/nbclassic/notebooks/Untitled\.ipynb"))
    idle(page)
    return page


def base(person: Person) -> str:
    return f"{person.address}/user/{person.name}"


def contents(person: Person, path: str) -> Any:
    answer = person.context.request.get(f"{base(person)}/api/contents/{path}")
    return answer.json()["content"] if answer.status == 200 else None


def form_token(person: Person) -> str:
    cookies = person.context.cookies(f"{base(person)}/")
    return next(cookie.get("value", "") for cookie in cookies if cookie.get("name") == "_xsrf")


def idle(page: Page) -> None:
    expect(page.locator("#kernel_indicator_icon.kernel_idle_icon")).to_be_visible(timeout=60_000)


def run(page: Page, code: str) -> Locator:
    """Run code in the last cell and go on to a new one; gives the cell that ran."""
    cells = page.locator("#notebook .code_cell")
    index = cells.count() - 1
    cells.last.locator(".CodeMirror").click()
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
    expect(cells).to_have_count(index + 2)
    return cells.nth(index)


def menu(page: Page, title: str, item: str) -> None:
    page.locator("#menus > .container-fluid > .navbar-collapse > .navbar-nav > li > a", has_text=title).click()
    page.locator(item).click()


def test_cells_run_ask_and_show_mathematics_by_the_json_protocol(notebook: Page, watch: Watch) -> None:
    cell = run(notebook, "name = input('Who? '); print('it is', name)")
    cell.locator("input.raw_input").fill("lovelace")
    notebook.keyboard.press("Enter")
    expect(cell.locator(".output")).to_contain_text("it is lovelace", timeout=30_000)
    cell = run(notebook, "from IPython.display import HTML, Math, display\ndisplay(HTML('<b>bold</b>'), Math('x^2'))")
    expect(cell.locator(".output b")).to_have_text("bold")
    expect(cell.locator(".MathJax, .MathJax_Display").first).to_be_visible(timeout=30_000)
    assert watch.complaints() == []


def test_a_slider_of_ipywidgets_is_shown(notebook: Page, watch: Watch) -> None:
    cell = run(notebook, WIDGET)
    expect(cell.locator(".widget-slider, .jupyter-widgets")).not_to_have_count(0, timeout=30_000)
    expect(cell.locator(".widget-readout")).to_have_text("3")
    assert watch.complaints() == []


def test_an_endless_loop_is_interrupted_and_a_restart_forgets(notebook: Page, watch: Watch) -> None:
    cell = run(notebook, "while True: pass")
    expect(cell.locator(".input_prompt")).to_contain_text("*")
    menu(notebook, "Kernel", "#int_kernel a")
    expect(cell.locator(".output")).to_contain_text("KeyboardInterrupt", timeout=30_000)
    menu(notebook, "Kernel", "#restart_kernel a")
    notebook.locator(".modal-dialog .btn-danger").click()
    expect(notebook.locator(".modal-dialog")).to_have_count(0)
    idle(notebook)
    cell = run(notebook, "print('name' in globals())")
    expect(cell.locator(".output")).to_contain_text("False", timeout=30_000)
    assert watch.complaints() == []


def test_a_notebook_is_renamed_saved_with_a_checkpoint_and_comes_back(
    ada: Person, notebook: Page, watch: Watch
) -> None:
    notebook.locator("#notebook_name").click()
    notebook.locator(".modal-dialog input").fill("story")
    notebook.locator(".modal-dialog .btn-primary").click()
    notebook.wait_for_url(re.compile(r"/notebooks/story\.ipynb"))
    menu(notebook, "File", "#save_checkpoint a")
    eventually(lambda: "it is lovelace" in str(contents(ada, "story.ipynb")), what="the saved output")
    expect(notebook.locator(".checkpoint_status")).to_contain_text("Last Checkpoint")
    notebook.reload()
    assert notebook.url == f"{base(ada)}/nbclassic/notebooks/story.ipynb"
    idle(notebook)
    expect(notebook.locator("#notebook")).to_contain_text("it is lovelace")
    before, ada.page = ada.page, notebook
    ada.screenshot("nbclassic-notebook")
    ada.page = before
    checkpoints = ada.context.request.get(f"{base(ada)}/api/contents/story.ipynb/checkpoints").json()
    assert len(checkpoints) == 1
    assert watch.complaints() == []


def test_the_notebook_is_exported_and_told_about(ada: Person, notebook: Page, watch: Watch) -> None:
    notebook.locator("#filelink").click()
    with ada.context.expect_event("response", lambda answer: "/nbconvert/html/" in answer.url) as exported:
        notebook.locator("#download_html a").evaluate("item => item.click()")
    assert exported.value.status == 200
    notebook.keyboard.press("Escape")
    menu(notebook, "Help", "#notebook_about")
    expect(notebook.locator(".modal-dialog")).to_contain_text("Server Information")
    notebook.locator(".modal-dialog .btn", has_text="OK").click()
    assert watch.complaints() == []


def test_files_are_uploaded_edited_and_shown(ada: Person, watch: Watch, tmp_path: Path) -> None:
    source = tmp_path / "words.txt"
    source.write_text("one two")
    ada.page.bring_to_front()
    ada.page.locator("#alternate_upload input[type=file], input.fileinput").first.set_input_files(str(source))
    ada.page.locator(".upload_button:visible").click()
    eventually(lambda: contents(ada, "words.txt") == "one two", what="the upload")
    page = ada.context.new_page()
    page.goto(f"{base(ada)}/nbclassic/edit/words.txt")
    expect(page.locator(".CodeMirror")).to_contain_text("one two", timeout=30_000)
    page.locator(".CodeMirror").click()
    page.keyboard.press("Control+Home")
    page.keyboard.insert_text("zero ")
    page.keyboard.press("Control+s")
    eventually(lambda: str(contents(ada, "words.txt")).startswith("zero one two"), what="the saved text")
    page.close()
    assert watch.complaints() == []


def test_a_terminal_is_a_shell_in_the_container(ada: Person, watch: Watch) -> None:
    ada.page.locator("#new-dropdown-button").click()
    with ada.context.expect_page() as opened:
        ada.page.locator("#new-terminal a").click()
    page = opened.value
    page.wait_for_url(re.compile(r"/nbclassic/terminals/\w+"))
    page.wait_for_function("window.terminal && window.terminal.socket.readyState === 1")
    page.locator(".terminal").first.click()
    page.keyboard.type("echo $((6*7)) > answer.txt\n")
    eventually(lambda: str(contents(ada, "answer.txt")).strip() == "42", what="the command's file")
    page.close()
    assert watch.complaints() == []


def test_what_an_untrusted_notebook_holds_runs_nothing(ada: Person) -> None:
    script = "<script>document.title='stolen'</script><img src=x onerror=\"document.title='stolen'\"><i>seen</i>"
    output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": script}}
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": 1, "source": "1", "outputs": [output]}
    headers = {"X-XSRFToken": form_token(ada)}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    body = {"type": "notebook", "content": content}
    ada.context.request.put(f"{base(ada)}/api/contents/foreign.ipynb", headers=headers, data=body)
    page = ada.context.new_page()
    page.goto(f"{base(ada)}/nbclassic/notebooks/foreign.ipynb")
    expect(page.locator("#notebook .output i")).to_have_text("seen", timeout=30_000)
    idle(page)
    assert "stolen" not in page.title()
    expect(page.locator("#notification_trusted")).to_have_text("Not Trusted")
    menu(page, "File", "#trust_notebook a")
    page.locator(".modal-dialog .btn-danger").last.click()  # nbclassic 1.3 opens two dialogs
    expect(page.locator("#notification_trusted")).to_have_text("Trusted", timeout=30_000)
    page.close()


def test_all_files_of_the_front_end_are_at_one_address_and_kept_for_long(ada: Person) -> None:
    page = ada.context.request.get(f"{base(ada)}/nbclassic/tree").text()
    script = re.search(r'src="(/static/nbclassic/tree/js/main[^"]+)"', page)
    assert script is not None
    answer = ada.context.request.get(ada.address + script[1])
    assert answer.status == 200 and "immutable" in answer.headers["cache-control"]
    icon = ada.context.request.get(f"{base(ada)}/static/base/images/favicon-busy-1.ico")
    assert icon.status == 200 and icon.url == f"{ada.address}/static/nbclassic/base/images/favicon-busy-1.ico"


def test_log_out_and_the_control_panel_are_on_every_page(ada: Person, notebook: Page, watch: Watch) -> None:
    notebook.close()
    ada.page.goto(f"{base(ada)}/nbclassic/tree")
    assert ada.page.locator("#control_panel_widget a").get_attribute("href") == "/hub/home"
    ada.page.locator("#logout").click()
    ada.page.wait_for_url(re.compile("/hub/login"))
    # The foreign notebook's picture, and its script, which the page's policy stopped.
    foreign = ["404 GET .*/nbclassic/notebooks/x$", "Content Security Policy directive.*has been blocked"]
    assert watch.complaints(expected=foreign) == []
