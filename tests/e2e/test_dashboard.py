"""The dashboard in a real browser: live figures, actions, messages, views, the keyboard, and what axe-core finds.

One story in steps: each test goes on where the one before it ended, in the order of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import missing
from tests.e2e.conftest import ADMIN_PASSWORD
from tests.harness.browser import ARTEFACTS, Person
from tests.harness.running import RunningHub

pytestmark = [pytest.mark.docker, pytest.mark.browser]
AXE = Path(__file__).parents[2] / ".cache" / "node" / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 390, "height": 844}
LIVE_MS = 25_000
EXPORT_MS = 60_000


@pytest.fixture(scope="module")
def ada(hub: RunningHub, browser: Browser) -> Iterator[Person]:
    """An ordinary user with a notebook open."""
    hub.cli("user", "add", "ada", "--password-stdin", input=ADMIN_PASSWORD)
    person = Person(browser, hub.address, "ada")
    person.sign_in(ADMIN_PASSWORD)
    yield person
    person.close()


@pytest.fixture(scope="module")
def root(hub: RunningHub, browser: Browser) -> Iterator[Person]:
    """An administrator at the page Now, before anything runs."""
    hub.cli("user", "add", "root1", "--admin", "--password-stdin", input=ADMIN_PASSWORD)
    person = Person(browser, hub.address, "root1")
    person.sign_in(ADMIN_PASSWORD)
    person.prove_presence(ADMIN_PASSWORD, "/hub/admin")
    yield person
    person.close()


def row(root: Person, name: str = "ada") -> Any:
    """The row of a user's container."""
    return root.page.locator("[data-row]", has=root.page.get_by_role("link", name=name, exact=True))


def serious(page: Page) -> list[str]:
    """What axe-core finds in a page that is serious or critical."""
    if not AXE.exists():
        missing("axe-core", "bash tests/prepare.sh")
    page.evaluate(AXE.read_text())
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:150]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def photograph(page: Page, name: str) -> None:
    """Pictures at both widths and in both colour schemes."""
    ARTEFACTS.mkdir(exist_ok=True)
    before = page.viewport_size
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (before, PHONE):
            page.set_viewport_size(width)  # type: ignore[arg-type]
            kind = "phone" if width == PHONE else "desktop"
            page.screenshot(path=str(ARTEFACTS / f"dashboard-{name}-{kind}-{scheme}.png"), full_page=True)
            wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider <= 0, f"{name} is {wider} px wider than the {kind}"
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(before)  # type: ignore[arg-type]


def test_a_container_appears_with_its_kernel_while_one_looks(root: Person, ada: Person) -> None:
    expect(root.page.locator("[data-live-state]")).to_have_text(re.compile("live$"))
    ada.new_notebook()
    ada.run("x = 1")
    expect(row(root)).to_be_visible(timeout=LIVE_MS)
    expect(row(root).locator("[data-cell=kernels] summary")).to_have_text("Untitled.ipynb", timeout=LIVE_MS)
    expect(row(root).locator("[data-cell=memory] .figure")).to_have_text(re.compile(r"\d+ MB"), timeout=LIVE_MS)


def test_the_state_follows_the_kernel_without_a_reload(root: Person, ada: Person) -> None:
    root.page.evaluate("window.sameDocument = true")
    ada.run("import time\nwhile True: sum(range(100_000))", wait=False)
    expect(row(root).locator("[data-cell=state]")).to_contain_text("busy", timeout=LIVE_MS)
    expect(row(root).locator("[data-cell=fate]")).to_contain_text("a cell is running", timeout=LIVE_MS)
    expect(row(root).locator("[data-cell=cpu] .figure")).to_have_text(re.compile(r"0\.[1-9]|[1-9]"), timeout=LIVE_MS)
    assert root.page.evaluate("window.sameDocument") is True


def test_the_pages_have_no_serious_findings_and_fit_on_a_phone(root: Person, ada: Person) -> None:
    row(root).locator("summary").click()
    photograph(root.page, "now")
    assert serious(root.page) == []
    root.page.emulate_media(color_scheme="dark")
    assert serious(root.page) == []
    root.page.emulate_media(color_scheme="light")
    home = ada.context.new_page()
    home.goto(f"{ada.address}/hub/home")
    expect(home.locator(".use .figure").first).to_be_visible(timeout=LIVE_MS)
    photograph(home, "home")
    assert serious(home) == []
    home.close()


