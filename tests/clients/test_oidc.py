"""Signing in by a certified OpenID Connect provider (npm `oidc-provider`), with a real hub and a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from proxy.contract.close_codes import CloseCode
from tests.harness.accounts import PASSWORD, Account, add_account, in_thread, services
from tests.harness.browser import Person
from tests.harness.oidc_provider import OidcProvider, agree_at_provider, free_port, oidc_provider
from tests.harness.running import RunningHub, eventually
from tests.unit.http.test_redirect import OPEN_REDIRECTS

pytestmark = pytest.mark.browser

CAMPUS = {
    "ann": {
        "preferred_username": "ann.lee",
        "name": "Ann Lee",
        "email": "ann@example.edu",
        "email_verified": True,
        "groups": ["cs-101", "unknown"],
    },
    "bob": {
        "preferred_username": "bob",
        "name": "Bob",
        "email": "bob@elsewhere.example",
        "email_verified": True,
    },
    "carla": {
        "preferred_username": "ann.lee",
        "name": "Carla",
        "email": "carla@example.edu",
        "email_verified": True,
        "groups": ["cs-101-staff"],
        "realm_access": {"roles": ["hub-admin"]},
    },
}
PARTNER = {"dora": {"preferred_username": "dora", "name": "Dora"}, "ann": {"preferred_username": "ann.lee"}}


@pytest.fixture(scope="module")
def campus() -> Iterator[OidcProvider]:
    with oidc_provider("campus", CAMPUS) as provider:
        yield provider


@pytest.fixture(scope="module")
def partner() -> Iterator[OidcProvider]:
    with oidc_provider("partner", PARTNER) as provider:
        yield provider


@pytest.fixture(scope="module")
def hub(campus: OidcProvider, partner: OidcProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that starts before its providers do: nothing is asked of them until somebody signs in."""
    port = free_port()
    for provider in (campus, partner):
        provider.register(f"http://127.0.0.1:{port}")
    file = tmp_path_factory.mktemp("oidc") / "kernelhub.toml"
    file.write_text(configuration(campus, partner))
    made = RunningHub("process", {"KERNELHUB_CONFIG": str(file)})
    made.port = port
    made.start()
    campus.start()
    partner.start()
    try:
        yield made
    finally:
        made.remove()


def configuration(campus: OidcProvider, partner: OidcProvider) -> str:
    one, two = campus.clients[0], partner.clients[0]
    return f"""
start_workspace = "kernel"

[providers.campus]
kind = "keycloak"
display_name = "Campus"
issuer = {json.dumps(campus.issuer)}
client_id = {json.dumps(one["client_id"])}
client_secret = {json.dumps(one["client_secret"])}
scopes = ["openid", "profile", "email", "groups"]
allowed_domains = ["example.edu"]
logout = "provider"
keep_id_token = true
[providers.campus.groups]
cs-101 = "Computer science"
[providers.campus.owner_groups]
cs-101-staff = "Computer science"
[providers.campus.roles]
hub-admin = "admin"

[providers.partner]
kind = "oidc"
display_name = "Partner"
issuer = {json.dumps(partner.issuer)}
client_id = {json.dumps(two["client_id"])}
client_secret = {json.dumps(two["client_secret"])}
client_auth = "post"
"""


@pytest.fixture(scope="module")
def local(hub: RunningHub) -> Account:
    """Somebody with a password of the hub."""
    return add_account(hub, "local", admin=True)


@pytest.fixture
def person(browser: Browser, hub: RunningHub) -> Iterator[Person]:
    one = Person(browser, hub.address, "somebody")
    yield one
    one.close()


def sign_in_by(person: Person, provider: str, login: str | None, next: str = "/hub/home") -> None:
    """From the hub's sign-in page to the provider and back."""
    person.page.goto(f"{person.address}/hub/login?next={next}")
    person.page.get_by_role("link", name=f"Sign in with {provider}").click()
    agree_at_provider(person.page, login)


def memberships(hub: RunningHub, name: str) -> dict[str, str]:
    """The groups of a user, and what they are in each."""

    async def ask() -> dict[str, str]:
        async with services(hub) as made:
            user = await made.auth.users.get(name)
            async with made.store.reading() as unit:
                return {each.group.name: str(each.role) for each in await unit.groups.memberships_for(user.id)}

    return in_thread(ask())


