"""A headless Chromium, and what a person does in kernelhub's pages and in JupyterLab."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ARTEFACTS = Path(__file__).parents[1] / "artefacts"


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for a block."""
    playwright: Playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def doomed_browser(other: Browser) -> Iterator[tuple[Browser, Callable[[], None]]]:
    """Another browser beside `other`, and what kills it, as a power cut would: no page is told."""
    before = set(_browsers())
    browser = other.browser_type.launch(executable_path=str(CHROMIUM), headless=True, args=FLAGS)
    mine = [process for process in _browsers() if process not in before]

    def kill() -> None:
        for process in mine:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(mine, timeout=10)

    try:
        yield browser, kill
    finally:
        kill()
        browser.close()


def _browsers() -> list[psutil.Process]:
    """All processes of the browsers that this process has started."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "chrom" in child.name():
                found.append(child)
    return found


@contextlib.contextmanager
def killed_after(seconds: float) -> Iterator[None]:
    """Kill the browsers of this process when a block takes longer, so that every call into them fails.

    Playwright bounds most calls, but not `evaluate`, `close`, `is_visible` and others: a page that never answers would
    hold up the tests for ever.
    """

    def kill() -> None:
        for process in _browsers():
            with contextlib.suppress(psutil.Error):
                process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Person:
    """Somebody at a browser of their own: cookies are not shared with anybody."""

    def __init__(self, browser: Browser, address: str, name: str) -> None:
        self.address = address
        self.name = name
        self.context: BrowserContext = browser.new_context(
            viewport={"width": 1280, "height": 900}, accept_downloads=True
        )
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.console: list[str] = []
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))

    def close(self) -> None:
        """Close the browser window."""
        self.context.close()

    def screenshot(self, name: str) -> None:
        """Keep a picture among the artefacts."""
        ARTEFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=str(ARTEFACTS / f"{name}.png"))

    def sign_in(self, password: str, expect_lab: bool = True) -> None:
        """Sign in by the hub's page."""
        self.page.goto(f"{self.address}/hub/login")
        self.page.get_by_label("User name").fill(self.name)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        if expect_lab:
            self.wait_for_lab()

    def prove_presence(self, password: str, wanted: str = "/hub/home") -> None:
        """Confirm that somebody sits here, as administrators must, and go on to a page."""
        self.page.goto(f"{self.address}/hub/confirm?next={wanted}")
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Confirm", exact=True).click()
        self.page.wait_for_url(f"{self.address}{wanted}")

    def wait_for_lab(self) -> None:
        """Until JupyterLab can be used: its launcher or a notebook is there."""
        self.page.wait_for_url(re.compile(rf"/user/{re.escape(self.name)}/lab"))
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0, timeout=30_000)
        expect(self.page.locator("#jp-main-dock-panel")).to_be_visible(timeout=30_000)

    def new_notebook(self) -> None:
        """Open a notebook from the launcher, and wait until its kernel is idle."""
        self.page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
        self.page.locator(".jp-NotebookPanel:visible").wait_for()
        self.wait_for_idle()

    def open_notebook(self, path: str) -> None:
        """Open an existing notebook by its address."""
        self.page.goto(f"{self.address}/user/{self.name}/lab/tree/{path}")
        self.wait_for_lab()
        # Tabs of the last layout come back as well, and menus act on the current one.
        current = self.page.locator("#jp-main-dock-panel .lm-TabBar-tab.jp-mod-current")
        expect(current).to_contain_text(path.rsplit("/", 1)[-1].partition("?")[0], timeout=30_000)
        self.page.locator(".jp-NotebookPanel:visible").wait_for()
        self.wait_for_idle()
        # JupyterLab adds cells that are out of sight when it has time.
        bare = quote(path.partition("?")[0])
        model = self.page.request.get(f"{self.address}/user/{self.name}/api/contents/{bare}").json()
        saved = sum(cell["cell_type"] == "code" for cell in model["content"]["cells"])
        if saved:
            self.cells().nth(saved - 1).wait_for(state="attached", timeout=30_000)

    def tab(self, name: str) -> Locator:
        """The tab of an open document."""
        return self.page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel", has_text=name)

    def wait_for_idle(self, seconds: float = 30) -> None:
        """Until the status bar names a kernel and says that it is idle."""
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=seconds * 1000)

    def cells(self) -> Locator:
        """The open notebook's code cells."""
        return self.page.locator(".jp-NotebookPanel:visible .jp-Cell.jp-CodeCell")

    def type_in_last_cell(self, code: str) -> None:
        """Put code into the last cell, in place of what is there."""
        editor = self.cells().last.locator(".cm-content")
        editor.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(code)

    def run(self, code: str, wait: bool = True) -> Locator:
        """Run code in the last cell and go on to a new one; gives the cell that ran."""
        self.type_in_last_cell(code)
        index = self.cells().count() - 1
        self.page.keyboard.press("Shift+Enter")
        cell = self.cells().nth(index)
        if wait:
            expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"), timeout=30_000)
            expect(self.cells()).to_have_count(index + 2)
        return cell

    def menu(self, *names: str) -> None:
        """Choose from JupyterLab's menu bar."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(rf"^{names[0]}$")).click()
        for name in names[1:]:
            self.page.locator(".lm-Menu:visible .lm-Menu-itemLabel", has_text=re.compile(rf"^{name}$")).last.click()

    def output(self, cell: Locator) -> Locator:
        """What a cell has put out."""
        return cell.locator(".jp-OutputArea-output")