def test_a_line_is_shown_larger(root: Person) -> None:
    row(root).locator("[data-cell=memory] button").click()
    dialog = root.page.get_by_role("dialog", name=re.compile("container of ada"))
    expect(dialog.locator("canvas").first).to_be_visible()
    expect(dialog).to_contain_text("at most")
    assert serious(root.page) == []
    root.screenshot("dashboard-lines")
    root.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_kernel_is_restarted_with_the_keyboard_alone_and_focus_stays(root: Person, ada: Person) -> None:
    page = root.page
    page.locator("#search").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if (page.evaluate("document.activeElement.id") or "").startswith("restart-"):
            break
    button = page.evaluate("document.activeElement.id")
    assert button.startswith("restart-")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Its variables are lost")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    root.screenshot("dashboard-confirm")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_have_text("The kernel was restarted.")
    expect(row(root).locator("[data-cell=state]")).to_contain_text("idle", timeout=LIVE_MS)
    assert page.evaluate("document.activeElement.id") == button


def test_a_message_reaches_jupyterlab_at_once_and_is_dismissed_there(root: Person, ada: Person) -> None:
    row(root).get_by_role("link", name="Message ada").click()
    dialog = root.page.get_by_role("dialog", name="Message to ada")
    dialog.get_by_label("Message").fill("The class begins at nine.")
    root.screenshot("dashboard-message")
    dialog.get_by_role("button", name="Send").click()
    expect(root.page.locator(".toast")).to_have_text("ada sees your message now.")
    notice = ada.page.locator("#kernelhub-notices")
    expect(notice).to_contain_text("root1: The class begins at nine.")
    top = ada.page.locator("#kernelhub-notices").bounding_box()
    menu = ada.page.locator("#jp-MainMenu").bounding_box()
    assert top is not None and menu is not None and menu["y"] >= top["height"] - 1, "the menu is covered"
    ada.screenshot("dashboard-notice-in-lab")
    notice.get_by_role("button", name="Dismiss").click()
    expect(notice).to_be_empty()


def test_a_view_is_told_to_its_user_and_shows_the_notebook_without_scripts(root: Person, ada: Person) -> None:
    ada.run("from IPython.display import HTML")
    ada.run("HTML('<b>shown</b><script>window.ran = 1</script>')")
    ada.page.keyboard.press("Control+s")
    ada.page.locator(".jp-Dialog .jp-mod-accept").click()  # the first save offers another name
    expect(ada.page.locator("#jp-main-dock-panel .lm-TabBar-tab.jp-mod-dirty")).to_have_count(0)
    page = root.page
    row(root).get_by_role("link", name="View the files of ada").click()
    page.get_by_label("Reason").fill("asked for help with exercise 3")
    photograph(page, "view-open")
    page.get_by_role("button", name="Open the view").click()
    expect(page.get_by_text("Nothing can be changed.")).to_be_visible()
    expect(ada.page.locator("#kernelhub-notices")).to_contain_text("root1 is looking at your files")
    photograph(page, "view")
    assert serious(page) == []
    page.get_by_role("link", name="Untitled.ipynb").click(timeout=EXPORT_MS)
    expect(page.frame_locator("iframe").get_by_text("shown", exact=True)).to_be_visible(timeout=EXPORT_MS)
    frame = page.frame_locator("iframe").locator("html")
    assert frame.evaluate("() => window.ran") is None
    photograph(page, "view-file")
    page.get_by_role("button", name="End the view").click()
    expect(page.get_by_text("The view is closed.")).to_be_visible()
    expect(ada.page.locator("#kernelhub-notices")).to_be_empty()


def test_the_home_page_lists_past_views_and_stops_a_kernel(root: Person, ada: Person) -> None:
    home = ada.context.new_page()
    home.goto(f"{ada.address}/hub/home")
    expect(home.get_by_text("root1: asked for help with exercise 3")).to_be_visible()
    home.get_by_role("button", name="Stop the kernel of Untitled.ipynb").click()
    home.get_by_role("dialog").get_by_role("button", name="Stop the kernel").click()
    expect(home.locator(".toast")).to_have_text("The kernel was stopped.")
    expect(home.get_by_text("No kernel is running.")).to_be_visible(timeout=LIVE_MS)
    home.close()


def test_a_container_is_stopped_and_its_row_goes(root: Person, ada: Person) -> None:
    root.page.goto(f"{root.address}/hub/admin")
    row(root).get_by_role("button", name=re.compile("Stop the container")).click()
    root.page.get_by_role("dialog").get_by_role("button", name="Stop the container").click()
    expect(root.page.locator(".toast")).to_have_text("The container was stopped.", timeout=LIVE_MS)
    expect(row(root)).to_have_count(0, timeout=LIVE_MS)


def test_the_stream_ends_with_the_sign_in(hub: RunningHub, browser: Browser) -> None:
    hub.cli("user", "add", "root2", "--admin", "--password-stdin", input=ADMIN_PASSWORD)
    person = Person(browser, hub.address, "root2")
    person.sign_in(ADMIN_PASSWORD)
    person.prove_presence(ADMIN_PASSWORD, "/hub/admin")
    expect(person.page.locator("[data-live-state]")).to_have_text(re.compile("live$"))
    hub.cli("user", "disable", "root2")
    person.page.wait_for_url(re.compile("/hub/login"), timeout=LIVE_MS)
    person.close()
