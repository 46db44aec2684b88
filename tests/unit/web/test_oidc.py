"""Signing in by a provider as browsers see it: pages, cookies, redirects, and the provider's own logout messages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest

from hub.auth.arrivals import Assertion
from hub.domain.users import Role
from tests.harness.openid import CLIENT_ID, CLIENT_SECRET, FakeOpenId, fake_openid
from tests.unit.http.test_redirect import OPEN_REDIRECTS
from tests.unit.web.conftest import Answer, Browser, Site

SiteMaker = Callable[..., Any]


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenId]:
    async with fake_openid() as running:
        yield running


@pytest.fixture
async def site(make_site: SiteMaker, fake: FakeOpenId) -> Site:
    """A hub with one provider, ``idp``."""
    base = {"kind": "oidc", "issuer": fake.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    made: Site = await make_site(providers={"idp": {**base, "display_name": "Campus", "logout": "provider"}})
    fake.now = lambda: made.clock.now().timestamp()
    return made


async def arrive(browser: Browser, fake: FakeOpenId, query: str = "") -> Answer:
    """Follow the link, agree at the provider, come back."""
    started = await browser.get(f"/hub/oauth/idp/start{query}")
    assert started.status == 302, started.text
    return await come_back(browser, fake, started.location)


def leads_to(page: Answer) -> str:
    """Where a page leads on to by itself."""
    found = re.search(r'content="0;url=([^"]+)"', page.text)
    assert found, page.text
    return unescape(found[1])


async def come_back(browser: Browser, fake: FakeOpenId, address: str) -> Answer:
    answer = fake.agree(address)
    return await browser.get(
        f"/hub/oauth/idp/callback?code={answer['code']}&state={answer['state']}", Sec_Fetch_Site="cross-site"
    )


async def test_the_sign_in_page_offers_providers(site: Site) -> None:
    page = await site.browser().get("/hub/login?next=/hub/home")
    assert "Sign in with Campus" in page.text
    assert "/hub/oauth/idp/start?next=/hub/home" in page.text


async def test_somebody_new_becomes_a_user_and_is_signed_in(site: Site, fake: FakeOpenId) -> None:
    browser = site.browser()
    back = await arrive(browser, fake)
    assert (back.status, back.location) == (302, "/user/ann/lab")
    assert (await browser.get("/hub/home")).status == 200
    assert await site.actions("user.") == ["user.added"]


async def test_the_sign_in_is_fresh_whatever_the_browser_sent_before(site: Site, fake: FakeOpenId) -> None:
    browser = site.browser()
    await arrive(browser, fake)
    before = dict(browser.cookies)
    await arrive(browser, fake)
    assert browser.cookies != before
    old = site.browser(cookies=before)
    assert (await old.get("/hub/home")).status == 302


async def test_a_name_that_is_taken_stays_with_who_has_it(site: Site, fake: FakeOpenId) -> None:
    await site.add("ann", Role.ADMIN)
    fake.person |= {"email": "ann@example.edu", "email_verified": True}
    back = await arrive(site.browser(), fake)
    assert back.location == "/user/ann2/lab"


async def test_nobody_is_led_elsewhere_afterwards(site: Site, fake: FakeOpenId) -> None:
    host, browser = site.address.removeprefix("http://"), site.browser()
    for wanted in (*OPEN_REDIRECTS, "HOST//e", "HOST@e", "//HOST@e", "/hub/home\r\nX-Evil: 1", "/hub/" + "x" * 8192):
        back = await arrive(browser, fake, "?next=" + quote(wanted.replace("HOST", host), safe=""))
        assert back.location in {"/user/ann/lab", "/hub/home", "/hub/"}, wanted  # spaces and controls are cut


async def test_somebody_goes_where_they_wanted_to(site: Site, fake: FakeOpenId) -> None:
    assert (await arrive(site.browser(), fake, "?next=/hub/home")).location == "/hub/home"


async def test_another_browser_cannot_be_signed_in_by_an_address(site: Site, fake: FakeOpenId) -> None:
    """Login CSRF: an attacker's own callback, sent to a victim."""
    started = await site.browser().get("/hub/oauth/idp/start")
    victim = site.browser()
    await victim.get("/hub/login")
    back = await come_back(victim, fake, started.location)
    assert back.status == 410
    assert "__Host-kernelhub" not in victim.cookies and "kernelhub" not in victim.cookies
    assert "sign in again" in back.text


async def test_an_address_counts_once(site: Site, fake: FakeOpenId) -> None:
    browser = site.browser()
    started = await browser.get("/hub/oauth/idp/start")
    answer = fake.agree(started.location)
    path = f"/hub/oauth/idp/callback?code={answer['code']}&state={answer['state']}"
    assert (await browser.get(path)).status == 302
    assert (await browser.get(path)).status == 410


async def test_scripts_cannot_end_a_sign_in(site: Site, fake: FakeOpenId) -> None:
    browser = site.browser()
    started = await browser.get("/hub/oauth/idp/start")
    answer = fake.agree(started.location)
    path = f"/hub/oauth/idp/callback?code={answer['code']}&state={answer['state']}"
    for headers in ({"Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"}, {"Sec_Fetch_Dest": "iframe"}):
        assert (await browser.get(path, **headers)).status == 403
    assert (await browser.get(path)).status == 302


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?state=x", "?state=x&state=y&code=z", "?error=access_denied", "?state=%ff"]
)
async def test_an_answer_that_belongs_to_nothing_is_refused(site: Site, query: str) -> None:
    browser = site.browser()
    await browser.get("/hub/login")
    assert (await browser.get(f"/hub/oauth/idp/callback{query}")).status in {400, 410}