def test_somebody_signs_in_and_is_in_the_groups_that_the_provider_names(hub: RunningHub, person: Person) -> None:
    sign_in_by(person, "Campus", "ann")
    person.page.wait_for_url(f"{hub.address}/hub/home")
    expect(person.page.locator("header")).to_contain_text("ann.lee")
    assert memberships(hub, "ann.lee") == {"Computer science": "member"}


def test_the_same_name_of_another_person_or_provider_takes_over_nobody(
    hub: RunningHub, browser: Browser, person: Person
) -> None:
    sign_in_by(person, "Campus", "carla")
    expect(person.page.locator("header")).to_contain_text("ann.lee2")
    assert memberships(hub, "ann.lee2") == {"Computer science": "owner"}
    other = Person(browser, hub.address, "other")
    sign_in_by(other, "Partner", "ann")
    expect(other.page.locator("header")).to_contain_text("ann.lee3")
    other.close()


def test_people_of_other_domains_are_told_which_may_enter(person: Person) -> None:
    sign_in_by(person, "Campus", "bob")
    expect(person.page.get_by_text("Only people with an account @example.edu may enter")).to_be_visible()
    person.page.get_by_role("link", name="Choose another account").click()
    expect(person.page.locator('input[name="login"]')).to_be_visible()  # it would name the same one again otherwise
    person.page.goto(f"{person.address}/hub/home")
    expect(person.page).to_have_url(re.compile("/hub/login"))


def test_no_wish_where_to_go_leads_a_browser_elsewhere(hub: RunningHub, browser: Browser) -> None:
    """T-OR by way of the provider; Chromium, not string matching, says where it ends."""
    context = browser.new_context(java_script_enabled=False)  # JupyterLab is not what is looked at
    page, strayed = context.new_page(), []
    page.goto(f"{hub.address}/hub/oauth/campus/start?next=/hub/home")
    agree_at_provider(page, "ann")
    page.wait_for_url(f"{hub.address}/hub/home")
    for target in OPEN_REDIRECTS:
        wanted = quote(target.replace("HOST", hub.address.removeprefix("http://")), safe="")
        page.goto(f"{hub.address}/hub/oauth/campus/start?next={wanted}", wait_until="commit", timeout=60_000)
        if not page.url.startswith((f"{hub.address}/hub/", f"{hub.address}/user/ann.lee/")):
            strayed.append((target, page.url))
    context.close()
    assert strayed == []


def test_who_cancels_at_the_provider_can_try_again(person: Person) -> None:
    person.page.goto(f"{person.address}/hub/login")
    person.page.get_by_role("link", name="Sign in with Campus").click()
    person.page.get_by_text("[ Cancel ]").click()
    expect(person.page.get_by_text("was cancelled")).to_be_visible()


def test_signing_out_of_the_hub_signs_out_of_the_provider_too(hub: RunningHub, person: Person) -> None:
    sign_in_by(person, "Campus", "ann")
    person.page.wait_for_url(f"{hub.address}/hub/home")
    person.page.get_by_role("button", name="Sign out", exact=True).first.click()
    person.page.get_by_role("button", name="Yes, sign me out").click()
    person.page.wait_for_url(f"{hub.address}/hub/login?signed_out=1")
    person.page.get_by_role("link", name="Sign in with Campus").click()
    expect(person.page.locator('input[name="login"]')).to_be_visible()  # it does not know them any more


def test_signing_out_at_the_provider_ends_the_sign_in_and_its_sockets(
    hub: RunningHub, campus: OidcProvider, person: Person
) -> None:
    sign_in_by(person, "Campus", "ann", next="/user/ann.lee/lab")
    person.name = "ann.lee"
    person.wait_for_lab()
    socket = """() => new Promise((done, failed) => {
        window.events = new WebSocket(location.origin.replace('http', 'ws') + '/user/ann.lee/api/events/subscribe');
        window.ended = new Promise(end => { window.events.onclose = event => end([performance.now(), event.code]); });
        window.events.onopen = () => done(true); window.events.onerror = () => failed(new Error('no socket'));
    })"""
    assert person.page.evaluate(socket)
    there = person.context.new_page()
    there.goto(f"{campus.issuer}/session/end")
    assert person.page.evaluate("window.events.readyState") == 1
    began = person.page.evaluate("performance.now()")
    there.get_by_role("button", name="Yes, sign me out").click()
    ended, code = person.page.evaluate("() => window.ended")
    assert (code, (ended - began) / 1000 < 5) == (CloseCode.SIGNED_OUT, True), (ended - began, campus.log())
    status = person.page.evaluate("async () => (await fetch('/user/ann.lee/api/contents')).status")
    assert status == 403, campus.log() + hub.log()[-3000:]


