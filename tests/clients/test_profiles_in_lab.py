"""Several profiles in JupyterLab: the launcher shows the kernels of all, and picking one starts its container."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import missing
from tests.harness.accounts import PASSWORD, add_account
from tests.harness.browser import CHROMIUM, Person, chromium
from tests.harness.containers import containers
from tests.harness.running import RunningHub, eventually, running_hub
from tests.integration.images import minimal_image, require_engine

pytestmark = [pytest.mark.docker, pytest.mark.browser]

STATISTICS = "Python 3 (Statistics)"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    require_engine()
    base = {"image": minimal_image(), "spare_kernels": 0}
    profiles = {"datascience": base, "statistics": {**base, "display_name": "Statistics"}}
    settings = {"KERNELHUB_PROFILES": json.dumps(profiles), "KERNELHUB_START_WORKSPACE": "kernel"}
    with running_hub("docker", settings) as hub:
        yield hub


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        missing("Chromium", "apt-get install chromium")
    with chromium() as browser:
        yield browser


def test_a_click_on_another_profiles_kernel_starts_its_container_beside_the_first(
    hub: RunningHub, browser: Browser
) -> None:
    add_account(hub, "ada")
    ada = Person(browser, hub.address, "ada")
    ada.sign_in(PASSWORD)
    cards = ada.page.locator('.jp-LauncherCard[data-category="Notebook"]')
    expect(cards).to_have_text(["Python 3 (datascience)", STATISTICS])
    assert not containers(hub.label)
    ada.screenshot("launcher-profiles")
    ada.new_notebook()
    ada.run("open('shared.txt', 'w').write('seen')")
    assert len(containers(hub.label)) == 1
    ada.menu("File", "New Launcher")
    ada.page.locator('.jp-LauncherCard[data-category="Notebook"]:visible', has_text=STATISTICS).click()
    expect(ada.page.locator("#jp-main-statusbar")).to_contain_text(f"{STATISTICS} | Idle", timeout=60_000)
    cell = ada.run("print(open('shared.txt').read())")
    expect(ada.output(cell)).to_have_text("seen")
    assert len(containers(hub.label)) == 2

    ada.page.goto(f"{hub.address}/hub/home")
    expect(ada.page.get_by_text("My containers")).to_be_visible()
    ada.screenshot("home-profiles")
    ada.page.get_by_role("button", name="Stop the container Statistics").click()
    ada.page.get_by_role("dialog").get_by_role("button", name=re.compile("^Stop")).click()
    expect(ada.page.get_by_text("The container was stopped.")).to_be_visible()
    eventually(lambda: len(containers(hub.label)) == 1, what="one container")
    ada.close()
