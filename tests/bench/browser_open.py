"""JupyterLab in a browser: the time from a click to a notebook that one can edit, here and with plain `jupyter lab`.

Both get the same notebook in a layout that was open before, the same Chromium with a warm cache for each, and a kernel
that runs already; the rounds take turns. ``python -m tests.bench.browser_open --waterfall`` prints a load's requests.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests.harness.accounts import PASSWORD, add_account
from tests.harness.browser import Person, chromium
from tests.harness.running import RunningHub, eventually

ROUNDS = 7
NOTEBOOK = "bench.ipynb"
_CELLS: list[dict[str, Any]] = [
    {
        "cell_type": "code",
        "id": f"c{n}",
        "metadata": {},
        "source": f"print({n})",
        "outputs": [],
        "execution_count": None,
    }
    for n in range(10)
]
_KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
DOCUMENT = json.dumps({"cells": _CELLS, "metadata": {"kernelspec": _KERNEL}, "nbformat": 4, "nbformat_minor": 5})

_WITHOUT_NBDIME = {
    "labconfig/page_config.json": {"disabledExtensions": {"nbdime-jupyterlab": True}},
    "jupyter_server_config.json": {"ServerApp": {"jpserver_extensions": {"nbdime": False}}},
}

EDITABLE = """() => {
    const editor = document.querySelector(".jp-NotebookPanel .jp-CodeCell .cm-content");
    if (!editor?.isContentEditable || document.querySelector("#jupyterlab-splash")) return false;
    const place = editor.getBoundingClientRect();
    return editor.contains(document.elementFromPoint(place.x + 5, place.y + 5));
}"""
"""Whether the first cell is in view and nothing covers it."""


@dataclass(frozen=True)
class Opened:
    """Medians in seconds."""

    hub: list[float]
    plain: list[float]

    @property
    def ratio(self) -> float:
        """How much longer the hub takes than plain JupyterLab."""
        return statistics.median(self.hub) / statistics.median(self.plain)


def click_to_editable(page: Page) -> float:
    """Seconds from the click on "Open JupyterLab" until one can type into the notebook, which is then done."""
    link = page.get_by_role("link", name="Open JupyterLab")
    link.wait_for()
    began = time.perf_counter()
    link.click(no_wait_after=True)
    page.wait_for_function(EDITABLE, timeout=60_000)
    seconds = time.perf_counter() - began
    editor = page.locator(".jp-NotebookPanel .jp-CodeCell .cm-content").first
    editor.click()
    page.keyboard.type("#")
    assert "#" in editor.inner_text()
    page.keyboard.press("Backspace")
    page.keyboard.press("Control+s")
    return seconds


def home_of_hub(person: Person) -> None:
    """The hub's home page, which has the button."""
    person.page.goto(f"{person.address}/hub/home")


def home_of_plain(page: Page, address: str) -> None:
    """A page of the same server with such a link: plain JupyterLab has no home page."""
    page.goto(f"{address}/api")
    page.evaluate("document.body.innerHTML = '<a href=\"/lab\">Open JupyterLab</a>'")


def open_once(page: Page, address: str) -> None:
    """Open the notebook by its address and wait until it is saved in the layout."""
    page.goto(f"{address}/lab/tree/{NOTEBOOK}")
    page.wait_for_function(EDITABLE, timeout=60_000)
    page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=60_000)
    layout = f"{address}/lab/api/workspaces/default"
    eventually(lambda: NOTEBOOK in page.request.get(layout).text(), what="the layout")


@contextlib.contextmanager
def plain_lab() -> Iterator[str]:
    """`jupyter lab` of the same environment, with folders of its own and without a token; gives its address."""
    folder = Path(tempfile.mkdtemp(prefix="plain-lab-", dir="/tmp"))
    (folder / "home").mkdir()
    (folder / "home" / NOTEBOOK).write_text(DOCUMENT)
    for name, content in _WITHOUT_NBDIME.items():  # the hub leaves that extension out
        file = folder / "jupyter_config_dir" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {
        name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    environment = {**os.environ, **folders, "IPYTHONDIR": str(folder / "ipython")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1"]
    command += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder / 'home'}", "--LabApp.news_url=None"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        address = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(f"{address}/api"), 60.0, "plain JupyterLab")
        yield address
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


@contextlib.contextmanager
def ready_hub() -> Iterator[tuple[RunningHub, str]]:
    """A hub with real containers and a user whose home has the notebook."""
    hub = RunningHub("docker")
    try:
        hub.start()
        account = add_account(hub, "opener")
        asked = urllib.request.Request(
            f"{hub.address}/user/opener/api/contents/{NOTEBOOK}",
            data=json.dumps({"type": "notebook", "content": json.loads(DOCUMENT)}).encode(),
            headers={"Authorization": f"token {account.token}", "Content-Type": "application/json"},
            method="PUT",
        )
        urllib.request.urlopen(asked, timeout=20).close()
        yield hub, "opener"
    finally:
        hub.remove()


def measure(browser: Browser, rounds: int = ROUNDS, waterfall: bool = False) -> Opened:
    """Open both by turns."""
    opened = Opened([], [])
    with ready_hub() as (hub, name), plain_lab() as plain:
        here, there = Person(browser, hub.address, name), Person(browser, plain, "")
        here.sign_in(PASSWORD)
        open_once(here.page, f"{hub.address}/user/{name}")
        open_once(there.page, plain)
        for number in range(rounds + 1):
            home_of_hub(here)
            took = click_to_editable(here.page)
            home_of_plain(there.page, plain)
            took_plain = click_to_editable(there.page)
            if number:  # the first fills the caches
                opened.hub.append(took)
                opened.plain.append(took_plain)
            home_of_hub(here)
        if waterfall:
            home_of_hub(here)
            _print_waterfall(here.page)
            home_of_plain(there.page, plain)
            _print_waterfall(there.page)
        here.close()
        there.close()
    return opened


def _print_waterfall(page: Page) -> None:
    """From a page with the link: when each request began and how long it took, in ms; 0 sent is from the cache."""
    click_to_editable(page)
    entries = page.evaluate(
        """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].map(e =>
            [e.startTime, e.requestStart, e.responseStart, e.responseEnd, e.transferSize, e.decodedBodySize, e.name])"""
    )
    print(f"\n{'start':>7} {'wait':>6} {'load':>6} {'sent':>9} {'size':>9}  address")
    for start, asked, first, end, sent, size, name in entries:
        print(f"{start:7.0f} {first - asked:6.0f} {end - start:6.0f} {sent:9} {size:9}  {name[:110]}")


def describe(times: list[float]) -> str:
    """The median and the range."""
    return f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"


def rows() -> list[tuple[str, str, str]]:
    """For the table of `make bench`."""
    with chromium() as browser:
        opened = measure(browser)
    return [
        ("click on JupyterLab to an editable notebook, browser with warm cache", describe(opened.hub), ""),
        ("  the same with plain `jupyter lab`", describe(opened.plain), ""),
        ("  ratio", f"{opened.ratio:.2f}", "1.15"),
    ]


if __name__ == "__main__":
    print(f"load before the run: {os.getloadavg()[0]:.2f}")
    with chromium() as chrome:
        result = measure(chrome, waterfall="--waterfall" in sys.argv)
    print(f"hub {describe(result.hub)}, plain {describe(result.plain)}, ratio {result.ratio:.2f}")