def test_presence_is_proven_at_the_provider_which_asks_again(hub: RunningHub, person: Person) -> None:
    sign_in_by(person, "Campus", "carla", next="/hub/admin/people")
    expect(person.page).to_have_url(re.compile("/hub/confirm"))
    person.page.get_by_role("button", name=re.compile("Campus")).click()
    expect(person.page.locator('input[name="login"]')).to_be_visible()  # though it knows who sits there
    agree_at_provider(person.page, "carla")
    expect(person.page).to_have_url(re.compile("/hub/admin"))
    expect(person.page.get_by_role("heading", name="People")).to_be_visible()


def test_presence_cannot_be_proven_by_somebody_else(hub: RunningHub, person: Person) -> None:
    sign_in_by(person, "Campus", "carla", next="/hub/admin/people")
    person.page.get_by_role("button", name=re.compile("Campus")).click()
    agree_at_provider(person.page, "ann")
    # The provider ends the session of whoever was there, and says so to the hub, before or after it sends the browser.
    refused = person.page.get_by_text(re.compile("another account's sign-in|sign-in has ended"))
    expect(refused).to_be_visible()
    person.page.goto(f"{hub.address}/hub/admin/people")
    expect(person.page).to_have_url(re.compile("/hub/(confirm|login)"))


def test_somebody_with_a_password_adds_a_provider_and_removes_it(
    hub: RunningHub, local: Account, browser: Browser, person: Person
) -> None:
    person.name = local.name
    person.sign_in(PASSWORD, expect_lab=False)
    person.page.wait_for_url(re.compile("/user/local/lab"))
    person.page.goto(f"{hub.address}/hub/account/security")
    person.page.get_by_label("Password", exact=True).fill(PASSWORD)
    person.page.get_by_role("button", name="Confirm", exact=True).click()
    person.page.get_by_role("button", name="Add Partner").click()
    agree_at_provider(person.page, "dora")
    expect(person.page.locator("section", has_text="Sign in with another account")).to_contain_text("dora")
    other = Person(browser, hub.address, "other")
    sign_in_by(other, "Partner", "dora")
    expect(other.page.locator("header")).to_contain_text("local")
    other.close()
    person.page.goto(f"{hub.address}/hub/account/security")
    person.page.get_by_role("button", name="Remove Partner").click()
    person.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(person.page.get_by_text("No other account leads here")).to_be_visible()


def test_a_provider_that_is_down_leaves_passwords_and_other_providers(
    hub: RunningHub, partner: OidcProvider, local: Account, person: Person
) -> None:
    sign_in_by(person, "Partner", "ann")
    person.page.wait_for_url(f"{hub.address}/hub/home")
    partner.stop()
    person.context.clear_cookies()
    person.page.goto(f"{hub.address}/hub/login")
    person.page.get_by_role("link", name="Sign in with Campus").click()
    agree_at_provider(person.page, "ann")
    person.page.wait_for_url(re.compile(f"{hub.address}/"))
    partner.start()
    eventually(lambda: hub.is_ready(), what="the hub")


def test_a_setting_with_a_wrong_name_keeps_the_hub_from_starting(hub: RunningHub, tmp_path: Path) -> None:
    file = tmp_path / "kernelhub.toml"
    good = hub.environment["KERNELHUB_CONFIG"]
    file.write_text(Path(good).read_text().replace("allowed_domains", "hosted_domain").replace('"oidc"', '"openid"'))
    hub_of_mistakes = RunningHub("process", {"KERNELHUB_CONFIG": str(file)}, tmp_path)
    with pytest.raises(AssertionError) as caught:
        hub_of_mistakes.start()
    text = str(caught.value)
    assert "providers.campus.hosted_domain: there is no such setting" in text
    assert "providers.partner.kind" in text
    assert "secret+of" not in text
