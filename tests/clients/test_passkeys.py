"""Passkeys and authenticator apps in a real browser, with Chromium's virtual authenticator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Browser, CDPSession, expect

from tests.harness.accounts import PASSWORD, add_account
from tests.harness.browser import Person
from tests.harness.running import RunningHub, running_hub

pytestmark = [pytest.mark.browser]

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    settings = {"KERNELHUB_START_WORKSPACE": "kernel", "KERNELHUB_SECOND_FACTOR": "administrators"}
    with running_hub("process", settings) as hub:
        hub.address = hub.address.replace("127.0.0.1", "localhost")  # a passkey belongs to a name, not to an address
        yield hub


def person_with_authenticator(hub: RunningHub, browser: Browser, name: str) -> tuple[Person, CDPSession, str]:
    """Somebody whose browser has an authenticator in it."""
    person = Person(browser, hub.address, name)
    session = person.context.new_cdp_session(person.page)
    session.send("WebAuthn.enable")
    made: dict[str, Any] = session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return person, session, made["authenticatorId"]


def give_password(person: Person) -> None:
    """Send the sign-in page's form."""
    person.page.goto(f"{person.address}/hub/login?next=/hub/home")
    person.page.get_by_label("User name").fill(person.name)
    person.page.get_by_label("Password", exact=True).fill(PASSWORD)
    person.page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_passkey_is_added_and_used_for_all_it_is_good_for(hub: RunningHub, browser: Browser) -> None:
    add_account(hub, "ada")
    ada, session, authenticator = person_with_authenticator(hub, browser, "ada")
    page = ada.page
    give_password(ada)
    ada.prove_presence(PASSWORD, "/hub/account/security")
    page.get_by_label("Name of the passkey").fill("My laptop")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("heading", name="Keep these codes")).to_be_visible()
    assert len(page.locator("ul.codes li").all_inner_texts()) == 10
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("My laptop", exact=True)).to_be_visible()

    # As a second factor, after the password.
    ada.context.clear_cookies()
    give_password(ada)
    page.get_by_role("button", name="Use your passkey").click()
    page.wait_for_url(f"{hub.address}/hub/home")

    # In place of name and password, and to confirm.
    ada.context.clear_cookies()
    page.goto(f"{hub.address}/hub/login?next=/hub/account/security")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(re.compile("/hub/confirm"))
    page.get_by_role("button", name="Confirm with your passkey").click()
    page.wait_for_url(f"{hub.address}/hub/account/security")

    # Once its owner has removed it, it is worth nothing.
    page.get_by_role("button", name="Remove My laptop").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("You have none.")).to_be_visible()
    ada.context.clear_cookies()
    page.goto(f"{hub.address}/hub/login")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("not known here")).to_be_visible()
    session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": authenticator})
    ada.close()


def test_an_administrator_sets_up_an_app_while_signing_in(hub: RunningHub, browser: Browser) -> None:
    add_account(hub, "root1", admin=True)
    root = Person(browser, hub.address, "root1")
    page = root.page
    give_password(root)
    expect(page.get_by_role("heading", name="Add a second step")).to_be_visible()
    root.screenshot("second-factor-set-up")
    drawn = page.locator("img.qr").evaluate("(image) => image.complete && image.naturalWidth > 100")
    assert drawn, "the picture to scan is drawn"
    page.get_by_text("Type a key instead").click()
    seed = page.locator("code.key").inner_text().replace(" ", "")
    page.get_by_label("Code").fill(pyotp.TOTP(seed).now())
    page.get_by_role("button", name="Add the app").click()
    code = page.locator("ul.codes li").first.inner_text()
    page.get_by_role("link", name="I have kept them").click()
    page.wait_for_url(f"{hub.address}/hub/home")
    root.context.clear_cookies()
    give_password(root)
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url(f"{hub.address}/hub/home")
    root.close()


def test_without_a_passkey_the_page_says_so(hub: RunningHub, browser: Browser) -> None:
    eve, session, authenticator = person_with_authenticator(hub, browser, "eve")
    session.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False})
    eve.page.goto(f"{hub.address}/hub/login")
    eve.page.get_by_role("button", name="Sign in with a passkey").click()
    expect(eve.page.get_by_text("The browser got no passkey")).to_be_visible(timeout=70_000)
    eve.close()
