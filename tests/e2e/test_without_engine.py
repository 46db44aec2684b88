"""Where no Docker Engine answers: kernels as plain processes, and a warning that cannot be missed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.harness.browser import Person
from tests.harness.running import RunningHub, running_hub

pytestmark = pytest.mark.browser
PASSWORD = "seven otters juggle lanterns"


@pytest.fixture(scope="module")
def lonely_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub whose engine's address leads nowhere."""
    nowhere = tmp_path_factory.mktemp("engine") / "docker.sock"
    with running_hub("auto", {"KERNELHUB_DOCKER_URL": f"unix://{nowhere}"}) as hub:
        yield hub


def test_the_terminal_says_so_in_one_paragraph(lonely_hub: RunningHub) -> None:
    said = [line for line in lonely_hub.log().splitlines() if line.startswith("WARNING: ")]
    assert len(said) == 1 and "Docker Engine" in said[0]
    assert lonely_hub.address.startswith("http://127.0.0.1:")


def test_every_page_and_jupyterlab_warn_and_cells_run_all_the_same(
    lonely_hub: RunningHub, browser: Browser, tmp_path: Path
) -> None:
    lonely_hub.cli("user", "add", "eve", "--password-stdin", input=PASSWORD)
    eve = Person(browser, lonely_hub.address, "eve")
    eve.page.goto(f"{lonely_hub.address}/hub/login")
    expect(eve.page.get_by_text("isolat").first).to_be_visible()
    eve.screenshot("warning-page")
    eve.sign_in(PASSWORD)
    expect(eve.page.locator("#kernelhub-warning")).to_be_visible()
    eve.new_notebook()
    cell = eve.run("print(6 * 7)")
    expect(eve.output(cell)).to_contain_text("42")
    eve.screenshot("warning-lab")
    errors = [line for line in eve.console if line.startswith("error")]
    eve.close()
    assert not [line for line in errors if "events/subscribe" not in line]
