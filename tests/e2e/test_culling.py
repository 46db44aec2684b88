"""A warning where its user is: above JupyterLab, on the home page; the button puts the end off, and both say so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import missing
from tests.harness.accounts import PASSWORD, Account, add_account, audit, in_thread
from tests.harness.browser import CHROMIUM, Person, chromium
from tests.harness.client import HubClient
from tests.harness.running import RunningHub, running_hub

LIMITS = {
    "KERNELHUB_CULLING__KERNEL_IDLE": "40",
    "KERNELHUB_CULLING__WARNING": "30",
    "KERNELHUB_CULLING__INTERVAL": "0.5",
}


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process", LIMITS) as hub:
        yield hub


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        missing("Chromium", "bash tests/prepare.sh")
    with chromium() as browser:
        yield browser


async def run_a_cell(hub: RunningHub, account: Account) -> None:
    async with HubClient(hub.address, account.name, account.token) as client:
        session = await client.start_session("train.ipynb")
        async with client.kernel(session["kernel"]["id"]) as kernel:
            await kernel.execute("x = 1")


def test_a_warning_is_shown_in_jupyterlab_and_at_home_and_its_button_keeps_the_kernel(
    hub: RunningHub, browser: Browser
) -> None:
    ada = add_account(hub, "ada")
    person = Person(browser, hub.address, ada.name)
    person.sign_in(PASSWORD)
    in_thread(run_a_cell(hub, ada))
    banner = person.page.locator("#kernelhub-notices > .warning")
    expect(banner).to_contain_text("The kernel of train.ipynb ends at", timeout=60_000)
    expect(banner).to_contain_text("idle kernels end after 40 s")
    home = person.context.new_page()
    home.goto(f"{hub.address}/hub/home")
    warning = home.locator("#workspace .ending")
    expect(warning).to_contain_text("The kernel of train.ipynb ends in")
    for width, scheme in ((1280, "light"), (390, "dark")):
        home.set_viewport_size({"width": width, "height": 900})
        home.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        assert home.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    person.page.bring_to_front()
    banner.get_by_role("button", name="Keep it for 60 min more").click()
    expect(banner).to_have_count(0)
    expect(warning).to_have_count(0, timeout=30_000)
    expect(home.locator("#workspace")).to_contain_text("put off for")
    (event,) = in_thread(audit(hub, "culling.postponed"))
    assert event.actor == ada.id and event.details["by_seconds"] == 3600
    person.close()