async def test_unknown_providers_are_not_found(site: Site) -> None:
    for path in ("start", "callback?state=x&code=y"):
        assert (await site.browser().get(f"/hub/oauth/other/{path}")).status == 404
    assert (await site.browser().get("/hub/oauth/..%2fx/start")).status == 404


async def test_what_the_provider_says_is_never_part_of_a_page_as_it_is(site: Site, fake: FakeOpenId) -> None:
    browser = site.browser()
    started = await browser.get("/hub/oauth/idp/start")
    state = fake.agree(started.location)["state"]
    text = "%3Cscript%3Ealert(1)%3C/script%3E"
    page = await browser.get(f"/hub/oauth/idp/callback?state={state}&error={text}&error_description={text}")
    assert page.status == 503
    assert "alert(1)" not in page.text


async def test_a_provider_that_is_down_leaves_the_other_ways(site: Site, fake: FakeOpenId) -> None:
    fake.down = True
    page = await site.browser().get("/hub/oauth/idp/start")
    assert page.status == 503
    assert "Campus does not work at the moment" in page.text
    await site.signed_in("bob")


async def test_linking_needs_presence_and_the_form_token(site: Site, fake: FakeOpenId) -> None:
    browser = await site.signed_in("bob", Role.ADMIN)
    assert (await browser.post("/hub/oauth/idp/link", {"_xsrf": "wrong"})).status == 403
    page = await browser.submit("/hub/oauth/idp/link", page="/hub/account/security")
    assert page.status == 200 and 'http-equiv="refresh"' in page.text
    member = await site.signed_in("carl")
    refused = await member.submit("/hub/oauth/idp/link", page="/hub/home")
    assert refused.status == 403


async def test_a_linked_provider_leads_to_the_account_and_can_be_removed(site: Site, fake: FakeOpenId) -> None:
    browser = await site.signed_in("bob", Role.ADMIN)
    page = await browser.submit("/hub/oauth/idp/link", page="/hub/account/security")
    back = await come_back(browser, fake, leads_to(page))
    assert (back.status, back.location) == (302, "/hub/account/security")
    other = site.browser()
    assert (await arrive(other, fake)).location == "/user/bob/lab"
    fields = {"issuer": fake.issuer, "subject": fake.person["sub"]}
    assert (await browser.submit("/hub/oauth/unlink", fields, page="/hub/account/security")).status == 302
    assert (await arrive(site.browser(), fake)).location == "/user/ann/lab"


async def test_a_link_that_was_begun_by_one_is_not_ended_by_another(site: Site, fake: FakeOpenId) -> None:
    browser = await site.signed_in("bob", Role.ADMIN)
    page = await browser.submit("/hub/oauth/idp/link", page="/hub/account/security")
    await site.add("mallory")
    browser.cookies.pop("kernelhub")
    await browser.sign_in("mallory")
    assert (await come_back(browser, fake, leads_to(page))).status == 403
    assert await site.services.arrivals.identities_of(await site.auth.users.get("bob")) == []


async def test_a_logout_message_ends_the_sign_ins_it_is_about_once(site: Site, fake: FakeOpenId) -> None:
    browser = site.browser()
    await arrive(browser, fake)
    token = fake.logout_token()
    server = site.browser()
    answer = await server.post("/hub/oauth/idp/backchannel", {"logout_token": token}, Origin=None, Sec_Fetch_Site=None)
    assert answer.status == 200
    assert (await browser.get("/hub/home")).status == 302
    again = await server.post("/hub/oauth/idp/backchannel", {"logout_token": token}, Origin=None, Sec_Fetch_Site=None)
    assert (again.status, again.json()["error"]) == (400, "invalid_request")


async def test_a_logout_message_about_another_session_ends_nothing(site: Site, fake: FakeOpenId) -> None:
    browser = site.browser()
    await arrive(browser, fake)
    for changes in ({"sid": "session-2"}, {"sub": "somebody-else", "sid": None}):
        token = fake.logout_token(**changes)
        assert (await site.browser().post("/hub/oauth/idp/backchannel", {"logout_token": token})).status == 200
    assert (await browser.get("/hub/home")).status == 200


@pytest.mark.parametrize(
    "fields", [{}, {"logout_token": ""}, {"logout_token": "a.b.c"}, {"logout_token": "x" * 100_000}]
)
async def test_what_is_no_logout_message_is_refused(site: Site, fields: dict[str, str]) -> None:
    assert (await site.browser().post("/hub/oauth/idp/backchannel", fields)).status == 400


async def test_another_provider_cannot_say_who_is_whom_here(site: Site, fake: FakeOpenId) -> None:
    """The same subject of another issuer is another person."""
    user = await site.add("bob")
    elsewhere = Assertion("other", "https://other.example", fake.person["sub"], "bob")
    await site.services.arrivals.link(user, elsewhere)
    assert (await arrive(site.browser(), fake)).location == "/user/ann/lab"
