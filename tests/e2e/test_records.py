"""An administrator's records and settings in a real hub with a real browser: no restart, no secrets, nothing lost."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.conftest import missing
from tests.harness.browser import CHROMIUM, Person, chromium
from tests.harness.running import RunningHub, running_hub

pytestmark = pytest.mark.browser
PASSWORD = "seven otters juggle lanterns"
CANARY = "canary-sEcReT-4711"


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    """A hub that runs kernels as local processes, with an administrator and a member."""
    with running_hub("process") as hub:
        hub.cli("user", "add", "root1", "--admin", "--password-stdin", input=PASSWORD)
        hub.cli("user", "add", "ada", "--password-stdin", input=PASSWORD)
        yield hub


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module."""
    if not CHROMIUM.exists():
        missing("Chromium", "bash tests/prepare.sh")
    with chromium() as browser:
        yield browser


@pytest.fixture
def admin(hub: RunningHub, browser: Browser) -> Iterator[Person]:
    """The administrator, who has proven to be there."""
    person = Person(browser, hub.address, "root1")
    person.sign_in(PASSWORD)
    person.prove_presence(PASSWORD)
    yield person
    person.close()


def open_page(person: Person, path: str) -> Locator:
    person.page.goto(f"{person.address}{path}")
    return person.page.locator("main")


def test_an_announcement_reaches_an_open_lab_and_the_hubs_pages_without_a_restart(
    hub: RunningHub, admin: Person, browser: Browser
) -> None:
    ada = Person(browser, hub.address, "ada")
    ada.sign_in(PASSWORD)
    ada.wait_for_lab()
    page = open_page(admin, "/hub/admin/settings")
    page.get_by_label("Text").fill("The hub closes at six.")
    page.locator("#announcement").get_by_role("button", name="Save").click()
    expect(page.get_by_text("The announcement was saved.")).to_be_visible()
    expect(ada.page.get_by_text("The hub closes at six.").first).to_be_visible(timeout=75_000)
    ada.page.goto(f"{hub.address}/hub/home")
    expect(ada.page.get_by_text("The hub closes at six.").first).to_be_visible()
    ada.close()


def test_a_start_is_in_the_history_and_in_the_audit_log(hub: RunningHub, admin: Person) -> None:
    page = open_page(admin, "/hub/admin/history?days=7")
    expect(page.get_by_role("link", name="ada")).to_be_visible()
    expect(page.locator("figure canvas").first).to_be_visible()
    admin.screenshot("history")
    page = open_page(admin, "/hub/admin/audit?person=ada&action=workspace.")
    expect(page.locator(".events").get_by_text("saw a container run").first).to_be_visible()
    admin.screenshot("audit")


def test_a_profile_is_made_tried_and_kept_from_who_may_not_use_it(hub: RunningHub, admin: Person) -> None:
    page = open_page(admin, "/hub/admin/profiles/new")
    page.get_by_label("Name", exact=True).fill("course")
    page.get_by_label("Shown as").fill("A course")
    page.get_by_label("Environment variables").fill(f"KEY={CANARY}")
    page.get_by_label("Roles").fill("teacher")
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_text(re.compile("It works|It did not work"))).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Add profile").click()
    expect(page.get_by_text("The profile was saved.")).to_be_visible()
    hub_page = open_page(admin, "/hub/admin/audit?action=profile.added")
    expect(hub_page.locator(".events").get_by_text("course").first).to_be_visible()
    assert CANARY not in admin.page.content()


def test_the_search_works_with_the_keyboard_alone(admin: Person) -> None:
    open_page(admin, "/hub/admin/audit")
    admin.page.get_by_label(re.compile("^Person")).focus()
    admin.page.keyboard.type("ada")
    admin.page.keyboard.press("Enter")
    admin.page.wait_for_url("**person=ada**")
    expect(admin.page.get_by_role("link", name="Show everything")).to_be_visible()


@pytest.mark.parametrize("path", ["history?days=7", "audit", "settings", "profiles", "profiles/new"])
def test_nothing_is_wider_than_a_phone_and_nothing_complains(admin: Person, path: str) -> None:
    admin.page.set_viewport_size({"width": 390, "height": 844})
    open_page(admin, f"/hub/admin/{path}")
    wider = admin.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0
    assert not [line for line in admin.console if line.startswith("error") and "/hub/admin/" in line]


def test_the_log_is_whole_also_while_the_hub_runs_and_holds_no_secret(hub: RunningHub) -> None:
    assert "the audit log is whole" in hub.cli("audit", "verify")
    exported = hub.cli("audit", "export")
    assert "profile.added" in exported
    assert CANARY not in exported
    assert PASSWORD not in exported
